"""The training batches of a run as a function of the step: which images, in which views.

A step's images and views follow from the seed and the step, and from the order of the epoch where a method sets one.
The views are the method's large views, then the small views (multi-crop, SwAV).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from simclr_core.config.schema import RunConfig, ViewsConfig
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
                indices, views, crops = self._indices(step), [], iter(own)
                for maker in self._epoch(self._epoch_of(step)).makers:
                    part = own if isinstance(own, Tensor) else list(itertools.islice(crops, maker.num_crops))
                    views += maker(part, indices, step, self._slice)
                own_indices = indices[self._slice]
                labels = self._images.labels[self._rows[own_indices]]
                yield Batch(step, own_indices.to(self._device), labels.to(self._device), views)

    def _pixels(self, start: int, stop: int) -> Generator[Tensor | list[Tensor], None, None]:
        """uint8: whole images (B, 3, S, S) from memory, or from a stream all crops, (B, 3, s, s) each."""
        if self._in_memory is not None:
            for step in range(start, stop):
                yield self._in_memory.index_select(0, self._indices(step)[self._slice].to(self._device))
            return
        interpolation = self._config.views.crop_interpolation
        sizes = [maker.view_size for maker in self._makers() for _ in range(maker.num_crops)]
        with contextlib.closing(
            self._images.crops(self._boxes(start, stop), self._num_workers, interpolation, sizes)
        ) as decoded:
            for crops in decoded:
                yield [crop.to(self._device, non_blocking=True) for crop in crops]

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
        makers = self._makers()
        for maker in makers:
            maker.start_epoch(epoch)
        order = self._orders.get(epoch)
        if order is None:
            order = torch.randperm(self.num_images, generator=generator(self._config.seed, "order", epoch))
        return _Epoch(order, makers)

    def _makers(self) -> list[ViewMaker]:
        """Makers of the large views, then of the small ones."""
        config, views = self._config, self._config.views
        small = replace(views, crop_min_area=views.small_min_area, crop_max_area=views.small_max_area)
        return [
            *self._makers_of(views, config.data.image_size, config.method.num_views, "pair"),
            *self._makers_of(small, views.small_size, views.small_views, "small"),
        ]

    def _makers_of(self, views: ViewsConfig, view_size: int, num_views: int, name: str) -> Iterator[ViewMaker]:
        """Makers of ``num_views`` views of one size, two a maker; each draws from a seed of its own."""
        config, sizes = self._config, self._images.sizes
        for number, first in enumerate(range(0, num_views, 2)):
            yield ViewMaker(
                views,
                config.data.normalization,
                self.num_images,
                config.data.image_size,
                config.seed if (name, number) == ("pair", 0) else derive(config.seed, name, number),
                view_size=view_size,
                source_sizes=None if sizes is None else sizes[self._rows],
                num_views=min(2, num_views - first),
            )
