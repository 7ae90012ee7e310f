"""Label subsets by list, and the shares of CIFAR-10."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from simclr_core.data.datasets import DataError, label_indices
from simclr_core.data.label_lists import find_label_list, labels_from_list

FILES = [f"train/{wnid}/{wnid}_{number}.JPEG" for wnid in ("n01", "n02", "n03") for number in (7, 11, 105)]


def test_a_published_list_names_images_without_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "1percent.txt"
    path.write_text("n03_7.JPEG\nn01_105.JPEG\n\nn02_11.JPEG\n")
    chosen = labels_from_list(path, FILES)

    assert chosen.rows == (2, 4, 6)
    assert chosen.sha256 == hashlib.sha256(b"n03_7.JPEG\nn01_105.JPEG\n\nn02_11.JPEG\n").hexdigest()


def test_a_class_tells_images_of_one_name_apart(tmp_path: Path) -> None:
    files = ["train/cat/0 a.jpg", "train/cat/1.jpg", "train/dog/0 a.jpg"]
    path = tmp_path / "list.txt"
    path.write_text("dog/0 a.jpg\n1.jpg")
    assert labels_from_list(path, files).rows == (1, 2)

    path.write_text("0 a.jpg")
    with pytest.raises(DataError, match=r"1 names that several training images have \(write <class>/<name>\): 0 a.jpg"):
        labels_from_list(path, files)


def test_everything_wrong_with_a_list_is_told_with_count_and_first_names(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    unknown = [f"n09_{number}.JPEG" for number in range(8)]
    path.write_text("\n".join([*unknown, "n01_7.JPEG", "n01/n01_7.JPEG"]))

    with pytest.raises(DataError) as caught:
        labels_from_list(path, FILES)
    assert caught.value.problems == [
        f"{path}: 8 names that are not among the 9 training images: {', '.join(unknown[:5])}, ...",
        f"{path}: 1 images that are named more than once: train/n01/n01_7.JPEG",
    ]


@pytest.mark.parametrize(("content", "said"), [(b"\n\n", "names no image"), (b"\xff\xfe\xfa", "not a list")])
def test_a_file_that_is_no_list_is_told(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        labels_from_list(path, FILES)


def test_a_byte_order_mark_is_no_part_of_a_name_and_utf_16_is_refused_by_name(tmp_path: Path) -> None:
    files = ["train/ant/a.png", "train/ant/b.png"]
    path = tmp_path / "list.txt"
    path.write_text("b.png\n", encoding="utf-8-sig")
    assert labels_from_list(path, files).rows == (1,)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_text("b.png\n", encoding=encoding)
        with pytest.raises(DataError, match=r"not a list of image names in UTF-8 \(UTF-16 or binary\); save it as"):
            labels_from_list(path, files)


def test_a_list_is_looked_up_with_the_data_then_as_a_path(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "list.txt", tmp_path / "imagenet"
    elsewhere.write_text("a")
    folder.mkdir()

    assert find_label_list(str(elsewhere), folder) == elsewhere
    with pytest.raises(DataError, match=r"label_list = 'list.txt': no file .*imagenet/list.txt"):
        find_label_list("list.txt", folder)
    (folder / "list.txt").write_text("b")
    assert find_label_list("list.txt", folder) == folder / "list.txt"


@pytest.mark.parametrize(("count", "a_class"), [(500, 50), (5000, 500)])
def test_shares_of_cifar10_hold_as_many_labels_of_each_class(count: int, a_class: int) -> None:
    """As in SimCLR Sec. 4: 1 % and 10 %, class-balanced, 1 % a part of 10 %."""
    labels = torch.arange(50_000) % 10
    chosen = label_indices(labels, count, 0)

    assert labels[chosen].bincount().tolist() == [a_class] * 10
    assert set(label_indices(labels, 500, 0).tolist()) <= set(chosen.tolist())
