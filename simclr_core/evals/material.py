"""What evaluations are given: a pre-trained network, its data, and embeddings that evaluations share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import DataConfig, EvalConfig, RunConfig
from simclr_core.data.datasets import Dataset, Images, label_indices, transferred_to
from simclr_core.data.label_lists import LabelList, find_label_list, labels_from_list
from simclr_core.evals.embed import Embeddings, Reading, embed, names_to_embed
from simclr_core.evals.embed_views import EmbeddedViews, embed_views
from simclr_core.networks.network import Network
from simclr_core.seeding import derive

Load = Callable[[DataConfig], Dataset]
"""Gives another data set by its configuration; raises DataError."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network to evaluate, and what it was pre-trained on and how it ended."""

    config: RunConfig
    network: Network
    outcome: str
    dataset: Dataset
    test: Embeddings  # of the test images of ``dataset``, with all that the evaluations read
    device: torch.device
    runtime: RuntimeConfig
    load: Load


@dataclass(eq=False)
class Material:
    """What evaluations on the same labels share; each part is made when the first of them needs it."""

    source: Pretrained
    evaluations: Sequence[EvalConfig]
    _views: dict[tuple[str, int], EmbeddedViews] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        """The pre-trained network, which nobody may change."""
        return self.source.network

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.source.device

    @property
    def reading(self) -> Reading:
        """How images come to the network."""
        data = self.source.config.data
        return Reading(data.image_size, data.normalization, self.device, self.source.runtime.num_workers)

    @functools.cached_property
    def data(self) -> Dataset:
        """The data set pre-trained on, or the one to transfer to, at the same size in pixels."""
        name = self.evaluations[0].data
        source = self.source
        return source.load(transferred_to(name, source.config.data)) if name else source.dataset

    @property
    def num_classes(self) -> int:
        """C, those of the data set."""
        return len(self.data.classes)

    @functools.cached_property
    def label_list(self) -> LabelList | None:
        """The list that names the labelled images, if there is one."""
        name = self.evaluations[0].label_list
        if not name:
            return None
        path = find_label_list(name, self.source.runtime.data_path / self.data.name)
        return labels_from_list(path, self.data.train_files)

    @functools.cached_property
    def rows(self) -> Tensor:
        """Positions of the training images whose labels may be seen, (n,)."""
        if self.label_list:
            return torch.tensor(self.label_list.rows)
        first = self.evaluations[0]
        return label_indices(self.data.train.labels, first.num_labels, first.label_seed)

    @functools.cached_property
    def train(self) -> Embeddings:
        """Of the labelled training images."""
        return self._embed(self.data.train, self.rows)

    @functools.cached_property
    def test(self) -> Embeddings:
        """Of the test images."""
        return self._embed(self.data.test, None) if self.evaluations[0].data else self.source.test

    def views(self, split: str, seed: int) -> EmbeddedViews:
        """Of the labelled training images or of the test images, drawn as for pre-training, by a seed of their own.

        They serve all tasks and embeddings.
        """
        if (split, seed) not in self._views:
            images = self.data.train if split == "train" else self.data.test
            rows = self.rows if split == "train" else torch.arange(len(images))
            own_seed = derive(seed, "transform_probe", split)
            views = self.source.config.views
            self._views[split, seed] = embed_views(
                self.network, images, rows, views, self.reading, own_seed, self._names
            )
        return self._views[split, seed]

    @property
    def _names(self) -> tuple[str, ...]:
        return names_to_embed(evaluation.embedding for evaluation in self.evaluations)

    def _embed(self, images: Images, rows: Tensor | None) -> Embeddings:
        how = self.reading
        return embed(
            self.network,
            images,
            how.normalization,
            how.device,
            rows=rows,
            num_workers=how.num_workers,
            names=self._names,
        )
