"""The fingerprints of the images that the runs of a store were trained on, by name and version: ``<store>/.data``.

Fingerprints are kept with the runs and not with the user, because two projects may each have a folder ``toy``.
``photos`` and torchvision's sets have no fingerprint here: a package or a checksum guarantees their content, and
resizing may change their last bit between processors.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simclr_core.config.identity import from_canonical
from simclr_core.config.schema import DataConfig
from simclr_core.data.datasets import transferred_to
from simclr_core.data.errors import DataError
from simclr_core.data.inventory import BUILT_IN
from simclr_core.records import read_json, write_json

FOLDER = ".data"
SCHEMA_VERSION = 1
_FILE = "content.json"


def check_content(store: Path, folder: Path, data: DataConfig, fingerprint: str) -> None:
    """Store the fingerprint of the content of ``folder`` with ``store``, or compare it with the stored one.

    If several runs start at once, the first one stores its fingerprint. In a store that is older than such records, the
    fingerprints in its results are stored first. Raises DataError if the content differs from what the runs were
    trained on.
    """
    if data.name in BUILT_IN:
        return
    if not (store / FOLDER).is_dir():
        _put(store / FOLDER, _told_by_results(store))
    path = store / FOLDER / _place(data)
    if not path.exists():
        _put(path.parent, {_FILE: [fingerprint]})
    try:
        known = read_json(path)["fingerprints"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError([f"{path}: damaged ({error}); it says which images the runs of {store} rest on"]) from None
    if fingerprint not in known:
        what = "names, lengths or classes of files" if data.reading == "stream" else "images or labels"
        problem = f"data.name = {data.name!r}, data.version = {data.version}: {folder} has other {what} than the runs"
        advice = "choose another store, raise data.version, or give the new content another name"
        raise DataError([f"{problem} of {store} rest on, which {path} tells; {advice}"])


def _place(data: DataConfig) -> Path:
    """Return the path of the record's file below ``.data``.

    Streams have records of their own, because their fingerprints do not include pixels; so do streams that skip
    unreadable files.
    """
    reading = f"{data.image_size}px"
    if data.reading == "stream":
        reading = "stream" if data.unreadable == "error" else "stream_readable"
    return Path(f"{data.name}.{data.version}.{reading}") / _FILE


def _put(folder: Path, files: dict[str, list[str]]) -> None:
    """Write the record with these fingerprints, whole or not at all, unless another process has written it first."""
    prepared = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    prepared.mkdir(parents=True)
    try:
        for name, fingerprints in files.items():
            write_json(prepared / name, {"schema_version": SCHEMA_VERSION, "fingerprints": fingerprints})
        prepared.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(prepared, ignore_errors=True)


def _told_by_results(store: Path) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for run_dir in store.iterdir() if store.is_dir() else ():
        for data, fingerprint in _of_run(run_dir):
            if fingerprint and data.name not in BUILT_IN:
                found.setdefault(str(_place(data)), set()).add(fingerprint)
    return {name: sorted(fingerprints) for name, fingerprints in found.items()}


def _of_run(run_dir: Path) -> Iterator[tuple[DataConfig, Any]]:
    """Return what a run was trained on, and the data sets that its evaluations transfer to."""
    try:
        own = from_canonical(DataConfig, read_json(run_dir / "spec.json")["config"]["data"])
        yield own, read_json(run_dir / "result.json").get("data_fingerprint")
        for path in sorted((run_dir / "evals").glob("[!.]*.json")):
            scored = read_json(path)
            if name := scored["evaluation"].get("data"):
                yield transferred_to(name, own), scored.get("data_fingerprint")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no finished run, or one that is torn
        return
