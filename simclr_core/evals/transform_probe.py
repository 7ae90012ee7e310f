"""What an embedding still tells about the transformation that made a view (SimCLR Table 3).

The views are those of the run's own pre-training configuration, drawn anew, two of each image and once: the probe
trains for several epochs on their embeddings. Table 3 leaves probe, optimiser and length open; here it is
Linear-ReLU-Linear, as wide as its input, with Adam at 1e-3, on standardised inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simclr_core.config.schema import EvalConfig
from simclr_core.evals.embed_views import EmbeddedViews
from simclr_core.evals.protocol import Protocol, Scored, Tell
from simclr_core.evals.standardise import Standardise
from simclr_core.seeding import derive, generator

NUM_ANSWERS = {"color": 2, "rotate": 4, "noise": 2, "sobel": 2}
"""Kept colour or gray; quarter turns; without or with noise; without or with Sobel. Chance is the majority's rate."""
LR = 1e-3
HOLDOUT_EVERY = 10


class TransformProbe(Protocol):
    """A two-layer perceptron on the embeddings of views; what was done to a view is its answer."""

    def score(self, tell: Tell) -> Scored:  # noqa: ARG002 - a probe takes seconds
        """``val_top1`` and ``majority_top1`` are written down beside the scores (``probe``)."""
        train, test = (self.material.views(split, self.evaluation.seed) for split in ("train", "test"))
        scores, answers, details = probe(train, test, self.evaluation, self.material.device)
        return Scored(scores, details, answers=answers)


def probe(
    train: EmbeddedViews, test: EmbeddedViews, evaluation: EvalConfig, device: torch.device
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Scores of the answers (V, A) on the test images' views, the true answers (V,), and what to report beside them.

    ``val_top1``: percent right on the views of every tenth training image, which the probe does not train on; it
    decides nothing. ``majority_top1``: percent of the test views whose answer is the commonest in training.
    """
    inputs, answers = train.of(evaluation.embedding), train.answers(evaluation.task)
    held_out = torch.arange(len(inputs)) % (len(inputs) // train.num_branches) % HOLDOUT_EVERY == 0
    fitted = fit_probe(inputs[~held_out], answers[~held_out], NUM_ANSWERS[evaluation.task], evaluation, device)
    true = test.answers(evaluation.task)
    details = {
        "val_top1": 100 * (fitted(inputs[held_out]).argmax(1) == answers[held_out]).double().mean().item(),
        "majority_top1": 100 * (true == answers[~held_out].mode().values).double().mean().item(),
    }
    return fitted(test.of(evaluation.embedding)), true, details


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """Embeddings (V, D) -> scores of the answers (V, A), on the CPU."""

    standardise: Standardise
    mlp: nn.Module
    device: torch.device

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """(V, D) -> (V, A)."""
        scores: Tensor = self.mlp(self.standardise(inputs).to(self.device))
        return scores.cpu()


def fit_probe(
    inputs: Tensor, answers: Tensor, num_answers: int, evaluation: EvalConfig, device: torch.device
) -> FittedProbe:
    """The probe after its last epoch on ``inputs`` (V, D) and ``answers`` (V,); last incomplete batches are dropped."""
    standardise = Standardise.by(inputs)
    x, y = standardise(inputs).to(device), answers.to(device)
    width = x.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(evaluation.seed, evaluation.protocol, "init"))
        mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, num_answers)).to(device)
    optimizer = torch.optim.Adam(mlp.parameters(), lr=LR)
    batch_size = min(evaluation.batch_size, len(x))
    for epoch in range(evaluation.epochs):
        order = torch.randperm(len(x), generator=generator(evaluation.seed, evaluation.protocol, epoch, "order"))
        for rows in order[: len(x) // batch_size * batch_size].to(device).split(batch_size):
            loss = functional.cross_entropy(mlp(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return FittedProbe(standardise, mlp, device)
