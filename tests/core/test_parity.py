"""The parity checks on files of other sizes and settings, on wrong numbers and on damaged files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import fidelity
import numpy as np
import pytest
import torch
import variations
from parity import __main__ as parity
from parity.checks import golden_files, outcomes_of
from parity.comparison import Comparison, NotCovered, compare
from reference_resnet import resnet

GOLDEN = Path(__file__).parents[1] / "golden"


def comparisons(path: Path) -> list[Comparison]:
    return [outcome for outcome in outcomes_of(path) if isinstance(outcome, Comparison)]


def failures(path: Path) -> list[Comparison]:
    compared = comparisons(path)
    assert compared
    return [comparison for comparison in compared if not comparison.passed]


def altered(source: str, target: Path, **arrays: Any) -> Path:
    """A golden file with some arrays replaced, or left out where the new value is None."""
    with np.load(GOLDEN / f"{source}.npz") as file:
        content = dict(file) | arrays
    np.savez(target, **{key: value for key, value in content.items() if value is not None})
    return target


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["parity", *map(str, arguments)])
    return parity.main()


# Variations


@pytest.mark.parametrize(
    ("pairs", "dim", "temperature", "hidden_norm", "kind"),
    [
        (1, 5, 0.5, True, "gauss"),
        (3, 2, 0.07, True, "gauss"),
        (50, 64, 0.02, True, "gauss"),
        (40, 128, 0.1, True, "correlated"),
        (9, 6, 0.1, True, "collapsed"),
        (12, 40, 1.0, False, "gauss"),
        (20, 100, 0.5, False, "gauss"),
        (20, 30, 0.1, False, "correlated"),
        (7, 8, 100.0, False, "gauss"),
    ],
)
def test_nt_xent(tmp_path: Path, pairs: int, dim: int, temperature: float, hidden_norm: bool, kind: str) -> None:
    path = variations.nt_xent(tmp_path, pairs, dim, temperature, hidden_norm=hidden_norm, kind=kind, seed=pairs)

    assert failures(path) == []


@pytest.mark.parametrize(("num_replicas", "local"), [(1, 4), (2, 3), (4, 2), (3, 1)])
def test_nt_xent_over_replicas(tmp_path: Path, num_replicas: int, local: int) -> None:
    assert failures(variations.replicas(tmp_path, num_replicas, local, 6, 0.2)) == []


@pytest.mark.parametrize("mode", ["simclr", "nesterov", "popular"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_lars(tmp_path: Path, mode: str, dtype: str, decay: float) -> None:
    path = variations.lars(tmp_path, mode, dtype, lr=1.7, weight_decay=decay, momentum=0.8, eeta=0.02)

    assert failures(path) == []


@pytest.mark.parametrize(
    ("scaling", "images", "batch", "epochs", "flag", "warmup"),
    [
        ("linear", 1000, 64, 10, 0, 2.0),
        ("sqrt", 5120, 512, 3, 0, 0.0),
        ("sqrt", 777, 100, 40, 200, 1.5),
        ("linear", 60, 100, 90, 0, 7.0),
    ],
)
def test_schedule(tmp_path: Path, scaling: str, images: int, batch: int, epochs: int, flag: int, warmup: float) -> None:
    path = variations.schedule(
        tmp_path,
        learning_rate_scaling=scaling,
        base_learning_rate=0.17,
        train_batch_size=batch,
        num_examples=images,
        train_epochs=epochs,
        train_steps_flag=flag,
        warmup_epochs=warmup,
    )

    assert failures(path) == []


@pytest.mark.parametrize(
    ("depth", "width", "cifar", "size"), [(34, 3, True, 20), (18, 4, False, 45), (50, 2, True, 24), (34, 2, False, 64)]
)
def test_resnet(tmp_path: Path, depth: int, width: int, cifar: bool, size: int) -> None:
    """An odd side too, where TensorFlow's max-pool pads all around."""
    assert failures(resnet(tmp_path, depth, width, cifar=cifar, size=size, num_images=4)) == []


@pytest.mark.parametrize(("num_layers", "in_dim", "dim"), [(1, 5, 3), (2, 4, 9), (4, 7, 2)])
def test_projector(tmp_path: Path, num_layers: int, in_dim: int, dim: int) -> None:
    assert failures(variations.projector(tmp_path, num_layers, in_dim, dim, num_rows=10)) == []


