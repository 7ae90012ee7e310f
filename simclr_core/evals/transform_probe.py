"""What an embedding still tells about the transformation that made a view (SimCLR Table 3).

The views are those of the run's own pre-training configuration, drawn anew, two of each image and once: the probe
trains for several epochs on their embeddings. Table 3 leaves probe, optimiser and length open; here it is
Linear-ReLU-Linear, as wide as its input, with Adam at 1e-3, on standardised inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simclr_core.config.schema import EvalConfig, ViewsConfig
from simclr_core.data.datasets import Images
from simclr_core.evals.embed import BATCH, Embeddings, Reading
from simclr_core.evals.frozen import frozen
from simclr_core.evals.standardise import Standardise
from simclr_core.networks.network import Network
from simclr_core.seeding import derive, generator
from simclr_core.views.maker import ViewMaker

NUM_ANSWERS = {"color": 2, "rotate": 4, "noise": 2, "sobel": 2}
"""Kept colour or gray; quarter turns; without or with noise; without or with Sobel. Chance is the majority's rate."""
LR = 1e-3
HOLDOUT_EVERY = 10


@dataclass(frozen=True, eq=False)
class EmbeddedViews:
    """Of N images: the embeddings of branch 1 and of branch 2, and who drew the transformations."""

    branches: tuple[Embeddings, Embeddings]
    maker: ViewMaker
    num_branches: int  # that draw: branch 2 does not in a pair with ``branches: one``

    def of(self, name: str) -> Tensor:
        """``features`` (V, F) or ``z`` (V, D) of the V = num_branches * N views, branch after branch."""
        return torch.cat([embeddings.of(name) for embeddings in self.branches[: self.num_branches]])

    def answers(self, task: str) -> Tensor:
        """(V,): what was done to each view."""
        return torch.cat([self.maker.labels(task, branch) for branch in range(1, self.num_branches + 1)])


@torch.inference_mode()
def embed_views(
    network: Network, images: Images, rows: Tensor, views: ViewsConfig, reading: Reading, seed: int
) -> EmbeddedViews:
    """One pair of views of each of the images ``rows`` (n,), drawn from ``seed``, by the network in eval mode."""
    sizes = None if images.sizes is None else images.sizes[rows]
    maker = ViewMaker(views, reading.normalization, len(rows), reading.image_size, seed, source_sizes=sizes)
    maker.start_epoch(0)
    picks = torch.arange(len(rows)).split(BATCH)
    read = _pixels(images, rows, maker, reading, views.crop_interpolation)
    network = frozen(network)
    parts: tuple[list[Embeddings], list[Embeddings]] = ([], [])
    with contextlib.closing(read):
        for step, (pick, pixels) in enumerate(zip(picks, read, strict=True)):
            pair = maker(pixels, pick, step)
            for view, part in zip(pair, parts, strict=True):
                features = network.features(view)
                z = network.projector(features)
                part.append(Embeddings(features.cpu(), z.cpu(), images.labels[rows[pick]]))
    branch_1, branch_2 = (_joined(part) for part in parts)
    num_branches = 1 if views.kind == "pair" and views.branches == "one" else 2
    return EmbeddedViews((branch_1, branch_2), maker, num_branches)


def _pixels(
    images: Images, rows: Tensor, maker: ViewMaker, reading: Reading, interpolation: str
) -> Generator[Tensor | list[Tensor], None, None]:
    """Batches as ``maker`` takes them, on the device: whole images from memory, or from a stream its crops."""
    if images.sizes is None:
        with contextlib.closing(images.whole(rows, BATCH, reading.num_workers)) as whole:
            for batch in whole:
                yield batch.to(reading.device)
        return
    boxes = ((rows[pick], maker.crop_boxes(pick)) for pick in torch.arange(len(rows)).split(BATCH))
    with contextlib.closing(images.crops(boxes, reading.num_workers, interpolation)) as read:
        for crops in read:
            yield [crop.to(reading.device) for crop in crops]


def _joined(parts: list[Embeddings]) -> Embeddings:
    features, z, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("features", "z", "labels"))
    return Embeddings(features, z, labels)


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
