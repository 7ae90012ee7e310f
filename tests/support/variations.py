"""Golden files of other sizes and settings than the authors', computed by transcriptions that share no code with ours.

Each function writes one file as its family lays it out. ``float32`` stands for the references that rounded so.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Array = NDArray[Any]


def write(path: Path, hp: dict[str, Any], **arrays: Any) -> Path:
    """An archive as the golden ones are."""
    np.savez_compressed(path, hp_json=np.array(json.dumps(hp)), **arrays)
    return path


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def nt_xent(folder: Path, pairs: int, dim: int, temperature: float, *, hidden_norm: bool, kind: str, seed: int) -> Path:
    """Twice the mean over all views, its gradient by hand, in float32."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2 * pairs, dim))
    if kind == "correlated":
        z[pairs:] = z[:pairs] + 0.1 * z[pairs:]
    if kind == "collapsed":
        z = 1 + 1e-3 * z
    z = z.astype(np.float32)
    lengths = np.linalg.norm(z, axis=1, keepdims=True) if hidden_norm else np.float32(1)
    unit = z / lengths
    logits = unit @ unit.T / np.float32(temperature)
    np.fill_diagonal(logits, -np.inf)
    partners = np.roll(np.arange(2 * pairs), pairs)
    p = _softmax(logits)
    loss = -np.log(p[np.arange(2 * pairs), partners]).mean()
    p[np.arange(2 * pairs), partners] -= 1
    slope = (p + p.T) @ unit / np.float32(temperature) / (2 * pairs)
    gradient = (slope - (slope * unit).sum(1, keepdims=True) * unit) / lengths if hidden_norm else slope
    between = unit[:pairs] @ unit[pairs:].T / np.float32(temperature)
    q = _softmax(between)
    return write(
        folder / "01_ntxent_variation.npz",
        {"n_pairs": pairs, "dim": dim, "input_kind": kind, "seed": seed},
        z=z,
        loss_google=2 * loss,
        grad_z_google=2 * gradient,
        logits_ab=between,
        contrast_acc=np.float32((between.argmax(1) == np.arange(pairs)).mean()),
        contrast_entropy=np.float32(-(q * np.log(q + 1e-8)).sum(1).mean()),
        temperature=np.array(temperature),
        hidden_norm=np.array(hidden_norm),
    )


def replicas(folder: Path, num_replicas: int, local: int, dim: int, temperature: float) -> Path:
    """Losses by loops over anchors and all replicas' rows; gradients of the mean over replicas by autograd on them."""
    z = torch.randn(num_replicas, 2 * local, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z.requires_grad_()
    unit = z / z.norm(dim=2, keepdim=True)
    rows = {(r, i): unit[r, i] for r in range(num_replicas) for i in range(2 * local)}
    losses = []
    for r in range(num_replicas):
        total = z.new_zeros(())
        for i in range(2 * local):
            exps = {key: (rows[r, i] @ row / temperature).exp() for key, row in rows.items() if key != (r, i)}
            total = total - (exps[r, (i + local) % (2 * local)] / torch.stack(list(exps.values())).sum()).log()
        losses.append(total / local)
    (gradient,) = torch.autograd.grad(torch.stack(losses).mean(), z)
    second = torch.cat([unit[r, local:] for r in range(num_replicas)])
    return write(
        folder / "01_ntxent_spread.npz",
        {"replicas": num_replicas, "hidden_norm": True, "temperature": temperature},
        z=z.detach().numpy(),
        loss_per_replica_google=torch.stack(losses).detach().numpy(),
        grad_z_per_replica_google=gradient.numpy(),
        logits_ab_per_replica=torch.stack([unit[r, :local] @ second.T / temperature for r in range(num_replicas)])
        .detach()
        .numpy(),
    )


def lars(folder: Path, mode: str, dtype: str, *, lr: float, weight_decay: float, momentum: float, eeta: float) -> Path:
    """Seven steps of four variables, one of which starts at 0 and one has no gradient at times."""
    rng = np.random.default_rng(5)
    names = ["conv/kernel", "dense/bias", "head_supervised/kernel", "zero/kernel"]
    shapes: list[tuple[int, ...]] = [(3, 3, 2, 5), (6,), (4, 3), (2, 7)]
    steps, rate = 7, float(np.float32(lr))
    arrays: dict[str, Array] = {"names": np.array(names)}
    for i, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        w = rng.normal(size=shape).astype(dtype) * (name != "zero/kernel")
        grads = rng.normal(size=(steps, *shape)).astype(dtype)
        if i == 0:
            grads[[1, 4]] = 0
        arrays |= {f"p{i}_init": w.copy(), f"p{i}_grads": grads}
        plain = "bias" in name or "head_supervised" in name
        v, path, momenta = np.zeros_like(w), [], []
        for g in grads:
            g = g if plain else g + weight_decay * w  # noqa: PLW2901 - the formula's own name

            def trust(direction: Array, w: Array = w, plain: bool = plain) -> float:
                sizes = np.linalg.norm(w.ravel()), np.linalg.norm(direction.ravel())
                return 1.0 if plain or 0 in sizes else float(eeta * sizes[0] / sizes[1])

            if mode == "popular":
                v = (momentum * v + g).astype(dtype)
                w = (w - rate * trust(v) * v).astype(dtype)
            else:
                step = rate * trust(g) * g
                v = (momentum * v + step).astype(dtype)
                w = (w - (momentum * v + step if mode == "nesterov" else v)).astype(dtype)
            path.append(w)
            momenta.append(v)
        arrays |= {f"p{i}_traj": np.stack(path), f"p{i}_momentum": np.stack(momenta)}
    hp = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "eeta": eeta, "steps": steps, "mode": mode}
    hp |= {"dtype": dtype, "exclude_regex": ["batch_normalization", "bias", "head_supervised"]}
    return write(folder / "02_lars_variation.npz", hp, **arrays)


