"""Runs benchmarks, prints their tables and writes them into their documents, each between a pair of marks.

    OMP_NUM_THREADS=2 python -m benchmarks [NAME...]

Without names, all of them. ``nox -s bench`` makes the environment that has the peers, and calls this in it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ablations.readme.generated import replaced
from simclr_core.processes.distributed import World
from simclr_core.training.machine import environment

BENCHMARKS = dict.fromkeys(
    ("step", "equivalence", "data_path", "evaluation", "grid", "planning", "status", "report"), "performance.md"
)
BENCHMARKS |= dict.fromkeys(("scaling", "clusters"), "scaling.md")
DOCUMENTS = Path(__file__).parents[1] / "docs"
PACKAGES = ("torch", "torchvision", "numpy", "lightly", "kornia")


def main() -> None:
    """Measure, print and write, one benchmark after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"among {', '.join(BENCHMARKS)}; default: all")
    names = parser.parse_args().names or BENCHMARKS
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; expected some of {', '.join(BENCHMARKS)}")
    for name in names:
        tables = importlib.import_module(f"benchmarks.{name}").run()
        content = "\n\n".join([conditions(), *(table.markdown() for table in tables)])
        print(content, flush=True)
        document = DOCUMENTS / BENCHMARKS[name]
        document.write_text(replaced(document.read_text(encoding="utf-8"), name, "bench", content), encoding="utf-8")


def conditions() -> str:
    """When, on what machine, and with which versions."""
    machine = environment(World())
    versions = ", ".join(f"{name} {version}" for name, version in _versions(PACKAGES))
    return (
        f"Run on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores of {machine['processor']}"
        f" ({machine['instructions']}), Python {platform.python_version()}, {versions}."
    )


def _versions(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in packages:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


if __name__ == "__main__":
    main()
