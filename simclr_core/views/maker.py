"""The views of every image of a batch: which transformations, and each image's own parameters.

Parameters are drawn once an epoch into tables with one row an image of the pre-training set, from generators named
by (seed, epoch, branch, transformation). A view depends on its row and on nothing else: not on the batch that the
image comes in, nor on its place there. The exceptions are drawn by (seed, step, branch): pixel noise, and with
``blur_sigma_per: batch``, as in SimCLR's code, the one sigma of a batch.

``standard``: both branches draw crop, color and blur and apply them in this order; AutoAugment can stand in the place
of color and blur. Then come those of ``ADDED`` whose probability is above 0, in that order, each for the images whose
coin says so. The papers name them (SimCLR App. B.2, Table 3) and give neither order nor probabilities: here what
changes a photograph comes first, and noise last, so that nothing smooths it.

``pair``: ``first`` then ``second`` (once if they are equal); before them, with ``base_crop: shared``, one crop and
resize without flip, the same for both branches; with ``branches: one``, branch 2 stops there (SimCLR Sec. 3.1,
Fig. 5). The coins of crop, color and blur keep their probabilities in a pair; the others are always applied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simclr_core.config.options import ConfigError
from simclr_core.config.schema import ViewsConfig
from simclr_core.data.datasets import normalise, to_float
from simclr_core.imaging.boxes import draw_boxes
from simclr_core.imaging.crops import crop_resize
from simclr_core.imaging.geometry import on_some
from simclr_core.seeding import generator
from simclr_core.views.transformations import CATALOGUE, StepSource, Table, draw_coins

ADDED = ("equalize", "solarize", "motion_blur", "sobel", "rotate", "noise")


class ViewMaker:
    """Makes two views, or one, of each image of a run on ``num_images`` images, ``image_size`` pixels a side.

    ``view_size``: pixels a side of the standard views, those of the images if it is None.
    ``source_sizes``, integers (num_images, 2), are the heights and widths of images that are read as a stream, whose
    crops the reader makes; None for squares of ``image_size``.
    """

    def __init__(
        self,
        config: ViewsConfig,
        normalization: str,
        num_images: int,
        image_size: int,
        seed: int,
        *,
        view_size: int | None = None,
        source_sizes: Tensor | None = None,
        num_views: int = 2,
    ) -> None:
        self.num_crops = 1 if config.kind == "pair" else num_views
        self.view_size = image_size if view_size is None else view_size
        self._config = config
        self._normalization = normalization
        self._image_size = image_size
        self._sizes = torch.full((num_images, 2), self.view_size)
        self._source_sizes = torch.full((num_images, 2), image_size) if source_sizes is None else source_sizes
        self._seed = seed
        self._chains = _chains(config)[:num_views]
        self._base_boxes: Tensor | None = None
        self._tables: list[dict[str, Table]] = []

    def start_epoch(self, epoch: int) -> None:
        """Draws the parameters of every image for this epoch; epochs can come in any order."""
        config = self._config
        if config.kind == "pair" and config.base_crop == "shared":
            source = generator(self._seed, "views", epoch, "both", "crop")
            self._base_boxes = draw_boxes(
                self._source_sizes, config.crop_min_area, source, config.crop_law, max_area=config.crop_max_area
            )
        self._tables = [
            {name: self._draw(name, generator(self._seed, "views", epoch, branch, name)) for name in chain}
            for branch, chain in enumerate(self._chains, start=1)
        ]

    def _draw(self, name: str, source: torch.Generator) -> Table:
        sizes = self._source_sizes if name == "crop" and self._config.kind == "standard" else self._sizes
        table = CATALOGUE[name].draw(self._config, sizes, source)
        if self._config.kind == "standard" and name in ADDED:
            table["chosen"] = draw_coins(len(sizes), getattr(self._config, f"{name}_probability"), source)
        return table

    def crop_boxes(self, indices: Tensor) -> Tensor:
        """What a reader is to crop from the images ``indices`` (B,), for this epoch: int64 (B, num_crops, 4).

        Top, left, height and width, in pixels of the source image: each branch's crop, or of a pair the crop that
        the branches share.
        """
        if self._base_boxes is not None:
            return self._base_boxes[indices.cpu()][:, None]
        return torch.stack([tables["crop"]["box"][indices.cpu()] for tables in self._tables], dim=1)

    def labels(self, task: str, branch: int) -> Tensor:
        """What was done to every image's view in ``branch``, 1 or 2, this epoch: int64 (num_images,), for a probe.

        ``color``: 1 where the view is gray; ``rotate``: quarter turns, 0-3; ``noise`` and ``sobel``: 1 where applied
        (SimCLR Table 3). Raises ConfigError if the views have no such transformation.
        """
        if task not in self._tables[branch - 1]:
            switch = "views.distortion = 'color'" if task == "color" else f"views.{task}_probability above 0"
            raise ConfigError([f"task = {task!r}: these views never apply it; expected {switch}"])
        table = self._tables[branch - 1][task]
        if task == "color":
            return table["gray"].long()
        chosen = table["chosen"].long() if "chosen" in table else torch.ones(len(self._sizes), dtype=torch.long)
        return table["turns"] * chosen if task == "rotate" else chosen

    @torch.no_grad()
    def __call__(
        self, images_u8: Tensor | Sequence[Tensor], indices: Tensor, step: int, own: slice | None = None
    ) -> list[Tensor]:
        """The views, each float32 (b, 3, view_size, view_size), normalised, on the images' device.

        ``indices`` (B,) are the positions of a batch in the pre-training set; ``images_u8``, uint8 (b, 3, S, S), are
        its images, or the part ``own`` of them where several processes share a batch; or ``num_crops`` tensors, uint8
        (b, 3, view_size, view_size), where ``crop_boxes`` have been cropped and resized already, and of the views'
        crop only flips are left. ``step`` counts over the whole run. ``start_epoch`` comes first.
        """
        own = slice(0, len(indices)) if own is None else own
        rows = indices.cpu()[own]
        others = (own.start, len(indices) - own.stop)
        cropped = not isinstance(images_u8, Tensor) and self._config.kind == "standard"
        if isinstance(images_u8, Tensor):
            sources = [self._base(to_float(images_u8), rows)] * len(self._chains)
        elif cropped:
            sources = [to_float(crop) for crop in images_u8]
        else:
            sources = [to_float(images_u8[0])] * len(self._chains)
        return [
            self._view(source, rows, step, branch, others, cropped=cropped)
            for branch, source in enumerate(sources, start=1)
        ]

    def _base(self, images: Tensor, indices: Tensor) -> Tensor:
        """What both branches start from."""
        if self._base_boxes is None:
            return images
        boxes = self._base_boxes[indices]
        return crop_resize(images, boxes, self._image_size, self._config.crop_interpolation).clamp_(0, 1)

    def _view(
        self, images: Tensor, indices: Tensor, step: int, branch: int, others: tuple[int, int], *, cropped: bool
    ) -> Tensor:
        def by_step(name: str) -> torch.Generator:
            return generator(self._seed, name, step, branch)

        for name in self._chains[branch - 1]:
            rows = {key: values.index_select(0, indices) for key, values in self._tables[branch - 1][name].items()}
            if name == "noise":
                source = generator(self._seed, "noise", step, branch, device=images.device)
                rows["noise"] = _draw_noise(images, others, source)
            if name == "crop" and not cropped:
                images = self._crop(images, rows["box"])
            images = self._apply(name, images, rows, by_step)
        return normalise(images, self._normalization)

    def _crop(self, images: Tensor, boxes: Tensor) -> Tensor:
        """Views that are smaller than the images are antialiased, since boxes may be larger than the views."""
        interpolation, antialias = self._config.crop_interpolation, self.view_size < self._image_size
        return crop_resize(images, boxes, self.view_size, interpolation, antialias=antialias)

    def _apply(self, name: str, images: Tensor, rows: Table, by_step: StepSource) -> Tensor:
        """``name`` on all images, or on those that were chosen."""
        if "chosen" not in rows:
            return CATALOGUE[name].apply(self._config, images, rows, by_step)
        columns = [column for column in rows if column != "chosen"]

        def apply(images: Tensor, *values: Tensor) -> Tensor:
            return CATALOGUE[name].apply(self._config, images, dict(zip(columns, values, strict=True)), by_step)

        return on_some(images, rows["chosen"], apply, *(rows[column] for column in columns))


def _draw_noise(images: Tensor, others: tuple[int, int], source: torch.Generator) -> Tensor:
    """Standard normal, of the images' shape; ``others`` come before and after them in a batch that processes share.

    It is drawn for the whole batch: torch gives no part of a draw without the rest.
    """
    before, after = others
    whole = torch.randn(before + len(images) + after, *images.shape[1:], generator=source, device=images.device)
    return whole[before : before + len(images)]


def _chains(config: ViewsConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the transformations of branch 1 and of branch 2, in order."""
    if config.kind == "standard":
        distortion = ("color", "blur") if config.distortion == "color" else ("autoaugment",)
        added = (name for name in ADDED if getattr(config, f"{name}_probability") > 0)
        chain: tuple[str, ...] = ("crop", *distortion, *added)
        return chain, chain
    chain = (config.first,) if config.first == config.second else (config.first, config.second)
    return chain, chain if config.branches == "both" else ()