@pytest.mark.parametrize("fix_pred_lr", [True, False])
def test_simsiam(tmp_path: Path, fix_pred_lr: bool) -> None:
    path = variations.simsiam(tmp_path, fix_pred_lr=fix_pred_lr, c1=3, c2=5, dim=12, pred_dim=3, steps=6)

    assert failures(path) == []


@pytest.mark.parametrize(
    ("arch", "dim", "pred_dim"), [("resnet18", 512, 128), ("resnet34", 2048, 512), ("resnet101", 64, 16)]
)
def test_simsiam_layout(tmp_path: Path, arch: str, dim: int, pred_dim: int) -> None:
    assert failures(variations.simsiam_layout(tmp_path, arch, dim, pred_dim)) == []


@pytest.mark.parametrize(
    ("num_train", "num_classes", "k"), [(100, 10, 30), (20, 3, 50), (40, 12, 2), (60, 2, 1), (30, 20, 6)]
)
def test_knn(tmp_path: Path, num_train: int, num_classes: int, k: int) -> None:
    """More neighbours than images; fewer classes than five; classes without a neighbour."""
    assert failures(variations.knn(tmp_path, num_train=num_train, num_classes=num_classes, k=k, temperature=0.05)) == []


# Wrong numbers are seen


@pytest.mark.parametrize(
    ("source", "array"),
    [
        ("01_ntxent_a", "loss_google"),
        ("01_ntxent_a", "grad_z_google"),
        ("01_ntxent_a", "logits_ab"),
        ("01_ntxent_a", "contrast_acc"),
        ("01_ntxent_a", "contrast_entropy"),
        ("01_ntxent_a", "grad_z_lightly"),
        ("01_ntxent_dist2", "grad_z_per_replica_google"),
        ("02_lars_popular", "p0_traj"),
        ("03_schedule_3", "lr"),
        ("03_schedule_3", "total_steps"),
        ("04_resnet18_cifar", "feat_eval"),
        ("04_resnet18_cifar", "grad_sum"),
        ("04_resnet18_cifar", "after_flat"),
        ("05_projhead_io_2layer", "l0_moving_var_after"),
        ("05_projhead_io_2layer", "l1_grad_kernel_train"),
        ("06_color_jitter_compose", "out_v1"),
        ("06_color_ops_random", "saturation"),
        ("06_crop_resize", "out2"),
        ("06_gaussian_blur", "out3"),
        ("06_gaussian_blur", "batch_out"),
        ("06_jitter_stats", "s1_hue_delta_quantiles"),
        ("07_simsiam_step", "grad/predictor.3.bias"),
        ("07_simsiam_step", "final/encoder.fc.7.running_mean"),
        ("12_knn_k20_T007", "top1_lightly"),
        ("12_knn_k20_T007", "train_features"),
    ],
)
def test_a_wrong_number_fails(tmp_path: Path, source: str, array: str) -> None:
    """A tenth more than in the authors' numbers; of the features, other features."""
    with np.load(GOLDEN / f"{source}.npz") as file:
        right = file[array]
    wrong = np.random.default_rng(0).normal(size=right.shape) if array == "train_features" else right * 1.1 + 0.05

    assert failures(altered(source, tmp_path / f"{source}.npz", **{array: wrong}))


def test_wrong_settings_fail(tmp_path: Path) -> None:
    with np.load(GOLDEN / "03_schedule_3.npz") as file:
        hp = json.loads(str(file["hp_json"])) | {"learning_rate_scaling": "linear"}

    path = altered("03_schedule_3", tmp_path / "03_wrong.npz", hp_json=np.array(json.dumps(hp)))
    assert [comparison.what for comparison in failures(path)] == ["learning rate"]


