"""Checkpoints that leave in torchvision's layout, and those that come in it, in SimSiam's or in our own.

``torch.load`` is called with ``weights_only=True`` throughout: a file from elsewhere runs no code.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formats.names import nearest
from formats.whole_files import NoSpaceError, written_whole
from simclr_core.config.identity import canonical, eval_id
from simclr_core.config.options import ConfigError
from simclr_core.config.runtime import OnProgress, RuntimeConfig
from simclr_core.config.schema import BackboneConfig, DataConfig, EvalConfig, RunConfig, validate
from simclr_core.data.contents import check_content
from simclr_core.data.datasets import Dataset, load_dataset
from simclr_core.data.errors import DataError
from simclr_core.data.inventory import inventory
from simclr_core.evals.checks import label_problems, validate_evaluations
from simclr_core.evals.embed import embed
from simclr_core.evals.material import Pretrained
from simclr_core.evals.run import evaluate
from simclr_core.methods import build_network
from simclr_core.networks.resnet import ResNet
from simclr_core.processes.distributed import device_of
from simclr_core.records import read_json, write_json
from simclr_core.training import checkpoint

TORCHVISION_DEPTHS = (18, 34, 50, 101, 152)
SIMSIAM_PREFIX = "module.encoder."
"""Of the backbone in SimSiam's released checkpoints, whose ``fc`` is the projector."""
OWN_KEY, OWN_PREFIX = "method", "backbone."
"""Where our own checkpoints have the network, and of the backbone in it."""
_SHOWN = 3


