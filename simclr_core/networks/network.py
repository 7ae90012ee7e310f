"""The network that a method trains and that evaluations read: backbone, projector and predictor.

B images in a batch, F features, D projection.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from simclr_core.config.layers import embedding_names, projection_dim
from simclr_core.config.schema import RunConfig
from simclr_core.networks.heads import build_predictor, build_projector, projector_layer_modules
from simclr_core.networks.resnet import ResNet


class Network(nn.Module):
    """Images (B, 3, H, W) -> features (B, F) -> z (B, D) -> p (B, D); initialised from torch's random state."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.joint = config.training.views_forward == "joint"
        self._bfloat16 = config.training.precision == "bfloat16"
        self.backbone = ResNet(config.backbone).to(memory_format=torch.channels_last)
        self.dim = projection_dim(config.projector, self.backbone.num_features)
        self.projector = build_projector(config.projector, self.backbone.num_features)
        self.predictor = build_predictor(config.predictor, self.dim)

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, F) in float32.

        The backbone computes in bfloat16 only in train mode and if the configuration says so; evaluations use float32.
        """
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16 and self.training):
            features: Tensor = self.backbone(images)
        return features.float()

    def embed(self, images: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Images (B, 3, H, W) -> what is asked for by its name, in one pass that goes no further than it has to.

        ``features`` (B, F), ``head_1`` and so on after a layer of the projector with its BN and ReLU, ``z`` (B, D).
        """
        embedded = self.features(images)
        found = {"features": embedded}
        layers = projector_layer_modules(self.projector)
        steps: Sequence[nn.Module] = layers or [self.projector]
        for name, step in zip(embedding_names(len(layers))[1:], steps, strict=True):
            if found.keys() >= set(names):
                break
            embedded = found[name] = step(embedded)
        return {name: found[name] for name in names}

    def head(self, embedding: str) -> nn.Sequential:
        """The part of the projector that gives an embedding of the features; nothing for the features themselves."""
        layers = projector_layer_modules(self.projector)
        number = embedding_names(len(layers)).index(embedding)
        return nn.Sequential(*(module for layer in layers[:number] for module in layer))

    def width(self, embedding: str) -> int:
        """Columns of an embedding."""
        widths = [module.out_features for module in self.head(embedding) if isinstance(module, nn.Linear)]
        return widths[-1] if widths else self.backbone.num_features

    def project(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Map views (B, 3, H, W) of one size to z (B, D) of each view.

        ``joint`` passes all views through the network at once, so that BN's statistics mix the views (SimCLR's released
        code); ``separate`` passes one view after the other (SimSiam's).
        """
        if self.joint and len(views) > 1:
            return list(self.projector(self.features(torch.cat(list(views)))).chunk(len(views)))
        return [self.projector(self.features(view)) for view in views]

    def predict(self, projections: Sequence[Tensor]) -> list[Tensor]:
        """Map z (B, D) of each view to p (B, D), jointly or separately as ``project``; without a predictor, p is z."""
        if isinstance(self.predictor, nn.Identity):
            return list(projections)
        if self.joint and len(projections) > 1:
            return list(self.predictor(torch.cat(list(projections))).chunk(len(projections)))
        return [self.predictor(z) for z in projections]
