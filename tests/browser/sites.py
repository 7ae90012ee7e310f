"""Sites for the tests: of real results, of made-up grids in every state, and of results that try to run a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fake_results import fake_grids, write_results

from reports.diff.compare import compare, diff_page
from reports.page.site import write_site

MINI = Path(__file__).parents[2] / "docs" / "results" / "mini"
PAIRS, STOP = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
UNFINISHED = ("failed", "running", "queued", "stale", "planned")
HOSTILE = """<script>document.title = "ran"</script><img src=x onerror="document.title = 'ran'">'"&lt;"""

# what a user or a job writes, and no schema limits
_FREE = {
    "title", "question", "note", "locus", "says", "label", "command", "error", "log", "host", "cpu", "commit", "paper",
    "ours", "path", "what", "recipe",
}  # fmt: skip


def grids() -> list[tuple[dict[str, Any], str]]:
    """(JSON, data set) of a grid that has a run in each state, one whose runs collapsed, and one not begun."""
    found = [(grid, dataset) for grid, dataset in fake_grids() if (grid["name"], grid["scale"]) != (PAIRS, "mini")]
    pairs, _, planned = (grid for grid, _ in found)
    for state, run in zip(UNFINISHED, _runs(pairs), strict=False):
        run |= {"state": state, "outcome": None}
    for run in _runs(planned):
        run |= {"state": "planned", "outcome": None}
    planned["cost"]["actual_core_s"] = 0.0
    for grid, _ in found:
        grid["base"] = {"data.name": "photos", "optimizer.learning_rate": 0.2, "training.epochs": 10}
        for cell in grid["cells"]:
            cell["settings"] = {f"method.{axis}": level for axis, level in cell["levels"].items()}
    return found


def _runs(grid: dict[str, Any]) -> list[dict[str, Any]]:
    """A grid's runs, the first of every cell first."""
    return [run for runs in zip(*(cell["runs"] for cell in grid["cells"]), strict=True) for run in runs]


def cell_page(site: str, spec: dict[str, Any], index: int) -> str:
    """The path of the page of a grid's cell."""
    return f"{site}/runs/{spec['name']}.{spec['scale']}/{spec['cells'][index]['cell_id']}.html"


def _provenance(run: dict[str, Any]) -> dict[str, Any]:
    """What the store knows of a run that was started: two attempts where the first failed."""
    attempt = {
        "schema_version": 1,
        "attempt": 1,
        "outcome": {"running": None, "stale": None}.get(run["state"], run["state"]),
        "start": "2026-11-22T03:23:25Z",
        "end": "2026-11-22T03:24:36Z",
        "duration_s": 71.3,
        "host": "node-with-a-rather-long-name-17.cluster.example.org",
        "cpu": "AMD EPYC 7B13",
        "num_threads": 2,
        "job_id": "4711",
        "array_index": run["seed"],
        "command": run["command"],
        "source": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": run["seed"] == 1, "version": "0.1.0"},
        "versions": {"python": "3.11.9", "torch": "2.14.0", "numpy": "2.3.1"},
    }
    failed = run["state"] == "failed"
    again = attempt | {"attempt": 2, "start": "2026-11-22T04:00:00Z", "end": "2026-11-22T04:01:11Z"}
    return {
        "schema_version": 1,
        "run_id": run["run_id"],
        "attempts": [attempt, again] if failed else [attempt],
        "error": 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no such file'
        if failed
        else "",
        "log": "\n".join(f"epoch {epoch}  loss {-epoch / 10:.4f}" for epoch in range(20)),
        "result": {"num_steps": 390, "final_loss": -0.93} if run["state"] == "done" else None,
    }


def mixed_results(folder: Path) -> Path:
    """The results folder of ``grids``, whole: with provenance, and with what could not be collected."""
    found = grids()
    started = [
        _provenance(run) for grid, _ in found for run in _runs(grid) if run["state"] not in ("planned", "queued")
    ]
    write_results(folder, found)
    lines = sorted((json.dumps(each) for each in started), key=lambda line: json.loads(line)["run_id"])
    (folder / "provenance.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    problems = [{"path": "runs/simclr-photos-0123456789ab/result.json", "what": "not JSON: it ends in the middle"}]
    (folder / "problems.json").write_text(json.dumps({"schema_version": 1, "problems": problems}), encoding="utf-8")
    return folder


def hostile_results(folder: Path) -> Path:
    """The same, but that everything which a user can write is an attempt to run a script."""
    mixed_results(folder)
    for path in [*folder.glob("*.json"), folder / "provenance.jsonl"]:
        lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
        path.write_text("\n".join(json.dumps(_hostile(json.loads(line))) for line in lines), encoding="utf-8")
    return folder


def _hostile(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _hostile(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_hostile(each, key) for each in value]
    return value + HOSTILE if isinstance(value, str) and key in _FREE else value


def build(folder: Path) -> Path:
    """Write the three sites and two pages of differences below ``folder``; returns it."""
    write_site(MINI, folder / "mini", [PAIRS, STOP])
    mixed = mixed_results(folder / "results")
    write_site(mixed, folder / "mixed", [STOP])  # so that the next has something to say of the last
    write_site(mixed, folder / "mixed", single_file=True)
    attempts = hostile_results(folder / "attempts")
    write_site(attempts, folder / "hostile", single_file=True)
    (folder / "diff.html").write_text(diff_page(compare(folder / "mini", mixed)), encoding="utf-8")
    (folder / "hostile-diff.html").write_text(diff_page(compare(mixed, attempts)), encoding="utf-8")
    return folder


def pages() -> Iterator[str]:
    """The paths of one page of every kind, and of every state that makes a kind look different."""
    slugs = [f"{spec['name']}.{spec['scale']}" for spec, _ in grids()]
    pairs, collapsed, planned = (spec for spec, _ in grids())
    yield from ("diff.html", "mixed/index.html", "mixed/report.html")
    yield from (f"mixed/grids/{slug}.html" for slug in slugs)
    yield cell_page("mixed", pairs, 0)
    yield cell_page("mixed", collapsed, 1)
    yield cell_page("mixed", planned, 0)
    yield cell_page("mini", json.loads((MINI / f"{STOP}.mini.json").read_text(encoding="utf-8")), 0)
