"""The training batches of a run as a function of the step: which images, in which views.

A step's images and views follow from the seed and the step, and from the order of the epoch where a method sets one.
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
from simclr_core.methods.base import Batch
from simclr_core.processes.distributed import World
from simclr_core.seeding import derive, generator
from simclr_core.views.maker import ViewMaker


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
        self._orders: dict[int, Tensor] = {}
        self.num_images = len(self._rows)
        self.steps_per_epoch = self.num_images // config.training.global_batch_size

    @property
    def rows(self) -> Tensor:
        """Which images of the set the run trains on: int64 (num_images,)."""
        return self._rows

    def set_order(self, epoch: int, order: Tensor | None) -> None:
        """What an epoch sees, one position in the pre-training set after the other, in place of a random order.

        Raises ValueError for an order that is too short to fill the batches of an epoch.
        """
        if order is None:
            return
        needed = self.steps_per_epoch * self._config.training.global_batch_size
        if len(order) < needed:
            raise ValueError(f"the order of epoch {epoch} has {len(order)} images, expected at least {needed}")
        self._orders = {epoch: order.cpu()}
        self._epoch.cache_clear()

    def steps(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of the steps from ``start`` up to ``stop``, excluded."""
        with contextlib.closing(self._pixels(start, stop)) as pixels:  # worker processes end with it
            for step, own in zip(range(start, stop), pixels, strict=True):
                indices, makers = self._indices(step), self._epoch(self._epoch_of(step)).makers
                parts = (
                    own.split([maker.num_crops for maker in makers], dim=1) if own.ndim == 5 else [own] * len(makers)
                )
                views: list[Tensor] = []
                for maker, part in zip(makers, parts, strict=True):
                    views += maker(part, indices, step, self._slice)
                own_indices = indices[self._slice]
                labels = self._images.labels[self._rows[own_indices]]
                yield Batch(step, own_indices.to(self._device), labels.to(self._device), views)

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
        counts = [2] * (config.method.num_views // 2) + [1] * (config.method.num_views % 2)
        seeds = [config.seed, *(derive(config.seed, "pair", number) for number in range(1, len(counts)))]
        sizes = self._images.sizes
        makers = []
        for seed, num_views in zip(seeds, counts, strict=True):
            maker = ViewMaker(
                config.views,
                config.data.normalization,
                self.num_images,
                config.data.image_size,
                seed,
                source_sizes=None if sizes is None else sizes[self._rows],
                num_views=num_views,
            )
            maker.start_epoch(epoch)
            makers.append(maker)
        order = self._orders.get(epoch)
        if order is None:
            order = torch.randperm(self.num_images, generator=generator(config.seed, "order", epoch))
        return _Epoch(order, makers)
