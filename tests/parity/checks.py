"""Which check reads which file."""

from __future__ import annotations

from pathlib import Path

from parity import contrastive, neighbours, networks, optimiser, siamese, views
from parity.comparison import Check, NotCovered, Outcome
from parity.golden import Golden, GoldenError

CHECKS: dict[str, Check] = {
    "01": contrastive.check,
    "02": optimiser.check_lars,
    "03": optimiser.check_schedule,
    "04": networks.check_backbone,
    "05": networks.check_projector,
    "06": views.check,
    "07": siamese.check,
    "12": neighbours.check,
}
"""By the two digits that a file's name begins with."""
LATER = {
    "08": "SupCon",
    "09": "MoCo",
    "10": "SwAV and BYOL",
    "11": "SpCL",
}


def golden_files(folder: Path) -> list[Path]:
    """The golden files of a folder, by name; raises GoldenError where there are none."""
    if not folder.is_dir():
        raise GoldenError(f"{folder}: no such folder")
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise GoldenError(f"{folder}: holds no golden files, expected names such as 01_ntxent_a.npz")
    return files


def outcomes_of(path: Path) -> list[Outcome]:
    """All that a file's check reports; raises GoldenError where the file is not as its family is."""
    family = path.stem[:2]
    if family not in CHECKS:
        return [NotCovered("all", f"{LATER[family]}: no such method here" if family in LATER else "no known family")]
    golden = Golden(path)
    try:
        return list(CHECKS[family](golden))
    except GoldenError:
        raise
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Arrays that contradict each other or the hyper-parameters show up wherever they first meet.
        raise GoldenError(
            f"{path.name}: its content does not fit together ({type(error).__name__}: {error})"
        ) from error
