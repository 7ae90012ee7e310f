"""One short file per method; ``build_method`` picks by ``method.name``."""

from __future__ import annotations

from simclr_core.config.schema import RunConfig
from simclr_core.methods.base import Method
from simclr_core.methods.simclr import SimCLR
from simclr_core.methods.simsiam import SimSiam
from simclr_core.methods.supervised import Supervised

_METHODS: dict[str, type[Method]] = {"simclr": SimCLR, "simsiam": SimSiam, "supervised": Supervised}


def build_method(config: RunConfig) -> Method:
    """The network and objective of a configuration, initialised from torch's current random state."""
    return _METHODS[config.method.name](config)