def test_a_wrong_crop_law_fails(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate([np.zeros((20_000, 2)), rng.integers(10, 33, (20_000, 2))], axis=1).astype(np.int16)

    assert len(failures(altered("06_crop_stats_32x32", tmp_path / "06_boxes.npz", boxes=boxes))) >= 3


def test_comparisons_do_not_pass_what_they_cannot_compare() -> None:
    assert compare("equal", [1.0, 2.0], [1.0, 2.0]).passed
    assert compare("near", [1.0 + 1e-7], [1.0], rtol=1e-6).passed
    assert not compare("far", [1.0 + 1e-5], [1.0], rtol=1e-6).passed
    assert not compare("not a number", [np.nan], [1.0], atol=1).passed
    assert not compare("theirs not a number", [1.0], [np.nan], atol=1).passed
    assert not compare("shape", [1.0], [[1.0]], atol=1).passed
    assert not compare("broadcast", [1.0], [1.0, 1.0], atol=1).passed
    assert not compare("empty", [], []).passed
    assert compare("tensors", torch.ones(2), np.ones(2)).error == 0


# The command


def test_success_and_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    altered("01_ntxent_a", tmp_path / "01_other.npz")
    altered("01_ntxent_a", tmp_path / "08_supcon.npz")
    altered("01_ntxent_a", tmp_path / "04_sk.npz", hp_json=np.array('{"filters": 8}'))

    assert run(monkeypatch, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "SupCon: no such method here" in printed
    assert "selective-kernel layer" in printed
    assert "8 comparisons of 3 files: 8 within tolerance, 0 beyond; 0 problems" in printed

    altered("01_ntxent_a", tmp_path / "01_wrong.npz", loss_google=np.array(1.0))
    assert run(monkeypatch, tmp_path) == 1
    printed = capsys.readouterr().out
    assert "FAIL" in printed
    assert "1 beyond" in printed


def _cut(path: Path) -> None:
    path.write_bytes((GOLDEN / "01_ntxent_a.npz").read_bytes()[:2000])


def _flip_a_byte(path: Path) -> None:
    content = bytearray((GOLDEN / "01_ntxent_d.npz").read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)


def _pickled(path: Path) -> None:
    np.savez(path, hp_json=np.array("{}"), z=np.array([{}], dtype=object))


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("01_a", _cut, "01_a.npz: is no archive of arrays (.npz), or a damaged one"),
        ("01_a", _flip_a_byte, "01_a.npz: cannot be read"),
        ("01_a", _pickled, "01_a.npz: cannot be read ("),
        ("01_a", lambda path: altered("01_ntxent_a", path, z=None), "01_a.npz: no array 'z'"),
        ("01_a", lambda path: altered("01_ntxent_a", path, hp_json=None), "01_a.npz: no array 'hp_json'"),
        ("01_a", lambda path: altered("01_ntxent_a", path, hp_json=np.array("{")), "01_a.npz: hp_json is no JSON"),
        ("01_a", lambda path: altered("01_ntxent_a", path, hp_json=np.array("3")), "01_a.npz: hp_json is int"),
        ("02_a", lambda path: altered("02_lars_popular", path, hp_json=np.array("{}")), "hp_json has no 'mode'"),
        ("03_a", lambda path: altered("01_ntxent_a", path), "03_a.npz: hp_json has no 'num_examples'"),
        (
            "01_a",
            lambda path: altered("01_ntxent_a", path, z=np.ones(8)),
            "01_a.npz: its content does not fit together",
        ),
        (
            "07_a",
            lambda path: altered("07_simsiam_step", path, **{"state/encoder.fc.6.bias": None}),
            "no array 'state/enc",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_and_the_rest_is_still_compared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    spoil: Any,
    message: str,
) -> None:
    spoil(tmp_path / f"{name}.npz")
    altered("03_schedule_3", tmp_path / "03_right.npz")

    assert run(monkeypatch, tmp_path) == 2
    printed = capsys.readouterr().out
    assert message in printed
    assert "2 within tolerance, 0 beyond; 1 problems" in printed


def test_folders_with_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path / "absent") == 2
    assert "absent: no such folder" in capsys.readouterr().out
    assert run(monkeypatch, tmp_path) == 2
    assert "holds no golden files" in capsys.readouterr().out
    altered("01_ntxent_a", tmp_path / "11_spcl.npz")
    assert run(monkeypatch, tmp_path) == 2
    assert "none of its files is of a family that is covered" in capsys.readouterr().out


def test_unknown_modes_and_architectures_are_not_covered(tmp_path: Path) -> None:
    with np.load(GOLDEN / "07_simsiam_resnet50_counts.npz") as file:
        hp = json.loads(str(file["hp_json"])) | {"arch": "wide_resnet50_2"}
    path = altered("07_simsiam_resnet50_counts", tmp_path / "07_wide.npz", hp_json=np.array(json.dumps(hp)))

    assert outcomes_of(path) == [NotCovered("all", "no wide_resnet50_2 here")]


def test_fidelity_has_a_row_for_every_file_that_is_compared() -> None:
    text = fidelity.DOCUMENT.read_text(encoding="utf-8")
    generated = text.partition("<!-- golden: generated")[2].partition("<!-- golden: end")[0]

    rows = re.findall(r"^\| `(\w+)` \| \d+ \|.*\| pass \|$", generated, re.MULTILINE)
    assert rows == [path.stem for path in golden_files(GOLDEN)]
