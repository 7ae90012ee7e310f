"""What a mini run's evaluations cost: linear and kNN on features, 5,000 labels, 10,000 test images.

The network is that of ``simclr_mini``, trained as long, since the solver's work hangs on how the features are spread:
on the images of ``mini`` where they are, else on the built-in photographs, whose test images are mirrored and turned
until they are enough.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from benchmarks.tables import Table, in_turns, speed_ratio
from simclr_core.config.cost import forward_multiply_adds
from simclr_core.config.recipes.simclr import simclr_mini
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.data import photos
from simclr_core.data.datasets import ImageSet, label_indices, load_dataset
from simclr_core.evals.embed import Embeddings, embed
from simclr_core.evals.knn import knn_scores
from simclr_core.evals.linear import HOLDOUT_EVERY, L2_LEVELS, fit_linear
from simclr_core.evals.standardise import Standardise
from simclr_core.processes.distributed import World
from simclr_core.processes.malloc import keep_freed_memory
from simclr_core.training.loop import pretrain

DATA = Path("data")
NUM_LABELS, NUM_TEST = 5_000, 10_000
K, TEMPERATURE = 200, 0.1
ROUNDS = 3
CPU = torch.device("cpu")


def run() -> list[Table]:
    """The share of a run, and every part beside another way to it."""
    torch.set_num_threads(1)  # as a worker of a grid
    keep_freed_memory()
    config = simclr_mini()
    if not (DATA / config.data.name).exists():
        config.data.name = photos.NAME
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = load_dataset(config.data, DATA, folder / "cache")
        start = time.perf_counter()
        training = pretrain(config, dataset.pretrain, World(), RuntimeConfig(), folder, lambda _: None)
        training_s = time.perf_counter() - start
    method = training.method.eval()
    normalization = config.data.normalization
    assert isinstance(dataset.test, ImageSet)
    labelled = label_indices(dataset.train.labels, NUM_LABELS, label_seed=0)
    test_images = in_all_orientations(dataset.test, NUM_TEST)

    def embed_all() -> tuple[Embeddings, Embeddings]:
        own = embed(method, dataset.train, normalization, CPU, rows=labelled)
        return own, embed(method, test_images, normalization, CPU)

    train, test = embed_all()
    num_classes = len(dataset.classes)

    square = torch.randn(1024, 1024)
    ways: dict[str, Callable[[], object]] = {
        "embedding": embed_all,
        PRODUCT: lambda: square @ square,
    }
    ways |= ways_of(train, test, num_classes)
    timings = in_turns(ways, ROUNDS)
    own = [name for name in timings if not name.endswith((PRODUCT, SCIKIT_LEARN, TOPK))]
    seconds = {"training": training_s} | {name: statistics.median(timings[name]) for name in own}
    total = sum(seconds.values())
    seconds["all evaluation"] = total - training_s
    flops = 2 * forward_multiply_adds(config) * (NUM_LABELS + NUM_TEST)
    limit = statistics.median(timings[PRODUCT]) / (2 * 1024**3) * flops / seconds["embedding"]
    return [
        Table(
            "Evaluation in a mini run",
            ("part", "seconds", "% of both"),
            [(name, value, 100 * value / total) for name, value in seconds.items()],
            f"Linear and kNN on features, {NUM_LABELS:,} labels, {NUM_TEST:,} test images of {dataset.name}, one"
            " thread. Both share the embedding.",
        ),
        Table(
            "Its parts beside others",
            ("part", "beside", "times as fast"),
            [
                *((name, OTHERS[name], speed_ratio(timings, name, other_of(name))) for name in own[1:]),
                ("embedding", "its multiply-adds in matrix products of 1,024 rows and columns", limit),
            ],
        ),
    ]


PRODUCT, SCIKIT_LEARN, TOPK = "product", "by scikit-learn", "by topk"
OTHERS = {
    "linear": "scikit-learn's L-BFGS, which stops after 100 steps before it has converged",
    "kNN": "the same by torch.topk",
}


def other_of(name: str) -> str:
    """The other way's name to ``linear``, say."""
    return f"{name} {SCIKIT_LEARN if name == 'linear' else TOPK}"


def in_all_orientations(images: ImageSet, num: int) -> ImageSet:
    """Quarter turns and mirrored ones after the images themselves, ``num`` in all."""
    parts = math.ceil(num / len(images))
    turned = [torch.rot90(images.images.flip(3) if part >= 4 else images.images, part, (2, 3)) for part in range(parts)]
    return ImageSet(torch.cat(turned)[:num], images.labels.repeat(parts)[:num])


def ways_of(train: Embeddings, test: Embeddings, num_classes: int) -> dict[str, Callable[[], object]]:
    """Both protocols on features, ours and another's."""
    bank, queries, labels = train.features, test.features, train.labels
    return {
        "linear": lambda: fit_linear(bank, labels).scores(queries, num_classes),
        other_of("linear"): lambda: by_scikit_learn(bank, labels, queries),
        "kNN": lambda: knn_scores(bank, labels, queries, num_classes, k=K, temperature=TEMPERATURE),
        other_of("kNN"): lambda: by_topk(bank, labels, queries, num_classes),
    }


def by_scikit_learn(train: Tensor, labels: Tensor, test: Tensor) -> None:
    """As many fits, with its default solver and limit of steps, each from where the last ended."""
    standardise = Standardise.by(train)
    x, y = standardise(train).numpy(), labels.numpy()
    model = LogisticRegression(warm_start=True)
    part = torch.arange(len(y)) % HOLDOUT_EVERY != 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for l2 in L2_LEVELS:
            model.set_params(C=1 / (l2 * int(part.sum()))).fit(x[part], y[part])
        model.set_params(C=1 / (L2_LEVELS[-1] * len(y))).fit(x, y)
    model.decision_function(standardise(test).numpy())


def by_topk(bank: Tensor, labels: Tensor, queries: Tensor, num_classes: int) -> None:
    """The usual lines for it, in parts of 500 queries."""
    bank = functional.normalize(bank, dim=1)
    for part in functional.normalize(queries, dim=1).split(500):
        nearest, indices = (part @ bank.T).topk(K, dim=1)
        votes = (nearest / TEMPERATURE).exp()
        torch.zeros(len(part), num_classes).scatter_add_(1, labels[indices], votes)
