"""CIFAR and STL-10 in torchvision's layouts: tiny archives of the same format, from disk and from a server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import pickle
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from simclr_core.config.schema import DataConfig
from simclr_core.data import torchvision_sets
from simclr_core.data.datasets import DataError, Dataset, load_dataset, pretrain_indices

pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")

Write = Callable[[Any], Path]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def pixels(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def write_cifar(folder: Path, names: list[str], label_key: str, meta: tuple[str, str]) -> None:
    for number, name in enumerate(names):
        batch = {"data": pixels(4, 32, number).reshape(4, -1), label_key: [number, 1, 0, 2]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: [f"class{number}" for number in range(7)]}))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a tiny set of torchvision's class into <tmp>/data and let torchvision take it for the real one."""
    monkeypatch.setenv("no_proxy", "*")

    def write(kind: Any) -> Path:
        folder = tmp_path / "data" / kind.base_folder
        folder.mkdir(parents=True)
        if kind is STL10:
            for split, count in (("train", 3), ("unlabeled", 5), ("test", 2)):
                # STL-10 stores columns first
                (folder / f"{split}_X.bin").write_bytes(pixels(count, 96, count).transpose(0, 1, 3, 2).tobytes())
            (folder / "train_y.bin").write_bytes(bytes([2, 1, 2]))
            (folder / "test_y.bin").write_bytes(bytes([1, 2]))
            (folder / "class_names.txt").write_text("airplane\nbird\n")
        else:
            names = [name for name, _ in kind.train_list + kind.test_list]
            label_key = "labels" if kind is CIFAR10 else "fine_labels"
            write_cifar(folder, names, label_key, (kind.meta["filename"], kind.meta["key"]))
            monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(folder / kind.meta["filename"])})
        for files in ("train_list", "test_list"):
            monkeypatch.setattr(kind, files, [[name, md5(folder / name)] for name, _ in getattr(kind, files)])
        return folder

    return write


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Path], Path]:
    """Move the set's folder into the archive that torchvision expects, at <tmp>/<file>."""

    def pack(kind: Any, folder: Path) -> Path:
        archive = tmp_path / "server" / kind.filename
        archive.parent.mkdir()
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, kind.base_folder)
        folder.rename(tmp_path / "moved away")
        monkeypatch.setattr(kind, "tgz_md5", md5(archive))
        monkeypatch.setattr(kind, "url", f"http://127.0.0.1:1/{kind.filename}")  # nothing listens there
        return archive

    return pack


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    def load(name: str, image_size: int = 32, **settings: Any) -> Dataset:
        config = DataConfig(name=name, image_size=image_size, **settings)
        return load_dataset(config, tmp_path / "data", tmp_path / "cache", progress=False)

    return load