class CheckpointError(ValueError):
    """Everything that is wrong with a checkpoint for what was asked, one line each, in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def export_torchvision(run_dir: Path, out: Path, evaluation: str = "") -> int:
    """Write a finished run's backbone as a state dict for ``torchvision.models.resnet<depth>``, which lacks ``fc``.

    It loads with ``load_state_dict(..., strict=False)``. ``evaluation``, the id of one that kept its network, writes
    that network's backbone, with its classifier as ``fc`` if it reads the features; the result is the number of
    classes of ``fc``, 0 where it is left out. Contiguous CPU tensors and nothing else; the file appears whole or not
    at all. Raises CheckpointError for a run without a result or checkpoint, one that diverged, an evaluation that
    kept nothing, and for networks that torchvision does not have.
    """
    spec, result = _record(run_dir, "spec.json"), _record(run_dir, "result.json")
    kept = {found.stem: found for found in sorted((run_dir / "evals").glob("[!.]*.pt"))}
    path = kept.get(evaluation, run_dir / checkpoint.NAME)
    problems = _torchvision_problems(spec["config"]["backbone"])
    if result["outcome"] == "diverged":
        problems.append(f"{run_dir / 'result.json'}: the run diverged; there are no weights to export")
    if evaluation and evaluation not in kept:
        expected = f"expected one of {', '.join(kept)}{nearest(evaluation, [*kept])}" if kept else "none has"
        problems.append(f"{run_dir}: no evaluation {evaluation!r} has kept its network; {expected}")
    elif not path.exists():
        problems.append(f"{path}: no such file; the run has to be trained again")
    if problems:
        raise CheckpointError(problems)
    content = _loaded(path)
    state = _tensors(path, content.get(OWN_KEY))
    found = {name.removeprefix(OWN_PREFIX): tensor for name, tensor in state.items() if name.startswith(OWN_PREFIX)}
    num_classes = 0
    if evaluation and content.get("sha256") != _record(run_dir, f"evals/{evaluation}.json")["weights_sha256"]:
        raise CheckpointError([f"{path}: is not what its evaluation has written: its checksum is another one"])
    if evaluation and content["evaluation"]["embedding"] == "features":
        num_classes = len(state["classifier.bias"])
        found |= {f"fc.{name}": state[f"classifier.{name}"].float() for name in ("weight", "bias")}
    tensors = {name: tensor.contiguous() for name, tensor in found.items()}
    try:
        with written_whole(out) as file:
            torch.save(tensors, file)
    except NoSpaceError as error:
        raise CheckpointError([str(error)]) from None
    except OSError as error:
        raise CheckpointError([f"{out}: cannot be written ({error.strerror or error})"]) from None
    return num_classes


def _record(run_dir: Path, name: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = read_json(run_dir / name)
    except FileNotFoundError:
        raise CheckpointError([f"{run_dir / name}: no such file; the run is not finished"]) from None
    except (OSError, ValueError) as error:
        raise CheckpointError([f"{run_dir / name}: cannot be read ({error})"]) from None
    return content


def _torchvision_problems(backbone: Mapping[str, Any]) -> list[str]:
    """Why a backbone's canonical configuration is none of torchvision's ResNets, and what of it would fit."""
    depth, stem, width = backbone["depth"], backbone["stem"], backbone["width_multiplier"]
    problems = []
    if depth not in TORCHVISION_DEPTHS:
        known = ", ".join(map(str, TORCHVISION_DEPTHS))
        problems.append(f"backbone.depth = {depth}: torchvision has no such ResNet; it has {known}")
    if stem != "imagenet":
        problems.append(
            f"backbone.stem = {stem!r}: torchvision's conv1 is 7x7 with stride 2 and a max-pool after it, this one's"
            " 3x3 without; layer1 to layer4 would fit, conv1 does not"
        )
    if width != 1:
        problems.append(f"backbone.width_multiplier = {width:g}: torchvision's channels are those of 1; nothing fits")
    if backbone.get("layout", "torchvision") != "torchvision":
        problems.append(
            f"backbone.layout = {backbone['layout']!r}: other shortcuts below depth 50, and a max-pool that pads"
            " otherwise, so that the same weights give other features"
        )
    return problems


def load_backbone(path: Path, backbone: ResNet, config: BackboneConfig) -> dict[str, Any]:
    """Load a checkpoint's backbone into one built from ``config``; what the file says of itself: ``arch``, ``epoch``.

    Three layouts: SimSiam's (``main_simsiam.py``: a ``state_dict`` whose ``module.encoder.*`` are the backbone and,
    under ``fc``, the projector), our own (a run's last checkpoint, or the network that an evaluation kept), and a
    plain state dict with torchvision's names, such as an export; ``fc`` is passed over. BN's
    ``num_batches_tracked``, which files from before torch 0.4.1 lack, may be missing: nothing here depends on it.
    Raises CheckpointError with all tensors that are missing, not known, of another shape or type, or not finite.
    """
    content = _loaded(path)
    own = content.get(OWN_KEY)
    tensors = _tensors(path, content.get("state_dict", own if isinstance(own, Mapping) else content))
    prefixes = (SIMSIAM_PREFIX, OWN_PREFIX)
    prefix = next((prefix for prefix in prefixes if any(key.startswith(prefix) for key in tensors)), "")
    found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    found = {key: value for key, value in found.items() if not key.startswith("fc.")}
    built = backbone.state_dict()
    found = {key: value for key, value in built.items() if key.endswith(".num_batches_tracked")} | found
    both = [(key, found[key], built[key]) for key in built if key in found]
    lists = {
        "missing": [key for key in built if key not in found],
        "not known": [key for key in found if key not in built],
        "of another shape": [f"{k} {tuple(f.shape)}, not {tuple(o.shape)}" for k, f, o in both if f.shape != o.shape],
        "of another type": [f"{k} {_kind(f)}, not {_kind(o)}" for k, f, o in both if not _is_of_type(f, o)],
        "not finite (NaN or infinite)": [k for k, f, o in both if _is_of_type(f, o) and not f.isfinite().all()],
    }
    if problems := [f"{path}: {_some(names)} {what}" for what, names in lists.items() if names]:
        raise CheckpointError(
            [*problems, f"expected: {_described(config)}, as {SIMSIAM_PREFIX}*, {OWN_PREFIX}* or without a prefix"]
        )
    backbone.load_state_dict(found)
    return {key: content.get(key) for key in ("arch", "epoch") if isinstance(content.get(key), str | int)}


def evaluate_checkpoint(
    path: Path,
    config: RunConfig,
    evaluations: list[EvalConfig],
    runtime: RuntimeConfig,
    out_dir: Path,
    on_progress: OnProgress = lambda _: None,
) -> None:
    """Evaluate a checkpoint's backbone as if a run of ``config`` had made it, into ``out_dir/evals``.

    Of ``config``, data and backbone count. ``out_dir/checkpoint.json`` says which file was evaluated, on what; what
    is there already is not done again. Raises CheckpointError, ConfigError, also for evaluations of z or of another
    layer of the projector, DataError.
    """
    validate(config)
    validate_evaluations(config, evaluations)
    if on_head := [evaluation.metric for evaluation in evaluations if evaluation.embedding != "features"]:
        raise ConfigError(
            [f"evaluation {metric}: the backbone alone is loaded; expected 'features'" for metric in on_head]
        )
    network = build_network(config).eval()
    told = load_backbone(path, network.backbone, config.backbone)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    record = {"schema_version": 1, "sha256": sha256, **told}
    record |= {name: canonical(getattr(config, name)) for name in ("backbone", "data")}
    _claim(out_dir / "checkpoint.json", record)
    missing = [e for e in evaluations if not (out_dir / "evals" / f"{eval_id(e)}.json").exists()]
    if not missing:
        return
    look = functools.partial(inventory, data_dir=runtime.data_path)
    if problems := label_problems(missing, config.data.name, look, runtime.data_path):
        raise DataError(problems)
    torch.set_num_threads(runtime.num_threads)
    device = device_of(runtime.device)

    def load(data: DataConfig) -> Dataset:
        dataset = load_dataset(data, runtime.data_path, runtime.cache_path)
        check_content(out_dir, runtime.data_path / data.name, data, dataset.fingerprint)
        return dataset

    dataset = load(config.data)
    test = embed(network.to(device), dataset.test, config.data.normalization, device, num_workers=runtime.num_workers)
    evaluate(Pretrained(config, network, "loaded", dataset, test, device, runtime, load), missing, out_dir, on_progress)


def _claim(path: Path, record: dict[str, Any]) -> None:
    if not path.exists():
        write_json(path, record)
    elif read_json(path) != record:
        raise CheckpointError([f"{path}: is about another checkpoint, network or data; choose another folder"])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}:"


def _described(config: BackboneConfig) -> str:
    return f"the backbone of {', '.join(f'{key} {value}' for key, value in canonical(config).items())}"


def _tensors(path: Path, state: Any) -> dict[str, Tensor]:
    """The tensors of a state dict by name; CheckpointError for what is none."""
    if not isinstance(state, Mapping):
        raise CheckpointError([f"{path}: its state is a {type(state).__name__}; expected a dict of tensors by name"])
    if wrong := [key for key in state if not isinstance(key, str)]:
        raise CheckpointError([f"{path}: has {wrong[0]!r} as a key; expected names, such as conv1.weight"])
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _is_of_type(found: Tensor, own: Tensor) -> bool:
    return found.layout == own.layout and not found.is_meta and found.is_floating_point() == own.is_floating_point()


def _kind(tensor: Tensor) -> str:
    place = " without values" if tensor.is_meta else ""
    return f"{tensor.layout} of {tensor.dtype}{place}".replace("torch.", "")


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError([f"{path}: {error.strerror or error}"]) from None
    except Exception as error:  # noqa: BLE001  a file that is none, or damaged, makes the unpickler raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError([f"{path}: not a file of tensors that torch can load: {reason}"]) from None
    if not isinstance(content, Mapping):
        raise CheckpointError([f"{path}: holds a {type(content).__name__}; expected a state dict"])
    if OWN_KEY in content and "sha256" in content and not checkpoint.is_whole(content):
        raise CheckpointError([f"{path}: was changed after it was written: its checksum does not fit"])
    return content
