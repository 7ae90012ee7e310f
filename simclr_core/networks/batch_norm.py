"""Batch normalisation over the images that the configuration names, for any number of processes.

``global``: statistics over the joined batch of all processes. ``per_device``: statistics over each
``device_batch_size`` images; a process may have one such group or several. One process with ``global``, or with a
single group, keeps torch's own layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from simclr_core.config.options import ConfigError
from simclr_core.config.schema import TrainingConfig
from simclr_core.processes.distributed import gather, world


def set_batch_norm_extent(network: nn.Module, training: TrainingConfig) -> None:
    """Set the extent of the BN layers below ``network`` to ``training.batch_norm``; the keys of the state dict stay.

    Raises ConfigError if the batch of a process is not a multiple of the device batch size.
    """
    if training.batch_norm == "global":
        synchronise_batch_norm(network)
        return
    size = training.device_batch_size
    num_devices, rest = divmod(training.global_batch_size, size * world().size)
    if rest:
        total = training.global_batch_size // size
        possible = ", ".join(str(n) for n in range(1, total + 1) if total % n == 0)
        problem = (
            f"training.device_batch_size = {size}: the {total} devices of a batch of {training.global_batch_size}"
            f" images cannot be divided among {world().size} processes; expected {possible} processes"
        )
        raise ConfigError([problem])
    if num_devices * world().size > 1:
        _convert(network, lambda norm: PerDeviceBatchNorm(norm, num_devices, size))


def synchronise_batch_norm(network: nn.Module) -> None:
    """Make the BN layers below ``network`` normalise over the rows of all processes; a lone process changes nothing."""
    if world().size > 1:
        _convert(network, SynchronisedBatchNorm)


def _convert(network: nn.Module, kind: Callable[[_BatchNorm], _BatchNorm]) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(network, name, kind(child))
        else:
            _convert(child, kind)


class _Converted(_BatchNorm):
    """BN with the parameters, buffers and mode of another layer; in eval mode it uses running statistics."""

    def __init__(self, norm: _BatchNorm) -> None:
        assert norm.momentum is not None  # no layer here averages over all its past
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.weight, self.bias = norm.weight, norm.bias
        self.affine = norm.affine
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self._normalise_batch(x)
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _normalise_batch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, momentum: float) -> None:
        """Update the running statistics with ``mean`` and the unbiased ``var``, unless tracking is off."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), momentum)
        self.num_batches_tracked += 1


class SynchronisedBatchNorm(_Converted):
    """BN over the joined rows of all processes, whose numbers of rows may differ: (B, C, ...), on any device.

    Torch's own ``SyncBatchNorm`` refuses CPU tensors. Statistics are float32, or float64 for float64 input.
    """

    def _normalise_batch(self, x: Tensor) -> Tensor:
        y: Tensor
        y, mean, var, count = _Normalise.apply(x, self.weight, self.bias, self.eps)
        self._track(mean, var * (count / (count - 1)), self.momentum or 0.0)
        return y


class _Normalise(torch.autograd.Function):
    """Batch normalisation over processes, with mean, biased variance and number of values of the joined batch.

    The gradients of weight and bias are the process's own share; ``average_gradients`` combines the shares with all
    other gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        local_mean, local_var = _moments(x)
        local_count = local_mean.new_full((1,), x.numel() // x.shape[1])
        stats = gather(torch.cat([local_mean, local_var, local_count])[None])
        means, variances, counts = stats.split([x.shape[1], x.shape[1], 1], dim=1)
        # Means and variances are combined (Chan et al. 1983), not sums of squares, whose difference from the squared
        # mean cancels in float32 as soon as a channel's mean is large against its deviation.
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean) ** 2)).sum(0) / count
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps = eps
        y = functional.batch_norm(x, mean, var, weight, bias, eps=eps)
        ctx.mark_non_differentiable(mean, var, count)
        return y, mean, var, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, weight, mean, var, count = ctx.saved_tensors
        gain = torch.ones_like(mean) if weight is None else weight
        # as if mean and variance were constants, in torch's own passes over memory
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            _exact(gradient), _exact(x), gain, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        joined = torch.stack([of_bias, of_weight])
        dist.all_reduce(joined)
        # what goes through mean and variance is an affine map of the normalised x
        shift, slope = -joined / count * gain * (var + ctx.eps).rsqrt()
        of_x += functional.batch_norm(_exact(x), mean, var, slope, shift, eps=ctx.eps)
        of_x = of_x.to(x.dtype)
        return of_x, of_weight if ctx.needs_input_grad[1] else None, of_bias if ctx.needs_input_grad[2] else None, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel of (B, C, ...): float32, or float64 for float64 input."""
    x, dims = _exact(x), [0, *range(2, x.ndim)]
    if x.device.type != "cpu":
        var, mean = torch.var_mean(x, dims, correction=0)
        return mean, var
    mean = x.mean(dims, keepdim=True)
    return mean.flatten(), (x - mean).square_().mean(dims)  # a seventh of the time of torch.var_mean, as exact


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class PerDeviceBatchNorm(_Converted):
    """BN over each ``device_batch_size`` images separately; a process holds ``num_devices`` such groups.

    Rows are ordered by view and then by image, so that a group has the same images of every view. The running
    statistics are the mean over all groups of all processes. The result therefore depends on the groups and not on the
    number of processes. (DistributedDataParallel would keep the statistics of process 0.)
    """

    def __init__(self, norm: _BatchNorm, num_devices: int, device_batch_size: int) -> None:
        super().__init__(norm)
        self.num_devices = num_devices
        self.device_batch_size = device_batch_size

    def _normalise_batch(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        parts = x.split(self.device_batch_size)
        outputs, means, variances = [], [], []
        for device in range(self.num_devices):
            rows = torch.cat(parts[device :: self.num_devices])
            mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
            # with momentum 1, torch writes the statistics of these rows, the variance unbiased
            y = functional.batch_norm(rows, mean, var, self.weight, self.bias, True, 1.0, self.eps)
            outputs.append(y.split(self.device_batch_size))
            means.append(mean)
            variances.append(var)
        mean, var = gather(torch.stack([torch.stack(means), torch.stack(variances)], dim=1)).mean(0).unbind()
        self._track(mean, var, self.momentum or 0.0)
        return torch.cat([part for view in zip(*outputs, strict=True) for part in view])
