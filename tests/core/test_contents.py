"""Content belongs to a name and version within a store; decoded images are kept by content."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy import toy_config, write_toy

from simclr_core.config.identity import canonical, run_id
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import DataConfig, EvalConfig
from simclr_core.data import image_folder
from simclr_core.data.contents import check_content
from simclr_core.data.datasets import DataError, Dataset, load_dataset
from simclr_core.records import read_json, write_json
from simclr_core.run import execute

TOY = DataConfig("toy", version=1, image_size=32)
MINI = Path(__file__).parents[2] / "docs" / "results" / "mini" / "runs"


def two_projects(tmp_path: Path) -> tuple[RuntimeConfig, RuntimeConfig]:
    """Two folders ``toy`` of other images, one cache."""
    first, second = write_toy(tmp_path / "first"), write_toy(tmp_path / "second")
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "second/toy/train/red/0.png")
    second.cache_dir = first.cache_dir
    return first, second


def test_two_projects_may_each_have_a_data_set_of_one_name(tmp_path: Path) -> None:
    config = toy_config(values={"training.epochs": 0})
    found = []
    for number, runtime in enumerate(two_projects(tmp_path)):
        run_dir = tmp_path / f"runs_{number}" / run_id(config)
        execute(config, [], runtime, run_dir)
        found.append(read_json(run_dir / "result.json")["data_fingerprint"])
        assert read_json(run_dir.parent / ".data/toy.1.32px/content.json")["fingerprints"] == found[-1:]

    assert found[0] != found[1]


def test_a_run_on_other_images_than_those_of_its_store_is_refused_and_the_first_still_goes(tmp_path: Path) -> None:
    first, second = two_projects(tmp_path)
    store = tmp_path / "runs"
    configs = [toy_config(values={"training.epochs": 0, "seed": seed}) for seed in range(3)]
    execute(configs[0], [], first, store / run_id(configs[0]))

    with pytest.raises(DataError) as caught:
        execute(configs[1], [], second, store / run_id(configs[1]))
    (problem,) = caught.value.problems
    assert f"data.name = 'toy', data.version = 1: {tmp_path / 'second/toy'} has other images or labels" in problem
    assert f"than the runs of {store} rest on, which {store / '.data/toy.1.32px/content.json'} tells" in problem
    assert "raise data.version" in problem
    assert not (store / run_id(configs[1]) / "checkpoint.pt").exists()
    execute(configs[1], [], first, store / run_id(configs[1]))
    raised = toy_config(values={"training.epochs": 0, "data.version": 2})
    execute(raised, [], second, store / run_id(raised))


def test_what_an_evaluation_transfers_to_is_kept_too(tmp_path: Path) -> None:
    first, second = two_projects(tmp_path)
    for runtime in (first, second):
        shutil.copytree(tmp_path / "first/toy", Path(runtime.data_dir) / "own")
    config = toy_config(values={"training.epochs": 0, "data.name": "own"})
    evaluation = EvalConfig(protocol="knn", data="toy", num_labels=10)
    store = tmp_path / "runs"
    execute(config, [evaluation], first, store / run_id(config))

    assert sorted(path.name for path in (store / ".data").iterdir()) == ["own.1.32px", "toy.1.32px"]
    with pytest.raises(DataError, match=r"data\.name = 'toy'.* has other images or labels"):
        execute(config, [EvalConfig(protocol="knn", data="toy", num_labels=11)], second, store / run_id(config))


def test_of_several_that_start_at_once_one_content_wins(tmp_path: Path) -> None:
    start = threading.Barrier(8, timeout=10)
    kept: list[str] = []

    def check(fingerprint: str) -> None:
        start.wait()
        try:
            check_content(tmp_path / "runs", tmp_path / "toy", TOY, fingerprint)
        except DataError:
            return
        kept.append(fingerprint)

    threads = [threading.Thread(target=check, args=(str(number % 4),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept) == 2
    assert len(set(kept)) == 1
    assert [path.name for path in (tmp_path / "runs/.data").rglob("*")] == ["toy.1.32px", "content.json"]


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A store from before contents were kept: a finished run, one that is not, a torn one, and other things."""
    store = tmp_path / "runs"
    own = DataConfig("toy", image_size=32, reading="stream", unreadable="skip")
    for name, result in (("done", {"data_fingerprint": "a"}), ("torn", None), ("going", None)):
        write_json(store / name / "spec.json", {"config": {"data": canonical(own)}})
        if result:
            write_json(store / name / "result.json", result)
    (store / "torn" / "result.json").write_text("{")
    evaluation = {"evaluation": canonical(EvalConfig(data="other")), "data_fingerprint": "b"}
    write_json(store / "done" / "evals" / "linear.json", evaluation)
    (store / "notes.txt").write_text("")
    (store / ".declared").mkdir()
    return store


