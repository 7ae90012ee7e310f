"""The objectives, one file a method; which one a configuration means is in ``simclr_core.config.methods``."""

from __future__ import annotations

import importlib

from simclr_core.config.schema import RunConfig
from simclr_core.methods.base import Method
from simclr_core.networks.network import Network


def build_method(config: RunConfig, num_images: int) -> Method:
    """The method of a configuration, initialised from torch's current random state, for a run on so many images."""
    return _method(config)(config, num_images)


def build_network(config: RunConfig) -> Network:
    """The network alone, which evaluations and exports fill from a checkpoint."""
    return _method(config).build_network(config)


def _method(config: RunConfig) -> type[Method]:
    module, _, name = config.method.module.partition(":")
    found: type[Method] = getattr(importlib.import_module(module), name)
    return found
