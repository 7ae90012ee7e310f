"""ResNets against torchvision's and the papers' tables."""

from __future__ import annotations

import pytest
import torch
import torchvision

from simclr_core.backbones import ResNet
from simclr_core.config import BackboneConfig


@pytest.mark.parametrize("depth", [18, 50])
def test_it_is_torchvisions_resnet_without_fc(depth: int) -> None:
    ours = ResNet(BackboneConfig(depth=depth, zero_init_residual=False)).eval()
    theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    theirs.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    assert (sorted(missing), unexpected) == (["fc.bias", "fc.weight"], [])
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(
    ("depth", "width", "millions"),
    [(50, 1, 24), (50, 2, 94), (50, 4, 375)],  # SimCLR Table 6
)
def test_parameter_counts_of_simclr_table_6(depth: int, width: float, millions: int) -> None:
    with torch.device("meta"):
        backbone = ResNet(BackboneConfig(depth=depth, width_multiplier=width))

    assert round(sum(p.numel() for p in backbone.parameters()) / 1e6) == millions


@pytest.mark.parametrize(("stem", "side"), [("imagenet", 8), ("cifar", 32), ("small", 16)])
def test_stems_keep_a_half_or_a_quarter_of_the_side(stem: str, side: int) -> None:
    backbone = ResNet(BackboneConfig(depth=10, width_multiplier=0.125, stem=stem)).eval()
    x = backbone.maxpool(backbone.conv1(torch.zeros(1, 3, 32, 32)))

    assert x.shape == (1, 8, side, side)
    assert backbone(torch.zeros(1, 3, 32, 32)).shape == (1, backbone.num_features) == (1, 64)


@pytest.mark.parametrize("depth", [10, 50])
def test_zero_init_makes_every_block_its_shortcut(depth: int) -> None:
    zeroed = ResNet(BackboneConfig(depth=depth, width_multiplier=0.125))
    last = "bn3" if depth == 50 else "bn2"
    gammas = [m.weight for name, m in zeroed.named_modules() if name.endswith(last) and name.startswith("layer")]

    assert len(gammas) == {10: 4, 50: 16}[depth]
    assert all(bool((g == 0).all()) for g in gammas)