@pytest.mark.parametrize(("name", "kind"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_cifar_is_what_torchvision_s_data_set_gives(
    name: str, kind: Any, write: Write, load: Callable[..., Dataset], tmp_path: Path
) -> None:
    write(kind)
    dataset = load(name)

    for part, train in ((dataset.train, True), (dataset.test, False)):
        source = kind(tmp_path / "data", train=train)
        expected = np.stack([np.asarray(image) for image, _ in source]).transpose(0, 3, 1, 2)
        assert np.array_equal(torch.cat(list(part.whole(torch.arange(len(part)), 3))).numpy(), expected)
        assert part.labels.tolist() == [label for _, label in source]
        assert part.labels.dtype == torch.int64
    assert dataset.pretrain is dataset.train
    assert dataset.classes == tuple(f"class{number}" for number in range(7))
    assert dataset.train_files == ()


def test_stl10_pretrains_on_its_unlabelled_images(write: Write, load: Callable[..., Dataset], tmp_path: Path) -> None:
    write(STL10)
    dataset = load("stl10", 96)
    unlabelled = STL10(tmp_path / "data", "unlabeled")

    (images,) = dataset.pretrain.whole(torch.arange(5), 5)
    assert np.array_equal(images.numpy(), pixels(5, 96, 5))
    assert np.array_equal(images.numpy(), np.stack([np.asarray(i) for i, _ in unlabelled]).transpose(0, 3, 1, 2))
    assert dataset.pretrain.labels.tolist() == [-1] * 5
    assert dataset.train.labels.tolist() == [1, 0, 1]
    assert dataset.test.labels.tolist() == [0, 1]
    assert dataset.classes == ("airplane", "bird")
    with pytest.raises(DataError, match=r"data.train_images = 6: stl10 has 5"):
        pretrain_indices(DataConfig(name="stl10", train_images=6), len(dataset.pretrain))


def test_the_unlabelled_images_are_in_the_fingerprint(
    write: Write, load: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(STL10)
    before = load("stl10", 96).fingerprint
    (folder / "unlabeled_X.bin").write_bytes(pixels(5, 96, 99).tobytes())
    files = [[name, md5(folder / name)] for name, _ in STL10.train_list]
    monkeypatch.setattr(STL10, "train_list", files)

    assert load("stl10", 96).fingerprint != before


def test_another_size_is_resized_with_antialiasing(write: Write, load: Callable[..., Dataset]) -> None:
    write(STL10)
    (small,) = load("stl10", 32).test.whole(torch.arange(2), 2)
    source = torch.from_numpy(pixels(2, 96, 2)).float()
    expected = functional.interpolate(source, (32, 32), mode="bilinear", antialias=True)

    assert (small.float() - expected).abs().max() <= 1


def test_a_file_with_another_checksum_is_named_and_never_unpickled(write: Write, load: Callable[..., Dataset]) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("unpickled a file that failed its checksum",)

    folder = write(CIFAR10)
    for name in ("data_batch_3", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Payload()))

    with pytest.raises(DataError) as caught:
        load("cifar10")
    (problem,) = caught.value.problems
    assert f"missing or damaged in {folder}: data_batch_3, batches.meta; remove the folder" in problem


@pytest.mark.parametrize("missing", ["class_names.txt", "test_y.bin"])
def test_a_missing_file_of_stl10_is_named(missing: str, write: Write, load: Callable[..., Dataset]) -> None:
    (write(STL10) / missing).unlink()

    with pytest.raises(DataError, match=f"missing or damaged in .*: {missing}; remove"):
        load("stl10", 96)


def test_an_archive_put_into_data_dir_is_unpacked_without_a_network(
    write: Write, pack: Callable[..., Path], load: Callable[..., Dataset], tmp_path: Path
) -> None:
    archive = pack(CIFAR10, write(CIFAR10))
    archive.rename(tmp_path / "data" / archive.name)

    assert len(load("cifar10").train) == 20
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["cifar-10-batches-py", archive.name]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[str]:
    """A server of <tmp>/server; its address."""
    (tmp_path / "server").mkdir(exist_ok=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    handler = functools.partial(Quiet, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_set_that_is_not_there_is_fetched(
    write: Write,
    pack: Callable[..., Path],
    load: Callable[..., Dataset],
    serve: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "server").rmdir()
    archive = pack(CIFAR100, write(CIFAR100))
    monkeypatch.setattr(CIFAR100, "url", f"{serve}/{archive.name}")

    assert len(load("cifar100").train) == 4
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-100-python"]


def test_an_archive_with_another_checksum_is_not_unpacked(
    write: Write,
    pack: Callable[..., Path],
    load: Callable[..., Dataset],
    serve: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "server").rmdir()
    archive = pack(CIFAR100, write(CIFAR100))
    monkeypatch.setattr(CIFAR100, "url", f"{serve}/{archive.name}")
    monkeypatch.setattr(CIFAR100, "tgz_md5", "0" * 32)

    with pytest.raises(DataError, match=r"cannot be fetched \(."):
        load("cifar100")
    assert not list((tmp_path / "data").iterdir())


def test_without_a_network_the_message_says_what_to_put_where(
    write: Write, pack: Callable[..., Path], load: Callable[..., Dataset], tmp_path: Path
) -> None:
    pack(CIFAR10, write(CIFAR10))

    with pytest.raises(DataError) as caught:
        load("cifar10")
    (problem,) = caught.value.problems
    for part in (
        str(tmp_path / "data" / "cifar-10-batches-py"),
        "put cifar-10-python.tar.gz (from http://127.0.0.1:1/cifar-10-python.tar.gz, MD5",
        "the folder cifar-10-batches-py that it holds (data_batch_1, data_batch_2,",
        "test_batch, batches.meta)",
        f"into {tmp_path / 'data'}",
    ):
        assert part in problem
    assert not list((tmp_path / "data").iterdir())


def test_a_network_that_answers_nothing_does_not_hold_the_run(
    write: Write, pack: Callable[..., Path], load: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(CIFAR10, write(CIFAR10))
    monkeypatch.setattr(torchvision_sets, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/cifar-10-python.tar.gz")
        start = time.perf_counter()
        with pytest.raises(DataError, match=r"cannot be fetched \(."):
            load("cifar10")
    assert time.perf_counter() - start < 5
    assert socket.getdefaulttimeout() is None


def test_torchvision_s_sets_are_not_read_as_a_stream(load: Callable[..., Dataset]) -> None:
    with pytest.raises(DataError, match=r"data.reading = 'stream': cifar10 is read into memory"):
        load("cifar10", reading="stream")
