"""Objectives. B images in a batch, N = 2B views, D projection.

The losses of SimCLR compare a view with the other views of the batch. Where a batch is spread over processes, each
passes its own rows as ``z_1``, ``z_2`` (b, D), the rows of all processes as ``keys`` (B, D) each, and where its own
begin in them as ``first_key``. Its loss is the mean over its own anchors, so that the mean over processes of equal
shares is the loss of the whole batch.

All of them compare every own row with every key: 2b x N similarities for NT-Xent, b x B twice where negatives are of
one view, of which a few matrices exist at a time. Where one would have more than ``LARGEST_MATRIX`` elements, blocks of
rows follow one another, which gives the whole's loss and gradients up to the order of summation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from simclr_core.config.methods import SimCLRConfig

Keys = tuple[Tensor, Tensor] | None
"""z of both views of all processes, (B, D) each, the same images in the same order; None: the own rows are all."""

LARGEST_MATRIX = 2**22
"""Similarities at a time: 16 MiB in float32; with what gradients need, 50 MiB for NT-Xent and 85 for the others.

That is under a tenth of a training step that takes a GiB, and in a smaller one there is little to save. One number for
all networks and machines, since blocks add up in another order: alone, a process computes 2,048 views as a whole.
"""


def simclr_loss(config: SimCLRConfig, z_1: Tensor, z_2: Tensor, keys: Keys = None, first_key: int = 0) -> Tensor:
    """The loss that ``method.loss`` names (SimCLR Table 4), without ``method.loss_scale``: (b, D), (b, D) -> scalar."""
    if config.loss == "nt_logistic":
        return nt_logistic(z_1, z_2, config.temperature, semi_hard=config.semi_hard, keys=keys, first_key=first_key)
    if config.loss == "margin_triplet":
        return margin_triplet(z_1, z_2, config.margin, semi_hard=config.semi_hard, keys=keys, first_key=first_key)
    chosen = nt_xent_other_view if config.negatives == "other_view" else nt_xent
    return chosen(z_1, z_2, config.temperature, normalize=config.normalize, keys=keys, first_key=first_key)


def nt_xent(
    z_1: Tensor,
    z_2: Tensor,
    temperature: float,
    *,
    normalize: bool = True,
    keys: Keys = None,
    first_key: int = 0,
) -> Tensor:
    """NT-Xent, the normalised temperature-scaled cross entropy (SimCLR Eq. 1, Algorithm 1): (b, D), (b, D) -> scalar.

    For each of the own views: cross entropy of picking its partner among the other N - 1 views by cosine similarity
    over temperature, or by dot product without ``normalize`` (Table 5); the mean over the own views. The released
    code returns the sum of the means over either view, which is twice this.

    It takes 2b x N x D multiply-adds forward and twice as many backward, the only part of a step that grows with N^2,
    and at its peak three matrices of 2b x N, or of ``LARGEST_MATRIX``.
    """
    num_own = len(z_1)
    anchors = _rows(torch.cat([z_1, z_2]), normalize=normalize)  # (2b, D)
    candidates = anchors if keys is None else _rows(torch.cat(keys), normalize=normalize)  # (N, D)
    first = torch.arange(first_key, first_key + num_own, device=anchors.device)
    themselves = torch.cat([first, first + len(candidates) // 2])

    def mean_over(anchors: Tensor, candidates: Tensor, themselves: Tensor, partners: Tensor) -> Tensor:
        logits = anchors @ candidates.T / temperature  # (2b, N)
        logits[torch.arange(len(logits), device=logits.device), themselves] = float("-inf")
        return functional.cross_entropy(logits, partners)

    return _in_blocks(mean_over, anchors, candidates, themselves, themselves.roll(num_own))


def nt_xent_other_view(
    z_1: Tensor,
    z_2: Tensor,
    temperature: float,
    *,
    normalize: bool = True,
    keys: Keys = None,
    first_key: int = 0,
) -> Tensor:
    """NT-Xent (SimCLR Eq. 1) with negatives from the other view alone, as Table 4 has it: (b, D), (b, D) -> scalar.

    For each of the own views: cross entropy of picking its partner among the B views of the other kind, so that the
    B - 1 negatives are those of Table 4's other losses (App. B.10). The mean over the own views of both kinds.
    """

    def mean_over(anchors: Tensor, candidates: Tensor, partners: Tensor) -> Tensor:
        return functional.cross_entropy(
            cross_view_logits(anchors, candidates, temperature, normalize=normalize), partners
        )

    return _mean_of_both_views(mean_over, z_1, z_2, keys, first_key)


def nt_logistic(
    z_1: Tensor,
    z_2: Tensor,
    temperature: float,
    *,
    semi_hard: bool = False,
    keys: Keys = None,
    first_key: int = 0,
) -> Tensor:
    """NT-Logistic (SimCLR Table 2, Sec. 5.1): -log sigmoid(s+ / t) - log sigmoid(-s- / t): (b, D), (b, D) -> scalar.

    s is the cosine to the partner and to the negatives, which are the other images in the other view (App. B.10).
    The paper leaves open how the negatives are pooled and which one is semi-hard: here it is their mean, and the
    most similar one below the positive. An anchor that has no semi-hard negative contributes 0. The mean over the
    anchors of both views.
    """

    def per_anchor(positive: Tensor, negatives: Tensor, is_negative: Tensor) -> Tensor:
        attraction = functional.softplus(-positive / temperature)
        if semi_hard:
            hardest, found = _hardest(negatives, is_negative & (negatives < positive[:, None]))
            return torch.where(found, attraction + functional.softplus(hardest / temperature), 0.0)
        return attraction + _mean_over(functional.softplus(negatives / temperature), is_negative)

    return _from_both_views(per_anchor, z_1, z_2, keys, first_key)


def margin_triplet(
    z_1: Tensor,
    z_2: Tensor,
    margin: float,
    *,
    semi_hard: bool = False,
    keys: Keys = None,
    first_key: int = 0,
) -> Tensor:
    """Margin triplet (SimCLR Table 2): max(s- - s+ + margin, 0), s the cosine: (b, D), (b, D) -> scalar.

    Negatives are the other images in the other view (App. B.10), and the mean is taken over them. With ``semi_hard``
    (Schroff et al. 2015) only the most similar one counts among those that are less similar than the positive by less
    than the margin; an anchor that has none contributes 0. The mean over the anchors of both views.
    """

    def per_anchor(positive: Tensor, negatives: Tensor, is_negative: Tensor) -> Tensor:
        excess = negatives - positive[:, None] + margin
        if semi_hard:
            hardest, found = _hardest(excess, is_negative & (negatives < positive[:, None]) & (excess > 0))
            return torch.where(found, hardest, 0.0)
        return _mean_over(excess.clamp(min=0), is_negative)

    return _from_both_views(per_anchor, z_1, z_2, keys, first_key)


def cross_view_logits(z_1: Tensor, keys_2: Tensor, temperature: float, *, normalize: bool = True) -> Tensor:
    """Similarity of every own view to every one of the other kind, over temperature: (b, D), (B, D) -> (b, B)."""
    return _rows(z_1, normalize=normalize) @ _rows(keys_2, normalize=normalize).T / temperature


def contrastive_accuracy_and_entropy(
    z_1: Tensor, z_2: Tensor, temperature: float, *, normalize: bool = True
) -> tuple[float, float]:
    """How well views 2 are picked for views 1, as SimCLR Table 5 reports it: (B, D), (B, D) -> percent, nats.

    Accuracy of the largest, and mean entropy of the softmax, over the B candidates of the *other view* alone: the
    released ``metrics.py`` leaves the N - 2 others out.
    """
    picked, entropies = [], []
    for rows in z_1.detach().split(_rows_at_a_time(len(z_2))):
        logits = cross_view_logits(rows, z_2.detach(), temperature, normalize=normalize)
        picked.append(logits.argmax(1))
        probabilities = logits.softmax(1)
        entropies.append(-(probabilities * (probabilities + 1e-8).log()).sum(1))
    correct = torch.cat(picked) == torch.arange(len(z_1), device=z_1.device)
    return 100 * correct.double().mean().item(), torch.cat(entropies).mean().item()


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """D(p, z) = -cos(p, z), the mean over the batch (SimSiam Eq. 1): (B, D), (B, D) -> scalar in [-1, 1]."""
    return -functional.cosine_similarity(p, z, dim=1).mean()


def cross_entropy_similarity(p: Tensor, z: Tensor) -> Tensor:
    """D(p, z) = -softmax(z) . log softmax(p) over channels, the mean over the batch (SimSiam Sec. 4.5).

    (B, D), (B, D) -> scalar. Its least value is the entropy of softmax(z), at most ln D, where p = z up to a constant.
    The gradient passes through z unless the caller detaches it.
    """
    return functional.cross_entropy(p, z.softmax(1))


def _rows(z: Tensor, *, normalize: bool) -> Tensor:
    return functional.normalize(z, dim=1) if normalize else z


def _from_both_views(
    per_anchor: Callable[[Tensor, Tensor, Tensor], Tensor], z_1: Tensor, z_2: Tensor, keys: Keys, first_key: int
) -> Tensor:
    """The mean of ``per_anchor`` over the own anchors of both views.

    It maps positives (b,), similarities (b, B) and which of these are negatives (b, B) to losses (b,).
    """

    def mean_over(anchors: Tensor, others: Tensor, partners: Tensor) -> Tensor:
        similarities = cross_view_logits(anchors, others, temperature=1.0)
        partners = partners[:, None]
        is_negative = torch.arange(len(others), device=others.device) != partners
        return per_anchor(similarities.gather(1, partners).squeeze(1), similarities, is_negative).mean()

    return _mean_of_both_views(mean_over, z_1, z_2, keys, first_key)


def _mean_of_both_views(
    mean_over: Callable[..., Tensor], z_1: Tensor, z_2: Tensor, keys: Keys, first_key: int
) -> Tensor:
    """The mean of ``mean_over`` own views 1 among views 2 and of own views 2 among views 1.

    It maps anchors (b, D), views of the other kind (B, D) and where among these the partners stand (b,) to a scalar.
    The paper takes the negatives from one view, to keep its code simple, and so does each anchor here. Taking the
    anchors from both makes the loss blind to which view comes first, as NT-Xent is.
    """
    keys_1, keys_2 = (z_1, z_2) if keys is None else keys
    partners = torch.arange(first_key, first_key + len(z_1), device=z_1.device)
    return torch.stack([_in_blocks(mean_over, *pair, partners) for pair in ((z_1, keys_2), (z_2, keys_1))]).mean()


def _rows_at_a_time(num_keys: int) -> int:
    return max(1, LARGEST_MATRIX // num_keys)


def _in_blocks(mean_over: Callable[..., Tensor], anchors: Tensor, keys: Tensor, *places: Tensor) -> Tensor:
    """``mean_over(anchors, keys, *places)``, a mean over anchors; ``places`` are integers that belong to anchors."""
    size = _rows_at_a_time(len(keys))
    if len(anchors) <= size:
        return mean_over(anchors, keys, *places)
    mean: Tensor = _InBlocks.apply(mean_over, size, anchors, keys, *places)
    return mean


class _InBlocks(torch.autograd.Function):
    """A mean over blocks of anchors, and at once its gradient, so that nothing of a block waits for the backward pass.

    ``torch.utils.checkpoint`` would compute every block twice, and loads the compiler: 2 s and 150 MB.
    """

    @staticmethod
    def forward(
        ctx: Any, mean_over: Callable[..., Tensor], size: int, anchors: Tensor, keys: Tensor, *places: Tensor
    ) -> Tensor:
        keys = keys.detach().requires_grad_()
        total, of_anchors, of_keys = anchors.new_zeros(()), [], torch.zeros_like(keys)
        for block in zip(*(tensor.split(size) for tensor in (anchors, *places)), strict=True):
            rows = block[0].detach().requires_grad_()
            with torch.enable_grad():
                share = mean_over(rows, keys, *block[1:]) * (len(rows) / len(anchors))
            of_rows, of_all_keys = torch.autograd.grad(share, (rows, keys))
            total += share.detach()
            of_anchors.append(of_rows)
            of_keys += of_all_keys
        ctx.save_for_backward(torch.cat(of_anchors), of_keys)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_anchors, of_keys = ctx.saved_tensors
        return None, None, gradient * of_anchors, gradient * of_keys, *(None for _ in ctx.needs_input_grad[4:])


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum(1) / chosen.sum(1)


def _hardest(values: Tensor, qualifies: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's largest value among those that qualify, and whether the row has one: (b, B) -> (b,), (b,)."""
    found = qualifies.any(1)
    return values.masked_fill(~qualifies, float("-inf")).max(1).values.masked_fill(~found, 0.0), found
