"""Projector and predictor. B rows, F features, D projection."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from simclr_core.config.layers import Linear, predictor_layers, projector_layers
from simclr_core.config.schema import PredictorConfig, ProjectorConfig


def build_projector(config: ProjectorConfig, num_features: int) -> nn.Module:
    """Build the projection head g: features (B, F) -> z (B, D).

    ``nonlinear``: Linear-BN-ReLU layers of ``hidden_dim`` (0: the feature width), then Linear-BN without ReLU, as in
    SimCLR Sec. 2.1 with the BN of the released code (``LinearLayer``), or as in SimSiam Sec. 3 with the ``no_affine``
    of its released code. ``linear``: the last layer alone. ``none``: the features are z (SimCLR Fig. 8). A linear layer
    has a bias if no BN follows it. ``init`` is torch's, or ``normal``: weights of standard deviation .01, biases 0
    (SimCLR's released ``LinearLayer``; SimSiam App. A warns against it).
    """
    layers = _modules(projector_layers(config, num_features))
    if config.init == "normal":
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers) if layers else nn.Identity()


def build_predictor(config: PredictorConfig, dim: int) -> nn.Module:
    """Build SimSiam's prediction MLP h (Sec. 3): z (B, D) -> p (B, D); by default BN and ReLU on the hidden layer only.

    Table 3 removes the hidden BN (a) or adds a BN to the output (d). Without ``trained`` the parameters stay at their
    random initialisation (Table 1b); the running statistics of the hidden BN are still updated.
    """
    layers = _modules(predictor_layers(config, dim))
    return nn.Sequential(*layers).requires_grad_(config.trained) if layers else nn.Identity()


def projector_layer_modules(projector: nn.Module) -> list[nn.Sequential]:
    """A projector's linear layers, each with the BN and the ReLU after it; none where z is the features."""
    layers: list[nn.Sequential] = []
    for module in projector.children():
        if isinstance(module, nn.Linear):
            layers.append(nn.Sequential())
        layers[-1].append(module)
    return layers


class _ScaleOnlyBatchNorm(nn.BatchNorm1d):
    """BN with gamma and without beta, as on the output of the released SimCLR projector."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.register_parameter("bias", None)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.ones_(self.weight)


def _modules(described: Sequence[Linear]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for layer in described:
        modules.append(nn.Linear(layer.inputs, layer.outputs, bias=layer.batch_norm == "none"))
        if layer.batch_norm == "scale_only":
            modules.append(_ScaleOnlyBatchNorm(layer.outputs))
        elif layer.batch_norm != "none":
            modules.append(nn.BatchNorm1d(layer.outputs, affine=layer.batch_norm == "affine"))
        if layer.relu:
            modules.append(nn.ReLU(inplace=True))
    return modules


def z_std(z: Tensor) -> Tensor:
    """Collapse diagnostic of SimSiam Fig. 2: standard deviation over rows of z / |z|, mean over channels.

    z (B, D) -> scalar: 1/sqrt(D) if the directions are spread evenly over the sphere, 0 for a constant output.
    """
    return nn.functional.normalize(z.detach().float(), dim=1).std(dim=0, correction=0).mean()
