"""Projector and predictor. B rows, F features, D projection."""

from __future__ import annotations

from torch import Tensor, nn

from simclr_core.config.schema import PredictorConfig, ProjectorConfig


def build_projector(config: ProjectorConfig, num_features: int) -> nn.Module:
    """The projection head g: features (B, F) -> z (B, D).

    ``nonlinear`` is Linear-BN-ReLU layers of ``hidden_dim`` (the feature width if 0), then Linear-BN without ReLU:
    SimCLR Sec. 2.1 with the BN of the released code (``LinearLayer``), SimSiam Sec. 3 with ``no_affine`` as in its
    released code. ``linear`` keeps the last layer, ``none`` returns the features (SimCLR Fig. 8). A linear layer
    has a bias where no BN follows it. ``init`` is torch's, or ``normal``: weights of standard deviation .01, biases 0
    (SimCLR's released ``LinearLayer``; SimSiam App. A warns of it).
    """
    if config.kind == "none":
        return nn.Identity()
    layers: list[nn.Module] = []
    width = num_features
    if config.kind == "nonlinear":
        for _ in range(config.num_layers - 1):
            hidden = config.hidden_dim or num_features
            layers += _linear(width, hidden, "affine" if config.hidden_batch_norm else "none")
            layers.append(nn.ReLU(inplace=True))
            width = hidden
    layers += _linear(width, config.dim, config.output_batch_norm)
    if config.init == "normal":
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def projection_dim(config: ProjectorConfig, num_features: int) -> int:
    """D: the columns of z."""
    return num_features if config.kind == "none" else config.dim


def build_predictor(config: PredictorConfig, dim: int) -> nn.Module:
    """SimSiam's prediction MLP h (Sec. 3): z (B, D) -> p (B, D); BN and ReLU on the hidden layer alone by default.

    Table 3 takes the hidden BN away (a), or adds one to the output (d). Without ``trained`` the parameters stay at
    their random initialisation (Table 1b); the hidden BN still follows its batches.
    """
    if config.kind == "none":
        return nn.Identity()
    predictor = nn.Sequential(
        *_linear(dim, config.hidden_dim, "affine" if config.hidden_batch_norm else "none"),
        nn.ReLU(inplace=True),
        *_linear(config.hidden_dim, dim, config.output_batch_norm),
    )
    return predictor.requires_grad_(config.trained)


class _ScaleOnlyBatchNorm(nn.BatchNorm1d):
    """BN with gamma and without beta, as on the output of the released SimCLR projector."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.ones_(self.weight)


def _linear(in_features: int, out_features: int, batch_norm: str) -> list[nn.Module]:
    linear = nn.Linear(in_features, out_features, bias=batch_norm == "none")
    if batch_norm == "none":
        return [linear]
    if batch_norm == "scale_only":
        return [linear, _ScaleOnlyBatchNorm(out_features)]
    return [linear, nn.BatchNorm1d(out_features, affine=batch_norm == "affine")]


def z_std(z: Tensor) -> Tensor:
    """Collapse diagnostic of SimSiam Fig. 2: standard deviation over rows of z / |z|, mean over channels.

    1/sqrt(D) for directions spread evenly over the sphere, 0 for a constant output. z (B, D) -> scalar.
    """
    return nn.functional.normalize(z.detach().float(), dim=1).std(dim=0, correction=0).mean()