def test_the_results_of_an_older_store_tell_its_contents(old_store: Path) -> None:
    own = DataConfig("toy", image_size=32, reading="stream", unreadable="skip", train_images=10)
    other = DataConfig("other", image_size=32, reading="stream")
    for data, fingerprint in ((own, "a"), (other, "b")):
        with pytest.raises(DataError, match=r"has other names, lengths or classes of files"):
            check_content(old_store, Path("data"), data, "c")
        check_content(old_store, Path("data"), data, fingerprint)
    check_content(old_store, Path("data"), TOY, "new")

    with pytest.raises(DataError):
        check_content(old_store, Path("data"), TOY, "newer")


def test_the_committed_store_is_protected_and_goes_on(tmp_path: Path) -> None:
    run_dir = min(MINI.glob("simclr-*"))
    shutil.copytree(run_dir, tmp_path / run_dir.name)
    told = read_json(run_dir / "result.json")["data_fingerprint"]
    data = DataConfig("cifar10-jpeg", image_size=32, train_images=5000)

    with pytest.raises(DataError, match="rest on"):
        check_content(tmp_path, Path("data/cifar10-jpeg"), data, "0" * 64)
    check_content(tmp_path, Path("data/cifar10-jpeg"), data, told)


def test_results_that_disagree_are_all_accepted(old_store: Path) -> None:
    shutil.copytree(old_store / "done", old_store / "also")
    write_json(old_store / "also" / "result.json", {"data_fingerprint": "z"})
    own = DataConfig("toy", image_size=32, reading="stream", unreadable="skip")
    for fingerprint in ("a", "z"):
        check_content(old_store, Path("data"), own, fingerprint)

    assert read_json(old_store / ".data/toy.1.stream_readable/content.json")["fingerprints"] == ["a", "z"]


def test_sets_that_come_with_packages_are_not_kept(tmp_path: Path) -> None:
    for fingerprint in ("a", "b"):
        check_content(tmp_path / "runs", Path("data"), DataConfig("photos"), fingerprint)

    assert not (tmp_path / "runs").exists()


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    check_content(tmp_path, Path("data"), TOY, "a")
    path = tmp_path / ".data/toy.1.32px/content.json"
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"content\.json: damaged .*; it says which images the runs of"):
            check_content(tmp_path, Path("data"), TOY, "a")


def bitmaps(data_dir: Path, seed: int) -> Path:
    """A folder ``toy`` whose files have the same names, lengths and times of writing whatever they show."""
    root = data_dir / "toy"
    for number, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        (root / folder).mkdir(parents=True)
        pixels = np.random.default_rng((seed, number)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        path = root / folder / "0.bmp"
        Image.fromarray(pixels).save(path)
        os.utime(path, (0, 0))
    return root


def load(data_dir: Path, cache: Path, config: DataConfig = TOY) -> Dataset:
    return load_dataset(config, data_dir, cache, progress=False)


def pixels_of(root: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(root / f"train/{name}/0.bmp")).transpose(2, 0, 1) for name in "ab"])


def test_the_cache_tells_folders_of_one_name_apart_and_keeps_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [bitmaps(tmp_path / str(seed), seed) for seed in range(2)]
    for root in roots:
        assert np.array_equal(load(root.parent, tmp_path / "cache").train.images, pixels_of(root))
    monkeypatch.setattr(image_folder, "decode", lambda *_: pytest.fail("decoded again"))
    for root in roots:
        assert np.array_equal(load(root.parent, tmp_path / "cache").train.images, pixels_of(root))


def test_a_copy_of_a_folder_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(bitmaps(tmp_path / "here", 0).parent, tmp_path / "cache")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    monkeypatch.setattr(image_folder, "decode", lambda *_: pytest.fail("decoded again"))

    assert torch.equal(load(tmp_path / "there", tmp_path / "cache").train.images, first.train.images)


def test_a_file_replaced_under_its_old_time_is_seen(tmp_path: Path) -> None:
    root, other = bitmaps(tmp_path / "here", 0), bitmaps(tmp_path / "there", 1)
    before = load(root.parent, tmp_path / "cache")
    shutil.copy2(other / "train/a/0.bmp", root / "train/a/0.bmp")
    after = load(root.parent, tmp_path / "cache")

    assert (root / "train/a/0.bmp").stat().st_mtime == 0
    assert np.array_equal(after.train.images, pixels_of(root))
    assert after.fingerprint != before.fingerprint


def test_sizes_of_a_stream_are_those_of_its_own_folder(tmp_path: Path) -> None:
    roots = [bitmaps(tmp_path / str(seed), seed) for seed in range(2)]
    for root in roots:
        path = root / "train/a/0.bmp"
        Image.new("RGB", (32, 24) if root == roots[0] else (24, 32)).save(path)
        os.utime(path, (0, 0))
    stream = DataConfig("toy", image_size=32, reading="stream")

    sizes = [load(root.parent, tmp_path / "cache", stream).train.sizes for root in roots]
    assert [found[0].tolist() for found in sizes if found is not None] == [[24, 32], [32, 24]]