def schedule(folder: Path, **hp: Any) -> Path:
    """Every 7th step and some beyond the end, in float32."""
    images, batch = hp["num_examples"], hp["train_batch_size"]
    total = hp["train_steps_flag"] or int(images * hp["train_epochs"] / batch + 1e-9) + 1
    warm = math.floor(hp["warmup_epochs"] * images / batch + 1e-9)
    base = hp["base_learning_rate"]
    peak = base * batch / 256 if hp["learning_rate_scaling"] == "linear" else base * math.sqrt(batch)
    steps = np.arange(0, total + 20, 7)
    t = steps.astype(np.float32)
    cosine = 0.5 * (1 + np.cos(np.float32(math.pi) * np.clip((t - warm) / np.float32(total - warm), 0, 1)))
    lr = np.where(steps < warm, t / max(warm, 1), cosine).astype(np.float32) * np.float32(peak)
    return write(folder / "03_schedule_variation.npz", hp, steps=steps, lr=lr, total_steps=np.array(total))


def projector(folder: Path, num_layers: int, in_dim: int, dim: int, num_rows: int) -> Path:
    """Dense, BN and ReLU by their formulas."""
    generator = torch.Generator().manual_seed(num_layers)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5

    arrays: dict[str, Tensor] = {"x": random(num_rows, in_dim).requires_grad_()}
    for j in range(num_layers):
        width = dim if j == num_layers - 1 else in_dim
        arrays[f"l{j}_kernel"] = (random(in_dim, width) - 1).requires_grad_()
        for name in ("gamma", "moving_mean", "moving_var", *(["beta"] if j < num_layers - 1 else [])):
            arrays[f"l{j}_{name}"] = random(width)

    def forward(*, training: bool) -> list[Tensor]:
        outputs = [arrays["x"]]
        for j in range(num_layers):
            x = outputs[-1] @ arrays[f"l{j}_kernel"]
            mean, var = arrays[f"l{j}_moving_mean"], arrays[f"l{j}_moving_var"]
            if training:
                batch_mean, batch_var = x.mean(0), x.var(0, unbiased=False)
                arrays[f"l{j}_moving_mean_after"] = (0.9 * mean + 0.1 * batch_mean).detach()
                arrays[f"l{j}_moving_var_after"] = (0.9 * var + 0.1 * batch_var).detach()
                mean, var = batch_mean, batch_var
            x = (x - mean) / (var + 1e-5).sqrt() * arrays[f"l{j}_gamma"]
            outputs.append((x + arrays[f"l{j}_beta"]).relu() if j < num_layers - 1 else x)
        return outputs

    for j, output in enumerate(forward(training=False)):
        arrays[f"eval_selector_{j}"] = output
    arrays["out_eval"] = arrays["eval_selector_m1"] = output
    z = forward(training=True)[-1]
    arrays["out_train"] = z
    (z * torch.linspace(-1, 1, z.numel(), dtype=torch.float64).reshape(z.shape)).sum().backward()
    for j in range(num_layers):
        kernel = arrays[f"l{j}_kernel"].grad
        assert kernel is not None
        arrays[f"l{j}_grad_kernel_train"] = kernel
    slope = arrays["x"].grad
    assert slope is not None
    arrays["grad_x_train"] = slope
    hp = {"num_proj_layers": num_layers, "in_dim": in_dim, "proj_out_dim": dim, "n": num_rows}
    hp |= {"bn_eps": 1e-5, "batch_norm_decay": 0.9}
    stored = {name: value.detach().numpy() for name, value in arrays.items()}
    return write(folder / "05_projhead_variation.npz", hp, **stored)


