"""What data sets hold, by name alone, and what that forbids before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from simclr_core.config.options import override
from simclr_core.config.schema import EvalConfig, RunConfig
from simclr_core.data import photos, torchvision_sets
from simclr_core.data.inventory import BUILT_IN, Inventory, inventory, training_problems
from simclr_core.evals.checks import label_problems

FEW = Inventory("few", 2, 40, 40)
ONE_CLASS = Inventory("one", 1, 400, 400)


def write_folder(root: Path, classes: tuple[str, ...], count: int = 2) -> None:
    """Empty files: nothing opens them."""
    for split in ("train", "test"):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{name}{number}.png").touch()


def test_built_in_data_sets_are_those_that_can_be_loaded() -> None:
    assert set(BUILT_IN) == {photos.NAME, *torchvision_sets.SETS}
    assert (BUILT_IN["photos"].num_classes, BUILT_IN["photos"].num_labelled) == (
        len(photos.PHOTOGRAPHS),
        photos.NUM_IMAGES["train"],
    )
    assert torchvision_sets.SETS == {"cifar10": CIFAR10, "cifar100": CIFAR100, "stl10": STL10}


def test_a_folder_is_counted_without_opening_a_file(tmp_path: Path) -> None:
    write_folder(tmp_path / "toy", ("ant", "bee"), 3)
    found = inventory("toy", tmp_path)

    assert (found.num_classes, found.num_pretrain, found.num_labelled, found.problems) == (2, 6, 6, ())
    assert found.files[3] == "train/bee/bee0.png"


def test_what_is_wrong_with_a_folder_is_told_whole(tmp_path: Path) -> None:
    write_folder(tmp_path / "toy", ("ant", "bee"))
    (tmp_path / "toy" / "test" / "cat").mkdir()

    assert [problem.rpartition("toy/")[2] for problem in inventory("toy", tmp_path).problems] == [
        "train: no class folder cat, which test has",
        "test/cat: no image; expected JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM, JPEG2000, AVIF",
    ]
    assert "no folder" in inventory("toi", tmp_path).problems[0]
    assert "did you mean 'toy'" in inventory("toi", tmp_path).problems[0]


@pytest.mark.parametrize(
    ("values", "found", "problems"),
    [
        ({}, FEW, ["training.global_batch_size = 256: few has 40 training images, which fill no batch"]),
        (
            {"training.step_count": "released"},
            FEW,
            ["training.global_batch_size = 256: few has 40 training images, which"],
        ),
        ({"training.epochs": 0}, FEW, []),
        ({"training.global_batch_size": 40}, FEW, []),
        ({"data.train_images": 300}, FEW, ["data.train_images = 300: few has 40 training images"]),
        ({}, ONE_CLASS, []),
        ({"training.knn_epochs": 1}, ONE_CLASS, ["training.knn_epochs = 1: few has one class"]),
        ({"method.name": "supervised"}, ONE_CLASS, ["method.num_classes = 10: few has 1 classes"]),
        ({"method.name": "supervised"}, BUILT_IN["stl10"], ["method.name = 'supervised': images of few have no label"]),
        (
            {"data.name": "photos", "data.reading": "stream"},
            BUILT_IN["photos"],
            ["data.reading = 'stream': photos is read"],
        ),
        ({}, Inventory("few", problems=("no folder",)), ["no folder"]),
    ],
)
def test_a_training_that_cannot_be_is_told(values: dict[str, object], found: Inventory, problems: list[str]) -> None:
    config = override(RunConfig(), {"data.name": "few"} | values)
    told = training_problems(config, found)

    assert len(told) == len(problems)
    assert all(one.startswith(other) for one, other in zip(told, problems, strict=True)), told


PROTOCOLS = ("linear", "linear_sgd", "knn", "fine_tune")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, ""),
        ({"num_labels": 4}, ""),
        ({"num_labels": 5}, "num_labels = 5: toy has 4 labelled training images"),
        ({"data": "one"}, "one has one class: nothing to tell apart; expected at least 2"),
        ({"data": "bird"}, "data.name = 'bird': no folder "),
        ({"data": "bent"}, "{root}/bent/test: no class folders; expected "),
        ({"data": "cifar100", "num_labels": 50_001}, "num_labels = 50001: cifar100 has 50000 labelled training images"),
        ({"data": "stl10", "num_labels": 5_001}, "num_labels = 5001: stl10 has 5000 labelled training images"),
        ({"label_list": "both.txt"}, ""),
        ({"label_list": "none.txt"}, "label_list = 'none.txt': no file {root}/toy/none.txt, and no file none.txt"),
        ({"label_list": "ants.txt"}, "{root}/toy/ants.txt: names images of one class, ant: nothing to tell apart"),
        (
            {"label_list": "others.txt"},
            "{root}/toy/others.txt: 1 names that are not among the 4 training images: cat0.png",
        ),
        ({"data": "cifar10", "label_list": "both.txt"}, "label_list = 'both.txt': images of cifar10 are no files"),
    ],
)
def test_labels_that_are_not_there_are_told(
    protocol: str, values: dict[str, object], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "toy", ("ant", "bee"))
    write_folder(tmp_path / "one", ("ant",))
    (tmp_path / "bent" / "train" / "ant").mkdir(parents=True)
    (tmp_path / "bent" / "train" / "ant" / "0.png").touch()
    for name, content in {
        "both": "ant0.png\nbee1.png",
        "ants": "ant0.png\nant1.png",
        "others": "ant0.png\ncat0.png",
    }.items():
        (tmp_path / "toy" / f"{name}.txt").write_text(content)
    evaluation = override(EvalConfig(protocol=protocol), values)
    told = label_problems([evaluation], "toy", lambda name: inventory(name, tmp_path), tmp_path)

    expected = f"evaluation {evaluation.metric}: {problem.format(root=tmp_path)}"
    assert bool(told) == bool(problem)
    assert all(one.startswith(expected) for one in told), told


def test_a_probe_asks_for_images_and_not_for_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", ("ant",))
    for name, content in {"single": "ant0.png", "pair": "ant0.png\nant1.png"}.items():
        (tmp_path / "one" / f"{name}.txt").write_text(content)

    def told(**values: object) -> list[str]:
        probe = override(EvalConfig(protocol="transform_probe"), values)
        return label_problems([probe], "one", lambda name: inventory(name, tmp_path), tmp_path)

    assert told() == told(label_list="pair.txt") == []
    assert [problem.rpartition(": ")[2] for problem in told(label_list="single.txt")] == [
        "names one image; expected at least 2"
    ]


def test_what_should_be_an_image_is_told_unless_it_may_be_skipped(tmp_path: Path) -> None:
    write_folder(tmp_path / "toy", ("ant", "bee"))
    (tmp_path / "toy" / "train" / "ant" / "gone.png").symlink_to("nowhere.png")
    found = inventory("toy", tmp_path)
    config = override(RunConfig(), {"data.name": "toy", "training.global_batch_size": 2})

    assert [line.partition("toy/")[2] for line in training_problems(config, found)] == [
        "train/ant/gone.png: a link to nowhere.png, which is not there"
    ]
    assert training_problems(override(config, {"data.unreadable": "skip"}), found) == []
    transfer = [EvalConfig(data="toy")]
    assert len(label_problems(transfer, "photos", lambda name: inventory(name, tmp_path), tmp_path)) == 1
