"""The network of the evaluations: the numbers of eval mode, with fewer passes, and the original left alone."""

from __future__ import annotations

import pytest
import torch
from small_data import small_config, small_network
from torch import nn
from torch.testing import assert_close

from simclr_core.evals.embed import sha256_of
from simclr_core.evals.frozen import frozen


@pytest.mark.parametrize(
    ("depth", "stem", "layout"),
    [
        (10, "small", "torchvision"),
        (18, "cifar", "original"),
        (50, "imagenet", "original"),
        (50, "small", "torchvision"),
    ],
)
def test_it_computes_what_eval_mode_does(depth: int, stem: str, layout: str) -> None:
    """In float64, where 50 layers of sums of up to 4,608 terms round by far less than features do, in float32."""
    config = small_config(backbone__depth=depth, backbone__stem=stem, backbone__layout=layout)
    method = small_network(config).double().train()
    for module in method.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # which would begin as 1, or 0 at the end of a block, and 0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    before, images = sha256_of(method), torch.rand(4, 3, 24, 24, dtype=torch.float64)

    network = frozen(method)
    features = network.features(images)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.backbone.modules())
    assert not features.requires_grad
    assert method.training
    assert sha256_of(method) == before
    expected = method.eval().features(images)
    assert_close(features, expected.detach(), rtol=2 * torch.finfo(torch.float32).eps, atol=1e-9)
    features, expected = features.double(), expected.double()
    assert_close(network.projector(features), method.projector(expected).detach(), rtol=1e-5, atol=1e-6)
