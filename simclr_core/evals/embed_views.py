"""Views of images, as pre-training draws them, and their embeddings. F features, D projection."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simclr_core.config.schema import ViewsConfig
from simclr_core.data.datasets import Images
from simclr_core.evals.embed import BATCH, Embeddings, Reading, embedded_batch
from simclr_core.evals.frozen import frozen
from simclr_core.networks.network import Network
from simclr_core.views.maker import ViewMaker


@dataclass(frozen=True, eq=False)
class EmbeddedViews:
    """Of N images: the embeddings of branch 1 and of branch 2, and who drew the transformations."""

    branches: tuple[Embeddings, Embeddings]
    maker: ViewMaker
    num_branches: int  # that draw: branch 2 does not in a pair with ``branches: one``

    def of(self, name: str) -> Tensor:
        """``features`` (V, F), ``z`` (V, D) ... of the V = num_branches * N views, branch after branch."""
        return torch.cat([embeddings.of(name) for embeddings in self.branches[: self.num_branches]])

    def answers(self, task: str) -> Tensor:
        """(V,): what was done to each view."""
        return torch.cat([self.maker.labels(task, branch) for branch in range(1, self.num_branches + 1)])


@torch.inference_mode()
def embed_views(
    network: Network,
    images: Images,
    rows: Tensor,
    views: ViewsConfig,
    reading: Reading,
    seed: int,
    names: Sequence[str] = ("features", "z"),
) -> EmbeddedViews:
    """One pair of views of each of the images ``rows`` (n,), drawn from ``seed``, by the network in eval mode.

    ``names``: as for ``embed``.
    """
    sizes = None if images.sizes is None else images.sizes[rows]
    maker = ViewMaker(views, reading.normalization, len(rows), reading.image_size, seed, source_sizes=sizes)
    maker.start_epoch(0)
    picks = torch.arange(len(rows)).split(BATCH)
    read = _pixels(images, rows, maker, reading, views.crop_interpolation)
    network = frozen(network)
    parts: tuple[list[dict[str, Tensor]], ...] = ([], [])
    with contextlib.closing(read):
        for step, (pick, pixels) in enumerate(zip(picks, read, strict=True)):
            pair = maker(pixels, pick, step)
            for view, part in zip(pair, parts, strict=True):
                part.append(embedded_batch(network, view, names))
    branch_1, branch_2 = (Embeddings.joined(part, images.labels[rows]) for part in parts)
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
