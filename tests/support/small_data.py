"""A small data set in memory, and a small run on it: what tests of evaluations share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import DataConfig, EvalConfig, RunConfig
from simclr_core.data.datasets import Dataset, ImageSet
from simclr_core.evals.embed import embed, names_to_embed
from simclr_core.evals.material import Load, Pretrained
from simclr_core.methods import build_network
from simclr_core.networks.network import Network

SIZE = 16
NUM_CLASSES = 6
CPU = torch.device("cpu")


def image_set(count: int, seed: int) -> ImageSet:
    """Noisy images, each class with a colour and a bright corner of its own."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % NUM_CLASSES
    colours = torch.rand(NUM_CLASSES, 3, 1, 1, generator=torch.Generator().manual_seed(9))
    images = 60 + 120 * colours[labels] + 40 * torch.randn(count, 3, SIZE, SIZE, generator=source)
    for row, label in enumerate(labels.tolist()):
        top, left = 8 * (label % 2), 5 * (label // 2)
        images[row, :, top : top + 6, left : left + 5] += 60
    return ImageSet(images.clamp(0, 255).byte(), labels)


def small_dataset(name: str = "toy", seed: int = 0) -> Dataset:
    """48 training images and 30 test images of six classes."""
    train, test = image_set(48, seed), image_set(30, seed + 1)
    return Dataset(name, tuple("abcdef"), train, train, test, f"fingerprint of {name}")


def with_test(dataset: Dataset, images: torch.Tensor | None = None, labels: torch.Tensor | None = None) -> Dataset:
    """The same with other test images or labels."""
    test = dataset.test
    assert isinstance(test, ImageSet)
    return replace(
        dataset,
        test=ImageSet(test.images if images is None else images, test.labels if labels is None else labels),
    )


def small_config(**values: object) -> RunConfig:
    """``simclr_mini``, smaller; keys with ``__`` for the dots."""
    changes = {
        "data.name": "toy",
        "data.image_size": SIZE,
        "data.train_images": 40,
        "backbone.width_multiplier": 0.125,
        "projector.dim": 16,
        "training.global_batch_size": 8,
        "training.epochs": 1,
        "optimizer.warmup_epochs": 0,
    }
    return override(recipe("simclr_mini"), changes | {key.replace("__", "."): value for key, value in values.items()})


def small_network(config: RunConfig) -> Network:
    """Untrained, with BN statistics of its own, in eval mode."""
    torch.manual_seed(0)
    network = build_network(config).train()
    with torch.no_grad():
        for seed in range(3):
            network.projector(network.features(image_set(48, seed).images.float() / 255))
    return network.eval()


def no_load(data: DataConfig) -> Dataset:
    """No other data set is there."""
    raise AssertionError(data)


def small_source(
    config: RunConfig,
    network: Network,
    dataset: Dataset,
    evaluations: Sequence[EvalConfig] = (),
    *,
    outcome: str = "trained",
    load: Load = no_load,
) -> Pretrained:
    """A network as evaluations are given it, with what these read of the test images."""
    names = names_to_embed(evaluation.embedding for evaluation in evaluations)
    test = embed(network, dataset.test, "none", CPU, names=names)
    return Pretrained(config, network, outcome, dataset, test, CPU, RuntimeConfig(), load)
