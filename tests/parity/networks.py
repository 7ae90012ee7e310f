"""Families 04 and 05: SimCLR's residual networks and projection heads.

The reference moves BN's variance by the biased batch variance, torch by the unbiased one: the comparison undoes that.
Its decay is a float32 constant, hence the wider tolerance of the moving statistics.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from parity.comparison import NotCovered, Outcome, compare, compare_scaled
from parity.golden import Golden
from simclr_core.config.schema import DEPTHS, BackboneConfig, ProjectorConfig
from simclr_core.networks.heads import build_projector
from simclr_core.networks.resnet import ResNet

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d
STATISTICS_RTOL = 5e-8
LATER = "selective kernels and squeeze-and-excitation are SimCLRv2's"
TORCH_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
}


def check_backbone(golden: Golden) -> Iterator[Outcome]:
    """Counts of many networks, or inputs and outputs of one."""
    if "table" in golden:
        yield from _check_counts(golden)
    elif "filters" in golden.hp:
        yield NotCovered("selective-kernel layer", LATER)
    elif golden.hp["sk_ratio"] or golden.hp["se_ratio"]:
        yield NotCovered("all", LATER)
    elif golden.hp["depth"] not in DEPTHS:
        yield NotCovered("all", f"no depth {golden.hp['depth']} here")
    else:
        yield from _check_passes(golden)


def _check_counts(golden: Golden) -> Iterator[Outcome]:
    """Parameters, convolution weights, moving statistics, parameter tensors and features of each row."""
    rows = golden.table()
    plain = [row for row in rows if not row["sk_ratio_x10000"] and not row["se_ratio_x10000"]]
    covered = [row for row in plain if row["depth"] in DEPTHS]
    names = (
        "trainable_params",
        "conv_kernel_params",
        "non_trainable_params(bn moving stats)",
        "n_trainable_tensors",
        "feature_dim",
    )
    if covered:
        theirs = [[row[name] for name in names] for row in covered]
        yield compare(
            f"layout original, {len(covered)} networks", [_counts(row, "original") for row in covered], theirs
        )
    # Where the blocks are basic, torchvision does not project the first shortcut.
    if basic := [row for row in covered if row["depth"] < 50]:
        theirs = []
        for row in basic:
            w = 64 * row["width"]
            extra = [w**2 + 2 * w, w**2, 2 * w, 3, 0]
            theirs.append([row[name] - more for name, more in zip(names, extra, strict=True)])
        ours = [_counts(row, "torchvision") for row in basic]
        yield compare(f"layout torchvision, {len(basic)} networks, less the first shortcut", ours, theirs)
    if len(plain) < len(rows):
        yield NotCovered(f"{len(rows) - len(plain)} networks", LATER)
    if len(covered) < len(plain):
        depths = sorted({row["depth"] for row in plain} - set(DEPTHS))
        yield NotCovered(f"{len(plain) - len(covered)} networks", f"no depth {depths} here")


def _counts(row: dict[str, int], layout: str) -> list[int]:
    config = BackboneConfig(
        depth=row["depth"],
        width_multiplier=row["width"],
        stem="cifar" if row["cifar_stem"] else "imagenet",
        layout=layout,
    )
    with torch.device("meta"):
        resnet = ResNet(config)
    parameters = list(resnet.parameters())
    return [
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.ndim == 4),
        sum(b.numel() for b in resnet.buffers() if b.ndim == 1),
        len(parameters),
        resnet.num_features,
    ]


def _check_passes(golden: Golden) -> Iterator[Outcome]:
    """One pass in eval mode; one in train mode with gradients and the moving statistics after it."""
    hp = golden.hp
    resnet = ResNet(
        BackboneConfig(
            depth=hp["depth"],
            width_multiplier=hp["width_multiplier"],
            stem="cifar" if hp["cifar_stem"] else "imagenet",
            layout="original",
        )
    ).double()
    weights = {_our_name(name): value for name, value in golden.unpacked("w").items()}
    state = {name: value.permute(3, 2, 0, 1) if value.ndim == 4 else value for name, value in weights.items()}
    follow = _Statistics(resnet, eps=hp["bn_eps"], decay=hp["batch_norm_decay"])
    loaded = resnet.load_state_dict(state, strict=False)
    missing = [name for name in loaded.missing_keys if not name.endswith("num_batches_tracked")]
    yield compare("parameters without a counterpart", len(missing) + len(loaded.unexpected_keys), 0)
    trainable = sum(p.numel() for p in resnet.parameters())
    yield compare("number of parameters", trainable, hp["trainable_params"])

    stages: list[Tensor] = []
    hooks = [
        resnet.get_submodule(name).register_forward_hook(lambda _module, _args, x: stages.append(x.permute(0, 2, 3, 1)))
        for name in ("maxpool", "layer1", "layer2", "layer3", "layer4")
    ]
    images = (golden.tensor("x_u8") / 256).permute(0, 3, 1, 2)
    with torch.no_grad():
        features = resnet.eval()(images)
    for hook in hooks:
        hook.remove()
    yield compare("shapes of the stages", [list(x.shape) for x in stages], golden["stage_shapes"])
    yield compare_scaled("features, eval mode", features, golden["feat_eval"], rtol=1e-9)
    yield compare("mean of each stage", [x.mean() for x in stages], golden["eval_stage_mean"], rtol=1e-9)
    largest = [x.abs().max() for x in stages]
    yield compare("largest value of each stage", largest, golden["eval_stage_absmax"], rtol=1e-9)
    yield compare_scaled("a patch of the stem's output", stages[0][0, :8, :8], golden["eval_stage0_img0"], rtol=1e-9)

    images.requires_grad_()
    features = resnet.train()(images)
    _weighted_sum(features).backward()
    gradient = _gradient(images).permute(0, 2, 3, 1)
    parameters = dict(resnet.named_parameters())
    gradients = [_gradient(parameters[_our_name(name)]) for name in golden["grad_names"].tolist()]
    lengths = torch.stack([g.norm() for g in gradients])
    yield compare_scaled("features, train mode", features.detach(), golden["feat_train"], rtol=1e-9)
    crop = gradient[:, :12, :12]
    yield compare_scaled("gradient by the images' corners", crop, golden["grad_x_train_crop"], rtol=1e-9)
    yield compare("length of the gradient by the images", gradient.norm(), golden["grad_x_train_l2"], rtol=1e-9)
    yield compare_scaled("lengths of the gradients by parameters", lengths, golden["grad_l2"], rtol=1e-9)
    sums = torch.stack([g.sum() for g in gradients])
    yield compare("sums of these gradients", sums, golden["grad_sum"], rtol=1e-9, atol=1e-9 * lengths.max().item())
    after = {_our_name(name): value for name, value in golden.unpacked("after").items()}
    yield from follow.compare_with(after)


def _our_name(name: str) -> str:
    """``group2.block0.shortcut.bn0.gamma`` -> ``layer2.0.downsample.1.weight``."""
    found = re.fullmatch(r"(stem|group(\d)\.block(\d+))\.(shortcut\.)?(conv|bn)(\d)\.(\w+)", name)
    if not found:
        return name
    stem, group, block, shortcut, kind, number, array = found.groups()
    if shortcut:
        module = f"layer{group}.{block}.downsample.{0 if kind == 'conv' else 1}"
    else:
        module = f"{kind}{int(number) + 1}" if stem == "stem" else f"layer{group}.{block}.{kind}{int(number) + 1}"
    return f"{module}.{TORCH_NAMES[array]}"


def check_projector(golden: Golden) -> Iterator[Outcome]:
    """Counts of many heads, or inputs and outputs of one."""
    if "table" in golden:
        rows = golden.table()
        names = ("trainable_params", "non_trainable_params", "n_trainable_tensors")
        theirs = [[row[name] for name in names] for row in rows]
        ours = []
        for row in rows:
            with torch.device("meta"):
                head = _head(row["num_proj_layers"], row["in_dim"], row["proj_out_dim"])
            parameters = list(head.parameters())
            buffers = sum(b.numel() for b in head.buffers() if b.ndim == 1)
            ours.append([sum(p.numel() for p in parameters), buffers, len(parameters)])
        yield compare(f"{len(rows)} heads", ours, theirs)
    else:
        yield from _check_head(golden)


def _head(num_layers: int, in_dim: int, dim: int) -> nn.Sequential:
    kind = "linear" if num_layers == 1 else "nonlinear"
    head = build_projector(ProjectorConfig(kind=kind, num_layers=num_layers, dim=dim, init="normal"), in_dim)
    assert isinstance(head, nn.Sequential)
    return head


def _check_head(golden: Golden) -> Iterator[Outcome]:
    """Outputs after every layer, gradients, and the moving statistics after a pass in train mode."""
    hp = golden.hp
    num_layers = hp["num_proj_layers"]
    head = _head(num_layers, hp["in_dim"], hp["proj_out_dim"]).double()  # linear, BN, ReLU of every layer but the last
    state, after = {}, {}
    for j in range(num_layers):
        state[f"{3 * j}.weight"] = golden.tensor(f"l{j}_kernel").T
        state[f"{3 * j + 1}.weight"] = golden.tensor(f"l{j}_gamma")
        if j < num_layers - 1:
            state[f"{3 * j + 1}.bias"] = golden.tensor(f"l{j}_beta")
        for theirs, ours in (("mean", "running_mean"), ("var", "running_var")):
            state[f"{3 * j + 1}.{ours}"] = golden.tensor(f"l{j}_moving_{theirs}")
            after[f"{3 * j + 1}.{ours}"] = golden.tensor(f"l{j}_moving_{theirs}_after")
    follow = _Statistics(head, eps=hp["bn_eps"], decay=hp["batch_norm_decay"])
    loaded = head.load_state_dict(state, strict=False)
    missing = [name for name in loaded.missing_keys if not name.endswith("num_batches_tracked")]
    yield compare("parameters without a counterpart", len(missing) + len(loaded.unexpected_keys), 0)

    tight = {"rtol": 1e-10, "atol": 1e-10}
    x = golden.tensor("x")
    head.eval()
    with torch.no_grad():
        yield compare("z, eval mode", head(x), golden["out_eval"], **tight)
        yield compare("z as the last of all layers", head(x), golden["eval_selector_m1"], **tight)
        for j in range(num_layers + 1):
            yield compare(f"after layer {j}, eval mode", head[: 3 * j](x), golden[f"eval_selector_{j}"], **tight)

    x.requires_grad_()
    z = head.train()(x)
    _weighted_sum(z).backward()
    yield compare("z, train mode", z.detach(), golden["out_train"], **tight)
    yield compare("gradient by the input", _gradient(x), golden["grad_x_train"], **tight)
    for j in range(num_layers):
        gradient = _gradient(head.get_parameter(f"{3 * j}.weight")).T
        yield compare(f"gradient by kernel {j}", gradient, golden[f"l{j}_grad_kernel_train"], **tight)
    yield from follow.compare_with(after)


def _weighted_sum(outputs: Tensor) -> Tensor:
    """The references' scalar: outputs, in C order, times numbers from -1 to 1."""
    return (outputs.flatten() * torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype)).sum()


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


