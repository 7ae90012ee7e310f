"""The training batches of a run as a function of the step: which images, in which views.

Nothing here remembers anything that a resume would need: a step's images and views follow from the seed and the step.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from simclr_core.config.schema import RunConfig
from simclr_core.data.datasets import Images, ImageSet, pretrain_indices
from simclr_core.methods.base import Pair
from simclr_core.processes.distributed import World
from simclr_core.seeding import derive, generator
from simclr_core.views.maker import ViewMaker


class Batch(NamedTuple):
    """This process's share of a step: positions (b,) in the pre-training set, and a pair of views, or two pairs.

    ``labels``: int64 (b,), -1 where there is none; supervised training alone looks at them.
    """

    step: int
    indices: Tensor
    pairs: list[Pair]
    labels: Tensor


class _Epoch(NamedTuple):
    order: Tensor
    makers: list[ViewMaker]


class Batches:
    """This process's part of every global batch. The last incomplete batch of an epoch is dropped."""

    def __init__(self, config: RunConfig, images: Images, world: World, num_workers: int) -> None:
        self._config = config
        self._images = images
        self._device = world.device
        self._num_workers = num_workers
        self._rows = pretrain_indices(config.data, len(images))
        self._slice = world.slice_of(config.training.global_batch_size)
        self._in_memory = images.images[self._rows].to(world.device) if isinstance(images, ImageSet) else None
        self._epoch = functools.lru_cache(maxsize=2)(self._draw_epoch)  # decoding runs ahead into the next epoch
        self.num_images = len(self._rows)
        self.steps_per_epoch = self.num_images // config.training.global_batch_size

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of the steps from ``start`` up to ``stop``, excluded."""
        with contextlib.closing(self._pixels(start, stop)) as pixels:  # worker processes end with it
            for step, own in zip(range(start, stop), pixels, strict=True):
                indices, makers = self._indices(step), self._epoch(self._epoch_of(step)).makers
                parts = own.split(makers[0].num_crops, dim=1) if own.ndim == 5 else [own] * len(makers)
                views = [maker(part, indices, step, self._slice) for maker, part in zip(makers, parts, strict=True)]
                own_indices = indices[self._slice]
                labels = self._images.labels[self._rows[own_indices]]
                yield Batch(step, own_indices.to(self._device), views, labels.to(self._device))

    def _pixels(self, start: int, stop: int) -> Generator[Tensor, None, None]:
        """uint8: whole images (B, 3, S, S) from memory, or from a stream all crops (B, V, 3, S, S)."""
        if self._in_memory is not None:
            for step in range(start, stop):
                yield self._in_memory.index_select(0, self._indices(step)[self._slice].to(self._device))
            return
        interpolation = self._config.views.crop_interpolation
        with contextlib.closing(
            self._images.crops(self._boxes(start, stop), self._num_workers, interpolation)
        ) as decoded:
            for crops in decoded:
                yield crops.to(self._device, non_blocking=True)

    def _boxes(self, start: int, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(start, stop):
            indices = self._indices(step)[self._slice]
            makers = self._epoch(self._epoch_of(step)).makers
            yield self._rows[indices], torch.cat([maker.crop_boxes(indices) for maker in makers], dim=1)

    def _epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def _indices(self, step: int) -> Tensor:
        size = self._config.training.global_batch_size
        first = step % self.steps_per_epoch * size
        return self._epoch(self._epoch_of(step)).order[first : first + size]

    def _draw_epoch(self, epoch: int) -> _Epoch:
        config = self._config
        num_pairs = 2 if config.method.symmetry == "asymmetric_2x" and config.method.name == "simsiam" else 1
        seeds = [config.seed, *(derive(config.seed, "pair", number) for number in range(1, num_pairs))]
        sizes = self._images.sizes
        makers = []
        for seed in seeds:
            maker = ViewMaker(
                config.views,
                config.data.normalization,
                self.num_images,
                config.data.image_size,
                seed,
                source_sizes=None if sizes is None else sizes[self._rows],
            )
            maker.start_epoch(epoch)
            makers.append(maker)
        order = torch.randperm(self.num_images, generator=generator(config.seed, "order", epoch))
        return _Epoch(order, makers)
