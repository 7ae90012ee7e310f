"""The released ResNet's layout by its description, sharing no code with ours, and golden files made with it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from variations import Array, write

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ReferenceResNet:
    """Named float64 weights that float32 can hold, kernels as (height, width, in, out); BN by its formula."""

    def __init__(self, depth: int, width: int, *, cifar: bool) -> None:
        self.generator = torch.Generator().manual_seed(depth)
        self.weights: dict[str, Tensor] = {}
        self.moved: dict[str, Tensor] = {}
        self.cifar = cifar
        self.blocks: list[list[tuple[str, list[int]]]] = []  # of each group: name and strides
        self._add("stem", "0", 3 if cifar else 7, 3, width)
        channels = width
        for group, number in enumerate(BLOCKS[depth], start=1):
            self.blocks.append([])
            planes = width * 2 ** (group - 1)
            for block in range(number):
                name = f"group{group}.block{block}"
                stride = 2 if group > 1 and block == 0 else 1
                if depth >= 50:
                    layers, strides = [(1, planes), (3, planes), (1, 4 * planes)], [1, stride, 1]
                else:
                    layers, strides = [(3, planes), (3, planes)], [stride, 1]
                if block == 0:
                    self._add(f"{name}.shortcut", "0", 1, channels, layers[-1][1])
                for i, (kernel, out) in enumerate(layers):
                    self._add(name, str(i), kernel, channels, out)
                    channels = out
                self.blocks[-1].append((name, strides))
        for name, value in self.weights.items():
            self.weights[name] = value.float().double().requires_grad_("moving" not in name)

    def _add(self, name: str, number: str, kernel: int, channels: int, out: int) -> None:
        shape = (kernel, kernel, channels, out)
        random = torch.randn(shape, generator=self.generator) / (kernel * math.sqrt(channels))
        self.weights[f"{name}.conv{number}.kernel"] = random
        for array, low in (("gamma", 0.5), ("beta", -0.5), ("moving_mean", -0.5), ("moving_var", 0.5)):
            self.weights[f"{name}.bn{number}.{array}"] = torch.rand(out, generator=self.generator) + low

    def _conv_norm(self, name: str, number: int, x: Tensor, stride: int, *, training: bool) -> Tensor:
        kernel = self.weights[f"{name}.conv{number}.kernel"].permute(3, 2, 0, 1)
        if stride == 1:
            x = functional.conv2d(x, kernel, padding="same")
        else:
            before, all_around = (kernel.shape[2] - 1) // 2, kernel.shape[2] - 1
            x = functional.conv2d(functional.pad(x, (before, all_around - before) * 2), kernel, stride=stride)
        gamma, beta, mean, var = (
            self.weights[f"{name}.bn{number}.{array}"] for array in ("gamma", "beta", "moving_mean", "moving_var")
        )
        if training:
            batch_mean, batch_var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.moved[f"{name}.bn{number}.moving_mean"] = 0.9 * mean + 0.1 * batch_mean.detach()
            self.moved[f"{name}.bn{number}.moving_var"] = 0.9 * var + 0.1 * batch_var.detach()
            mean, var = batch_mean, batch_var
        scale = gamma / (var + 1e-5).sqrt()
        return x * scale[:, None, None] + (beta - mean * scale)[:, None, None]

    def stages(self, images: Tensor, *, training: bool) -> list[Tensor]:
        """Outputs of the stem and of each group."""
        x = self._conv_norm("stem", 0, images, 1 if self.cifar else 2, training=training).relu()
        if not self.cifar:
            pads = [max((math.ceil(side / 2) - 1) * 2 + 3 - side, 0) for side in reversed(x.shape[2:])]
            around = [amount for pad in pads for amount in (pad // 2, pad - pad // 2)]
            x = functional.max_pool2d(functional.pad(x, around, value=-math.inf), 3, 2)
        outputs = [x]
        for group in self.blocks:
            for block, (name, strides) in enumerate(group):
                shortcut = x
                if block == 0:
                    shortcut = self._conv_norm(f"{name}.shortcut", 0, x, max(strides), training=training)
                for i, stride in enumerate(strides):
                    x = self._conv_norm(name, i, x if i == 0 else x.relu(), stride, training=training)
                x = (x + shortcut).relu()
            outputs.append(x)
        return outputs


def _packed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Array]:
    return {
        f"{prefix}_names": np.array(list(tensors)),
        f"{prefix}_shapes": np.array([[*t.shape, 0, 0, 0, 0][:4] for t in tensors.values()]),
        f"{prefix}_flat": np.concatenate([t.detach().numpy().ravel() for t in tensors.values()]),
    }


def resnet(folder: Path, depth: int, width: int, *, cifar: bool, size: int, num_images: int) -> Path:
    """One pass in either mode, with gradients in train mode."""
    network = ReferenceResNet(depth, width, cifar=cifar)
    x_u8 = torch.randint(0, 256, (num_images, size, size, 3), generator=network.generator)
    images = (x_u8.double() / 256).permute(0, 3, 1, 2).requires_grad_()
    with torch.no_grad():
        stages = [x.permute(0, 2, 3, 1) for x in network.stages(images, training=False)]
    features = network.stages(images, training=True)[-1].mean((2, 3))
    (features * torch.linspace(-1, 1, features.numel(), dtype=torch.float64).reshape(features.shape)).sum().backward()
    assert images.grad is not None
    slope = images.grad.permute(0, 2, 3, 1)
    gradients = {name: value.grad for name, value in network.weights.items() if value.grad is not None}
    return write(
        folder / "04_resnet_variation.npz",
        {
            "depth": depth,
            "width_multiplier": width / 64,
            "cifar_stem": cifar,
            "sk_ratio": 0.0,
            "se_ratio": 0.0,
            "bn_eps": 1e-5,
            "batch_norm_decay": 0.9,
            "trainable_params": sum(gradient.numel() for gradient in gradients.values()),
        },
        x_u8=x_u8.numpy().astype(np.uint8),
        feat_eval=stages[-1].mean((1, 2)).numpy(),
        stage_shapes=np.array([stage.shape for stage in stages]),
        eval_stage_mean=np.array([stage.mean() for stage in stages]),
        eval_stage_absmax=np.array([stage.abs().max() for stage in stages]),
        eval_stage0_img0=stages[0][0, :8, :8].numpy(),
        feat_train=features.detach().numpy(),
        grad_x_train_crop=slope[:, :12, :12].numpy(),
        grad_x_train_l2=slope.norm().numpy(),
        grad_names=np.array(list(gradients)),
        grad_l2=np.array([gradient.norm() for gradient in gradients.values()]),
        grad_sum=np.array([gradient.sum() for gradient in gradients.values()]),
        **_packed("w", network.weights),
        **_packed("after", network.moved),
    )