class Reference(nn.Module):
    """SimSiam as its authors lay it out: a backbone whose ``fc`` is the projector, and a predictor."""

    def __init__(self, c1: int, c2: int, dim: int, pred_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.conv1 = nn.Conv2d(3, c1, 3, 1, 1, bias=False)
        self.encoder.bn1 = nn.BatchNorm2d(c1)
        self.encoder.conv2 = nn.Conv2d(c1, c2, 3, 2, 1, bias=False)
        self.encoder.bn2 = nn.BatchNorm2d(c2)
        self.encoder.fc = nn.Sequential(
            *(nn.Linear(c2, c2, bias=False), nn.BatchNorm1d(c2), nn.ReLU()),
            *(nn.Linear(c2, c2, bias=False), nn.BatchNorm1d(c2), nn.ReLU()),
            *(nn.Linear(c2, dim), nn.BatchNorm1d(dim, affine=False)),
        )
        self.encoder.fc[6].bias.requires_grad_(False)
        self.predictor = nn.Sequential(
            *(nn.Linear(dim, pred_dim, bias=False), nn.BatchNorm1d(pred_dim), nn.ReLU(), nn.Linear(pred_dim, dim))
        )

    def encode(self, x: Tensor) -> Tensor:
        """Images to z."""
        e = self.encoder
        x = functional.relu(e.bn1(e.conv1(x)))
        z: Tensor = e.fc(functional.relu(e.bn2(e.conv2(x))).mean((2, 3)))
        return z

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        """Both views to z1, z2, p1, p2."""
        z1, z2 = self.encode(x1), self.encode(x2)
        return z1, z2, self.predictor(z1), self.predictor(z2)


def simsiam(folder: Path, *, fix_pred_lr: bool, c1: int, c2: int, dim: int, pred_dim: int, steps: int) -> Path:
    """Steps of the authors' loop, one an epoch."""
    torch.manual_seed(c1)
    model = Reference(c1, c2, dim, pred_dim).double().train()
    hp = {"c1": c1, "c2": c2, "dim": dim, "pred_dim": pred_dim, "lr": 0.07, "batch_size_for_lr": 128, "epochs": 9}
    hp |= {"steps": steps, "fix_pred_lr": fix_pred_lr, "sgd_momentum": 0.8, "weight_decay": 5e-4}
    hp |= {"bn_eps": 1e-5, "bn_momentum": 0.1, "init_lr": 0.07 * 128 / 256}
    x1, x2 = torch.randn(2, steps, 5, 3, 9, 9).unbind(0)
    arrays: dict[str, Tensor] = {"x1": x1, "x2": x2}

    def record(prefix: str, tensors: dict[str, Tensor]) -> None:
        arrays.update({f"{prefix}/{key}": value.detach().clone() for key, value in tensors.items()})

    record("state", model.state_dict())
    encoder, predictor = list(model.encoder.parameters()), list(model.predictor.parameters())
    groups = [{"params": encoder}, {"params": predictor}] if fix_pred_lr else [{"params": [*encoder, *predictor]}]
    sgd = torch.optim.SGD(groups, lr=hp["init_lr"], momentum=0.8, weight_decay=5e-4)
    losses, rates = [], []
    for step in range(steps):
        sgd.param_groups[0]["lr"] = hp["init_lr"] * 0.5 * (1 + math.cos(math.pi * step / 9))
        rates.append([group["lr"] for group in sgd.param_groups])
        z1, z2, p1, p2 = model(x1[step].double(), x2[step].double())
        similarity = nn.CosineSimilarity(dim=1)
        loss = -(similarity(p1, z2.detach()).mean() + similarity(p2, z1.detach()).mean()) * 0.5
        sgd.zero_grad()
        loss.backward()
        if step == 0:
            arrays |= {"z1": z1, "z2": z2, "p1": p1, "p2": p2, "loss": loss}
            record("grad", {name: p.grad for name, p in model.named_parameters() if p.grad is not None})
            record("buf_after_step0", dict(model.named_buffers()))
        sgd.step()
        losses.append(loss.item())
    record("final", model.state_dict())
    model.eval()
    arrays["eval_z_after_training"] = model.encode(x1[0].double())
    arrays["eval_p_after_training"] = model.predictor(arrays["eval_z_after_training"])
    stored = {name: value.detach().numpy() for name, value in arrays.items()}
    stored |= {"losses": np.array(losses), "lrs_per_group": np.array(rates)}
    return write(folder / "07_simsiam_variation.npz", hp, **stored)


def simsiam_layout(folder: Path, arch: str, dim: int, pred_dim: int) -> Path:
    """Counts and keys of the authors' construction around torchvision's network."""
    with torch.device("meta"):
        model = Reference(1, 1, dim, pred_dim)
        backbone = getattr(torchvision.models, arch)(weights=None, zero_init_residual=True)
        width = backbone.fc.in_features
        backbone.fc = Reference(1, width, dim, pred_dim).encoder.fc
        backbone.fc[6].bias.requires_grad_(False)
        model.encoder = backbone
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    projector_params = sum(p.numel() for p in backbone.fc.parameters())
    values = {
        "total_params": sum(counts.values()),
        "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "encoder_params": counts["encoder"],
        "projector_params": projector_params,
        "predictor_params": counts["predictor"],
        "backbone_params": counts["encoder"] - projector_params,
    }
    state = {f"module.{key}": value.shape for key, value in model.state_dict().items()}
    return write(
        folder / "07_simsiam_layout_variation.npz",
        {"arch": arch, "dim": dim, "pred_dim": pred_dim},
        names=np.array(list(values)),
        values=np.array(list(values.values())),
        state_keys=np.array(list(state)),
        state_shapes=np.array([[*shape, 0, 0, 0, 0][:4] for shape in state.values()]),
        state_ndim=np.array([len(shape) for shape in state.values()]),
    )


def knn(folder: Path, *, num_train: int, num_classes: int, k: int, temperature: float) -> Path:
    """One query at a time."""
    rng = np.random.default_rng(k)
    train, test = rng.normal(size=(num_train, 6)).astype(np.float32), rng.normal(size=(25, 6)).astype(np.float32)
    labels, truth = rng.integers(0, num_classes, num_train), rng.integers(0, num_classes, 25)
    ranked, gaps, firsts, fives = [], [], [], []
    for query, label in zip(test.astype(float), truth, strict=True):
        cosine = train @ query / np.linalg.norm(train, axis=1) / np.linalg.norm(query)
        near = np.argsort(-cosine)[:k]
        scores = np.zeros(num_classes)
        for i in near:
            scores[labels[i]] += math.exp(cosine[i] / temperature)
        order = np.argsort(-scores, kind="stable")
        ranked.append(order)
        gaps.append((scores[order[0]] - scores[order[1]]) / scores[order[0]])
        firsts.append(labels[near[0]] == label)
        fives.append(label in order[: min(5, k, num_classes)])
    top1 = 100 * np.mean([order[0] == label for order, label in zip(ranked, truth, strict=True)])
    return write(
        folder / "12_knn_variation.npz",
        {"k": k, "T": temperature, "classes": num_classes},
        train_features=train,
        train_labels=labels,
        test_features=test,
        test_labels=truth,
        pred_ranked=np.array(ranked),
        relative_top2_gap_f64=np.array(gaps),
        top1_lightly=top1,
        top1_solo=top1,
        top1_instdisc=top1,
        top1_nearest_neighbour_instdisc=100 * np.mean(firsts),
        top5_solo=100 * np.mean(fives),
    )
