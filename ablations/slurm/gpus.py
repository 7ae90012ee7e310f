"""How many GPUs a profile asks for, in whichever words."""

from __future__ import annotations

import re

from ablations.slurm.profiles import Profile

_COUNTED = ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task")
_LISTED = ("gres", "tres-per-job", "tres-per-node", "tres-per-socket", "tres-per-task")
_ENTRY = re.compile(r"(?:gres[/:])?(?P<name>gpu|mps|shard)(?:[/:=](?P<rest>.*))?")  # of a list of resources


def asked_for(profile: Profile) -> int:
    """The largest number of GPUs that an option of ``profile`` names, 0 where none asks for a GPU.

    Options of ``extra`` count as the profile's own do. A share of a GPU (``mps``, ``shard``) is one.
    """
    options = {"gpus-per-node": str(profile.gpus_per_node), **profile.extra}
    counts = dict.fromkeys(_COUNTED, _counted) | dict.fromkeys(_LISTED, _listed)
    return max(
        counts[option](entry.strip())
        for option, value in options.items()
        if option in counts
        for entry in str(value).split(",")
    )


def _counted(entry: str) -> int:
    """Of ``2`` or ``a100:2``."""
    number = entry.rpartition(":")[2]
    return int(number) if number.isdecimal() else 1


def _listed(entry: str) -> int:
    """Of ``gpu``, ``gpu:a100:2`` or ``gres/gpu=2``; 0 for what is no GPU."""
    match = _ENTRY.fullmatch(entry)
    if match is None:
        return 0
    number = re.split("[:=]", match["rest"] or "")[-1]
    return int(number) if match["name"] == "gpu" and number.isdecimal() else 1
