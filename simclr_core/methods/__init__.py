"""The methods, one file each; ``simclr_core.config.methods`` says which class a configuration uses."""

from __future__ import annotations

import importlib

from simclr_core.config.schema import RunConfig
from simclr_core.methods.base import Method
from simclr_core.networks.network import Network


def build_method(config: RunConfig, num_images: int) -> Method:
    """Build the method of a configuration for ``num_images`` images, initialised from torch's current random state."""
    return _method(config)(config, num_images)


def build_network(config: RunConfig) -> Network:
    """Build the network alone; evaluations and exports fill it from a checkpoint."""
    return _method(config).build_network(config)


def _method(config: RunConfig) -> type[Method]:
    module, _, name = config.method.module.partition(":")
    found: type[Method] = getattr(importlib.import_module(module), name)
    return found
