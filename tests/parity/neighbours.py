"""Family 12: weighted k-nearest-neighbour classification."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from parity.comparison import NotCovered, Outcome, compare
from parity.golden import Golden
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.score import score

CLEAR_GAP = 1e-5  # of the two best scores, relative: below it the order is a matter of rounding


def check(golden: Golden) -> Iterator[Outcome]:
    """Predictions where they are clear, the order of all classes, accuracies."""
    bank, bank_labels = golden.tensor("train_features"), torch.from_numpy(golden["train_labels"]).long()
    queries, labels = golden.tensor("test_features"), torch.from_numpy(golden["test_labels"]).long()
    k, temperature, num_classes = int(golden.scalar("k")), float(golden.scalar("T")), int(golden.scalar("classes"))
    one_sample = 100 / len(queries) * (1 + 1e-6)

    scores = knn_scores(bank, bank_labels, queries, num_classes, k=k, temperature=temperature)
    ranked = torch.from_numpy(golden["pred_ranked"]).long()
    clear = golden["relative_top2_gap_f64"] > CLEAR_GAP
    wrong = (scores.argmax(1) != ranked[:, 0]).numpy()[clear].sum()
    yield compare(f"wrong classes of {clear.sum()} clear queries", wrong, 0)
    in_their_order = scores.gather(1, ranked)
    rises = (in_their_order.diff(dim=1) > CLEAR_GAP * in_their_order[:, :-1]).sum()
    yield compare("classes ranked otherwise", rises, 0)

    top1 = score(scores, labels).top1
    for source in ("lightly", "solo", "instdisc"):
        if f"top1_{source}" in golden:
            yield compare(f"top1, {source}", top1, golden[f"top1_{source}"], atol=one_sample)
    if "top1_nearest_neighbour_instdisc" in golden:
        nearest = knn_scores(bank, bank_labels, queries, num_classes, k=1, temperature=temperature)
        theirs = golden["top1_nearest_neighbour_instdisc"]
        yield compare("top1 of the nearest one, instdisc", score(nearest, labels).top1, theirs, atol=one_sample)
    if "top5_solo" in golden:
        num_best = min(5, k, num_classes)
        best = scores.topk(num_best, dim=1).indices
        top5 = 100 * (best == labels[:, None]).any(1).double().mean().item()
        # Where fewer classes than that have a neighbour, which of the others come along is arbitrary.
        has_none = scores.gather(1, labels[:, None]).squeeze(1) == 0
        arbitrary = has_none & ((scores > 0).sum(1) < num_best)
        atol = one_sample + 100 * arbitrary.double().mean().item()
        yield compare("top5, solo", top5, golden["top5_solo"], atol=atol)
    if "top1_solo_euclidean" in golden:
        yield NotCovered("solo's Euclidean variant", "kNN here compares by cosine, as the papers do")
