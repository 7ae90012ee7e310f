"""ResNets against torchvision's and the papers' tables."""

from __future__ import annotations

import pytest
import torch
import torchvision

from simclr_core.config.schema import BackboneConfig
from simclr_core.networks.resnet import ResNet, SameMaxPool2d


@pytest.mark.parametrize("depth", [18, 50])
def test_it_is_torchvisions_resnet_without_fc(depth: int) -> None:
    """In float64: the last stage sums in another order than torchvision's."""
    ours = ResNet(BackboneConfig(depth=depth, zero_init_residual=False)).double().eval()
    theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None).double().eval()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    theirs.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

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


# The layout of SimCLR's released code


@pytest.mark.parametrize(
    ("depth", "stem", "original", "torchvision_like"),
    [
        (18, "imagenet", 11_180_736, 11_176_512),
        (34, "imagenet", 21_288_896, 21_284_672),
        (50, "imagenet", 23_508_032, 23_508_032),
        (18, "cifar", 11_173_056, 11_168_832),
        (50, "cifar", 23_500_352, 23_500_352),
    ],
)
def test_the_original_layout_projects_the_first_shortcut_too(
    depth: int, stem: str, original: int, torchvision_like: int
) -> None:
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in ResNet(BackboneConfig(depth=depth, stem=stem, layout=layout)).parameters())
            for layout in ("original", "torchvision")
        ]

    assert counts == [original, torchvision_like]


@pytest.mark.parametrize("side", [5, 6])
def test_same_max_pool_pads_the_bottom_and_right_of_even_sides(side: int) -> None:
    x = torch.randn(1, 1, side, side + 1, generator=torch.Generator().manual_seed(0)) - 5  # negative: padding loses
    first = [[0, 1], [1, 2, 3], [3, 4]] if side == 5 else [[0, 1, 2], [2, 3, 4], [4, 5]]
    second = [[0, 1, 2], [2, 3, 4], [4, 5]] if side == 5 else [[0, 1], [1, 2, 3], [3, 4, 5], [5, 6]]
    expected = [[x[0, 0][rows][:, columns].max().item() for columns in second] for rows in first]

    assert SameMaxPool2d()(x)[0, 0].tolist() == expected


def test_the_original_layout_begins_as_a_truncated_normal_of_variance_one_over_fan_in() -> None:
    torch.manual_seed(0)
    resnet = ResNet(BackboneConfig(depth=18, layout="original", stem="cifar"))
    for module in resnet.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 10_000:
            std = module.weight[0].numel() ** -0.5
            assert module.weight.std().item() == pytest.approx(std, rel=0.02)
            assert module.weight.abs().max().item() == pytest.approx(2 * std / 0.8796, rel=0.01)
