"""The network as evaluations see it: it neither learns nor moves, so that its BN needs no pass of its own."""

from __future__ import annotations

import copy
import itertools

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from simclr_core.networks.network import Network


def frozen(network: Network) -> Network:
    """A copy in eval mode without gradient, float32, its backbone's BN folded into the convolutions before them.

    In eval mode BN multiplies each channel by one number and adds another, which weights and a bias of the convolution
    can do for it (Jacob et al. 2018, Sec. 3.2): the same numbers but for rounding.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in network.backbone.modules():
        for (name, layer), (next_name, following) in itertools.pairwise(list(parent.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(following, _BatchNorm):
                setattr(parent, name, fuse_conv_bn_eval(layer, following))
                setattr(parent, next_name, nn.Identity())
    return network