class _Statistics:
    """Gives every BN the file's constants, and follows how many values each sees, to undo the unbiased variance."""

    def __init__(self, model: nn.Module, *, eps: float, decay: float) -> None:
        self.decay = decay
        self.norms = {name: m for name, m in model.named_modules() if isinstance(m, BatchNorm)}
        self.num_values: dict[str, int] = defaultdict(int)
        self.before: dict[str, Tensor] = {}
        for name, norm in self.norms.items():
            norm.eps, norm.momentum = eps, 1 - decay
            norm.register_forward_pre_hook(lambda norm, args, name=name: self._see(name, norm, args[0]))

    def _see(self, name: str, norm: BatchNorm, x: Tensor) -> None:
        if norm.training:
            assert norm.running_var is not None
            self.num_values[name] = x.numel() // x.shape[1]
            self.before[name] = norm.running_var.clone()

    def compare_with(self, theirs: dict[str, Tensor]) -> Iterator[Outcome]:
        """The moving statistics after one pass in train mode, by our names."""
        for what, array in (("means", "running_mean"), ("variances", "running_var")):
            ours = torch.cat([self._moved(name, array) for name in self.norms])
            expected = torch.cat([theirs[f"{name}.{array}"] for name in self.norms])
            atol = STATISTICS_RTOL * max(1.0, expected.abs().max().item())
            yield compare(f"moving {what} after a pass", ours, expected, atol=atol)

    def _moved(self, name: str, array: str) -> Tensor:
        moved: Tensor = getattr(self.norms[name], array)
        if array == "running_mean":
            return moved
        kept, count = self.decay * self.before[name], self.num_values[name]
        return kept + (moved - kept) * (count - 1) / count
