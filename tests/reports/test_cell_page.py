"""The page of a cell: its numbers, its runs as they stand, their provenance; what it escapes and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_results import write_results
from page_parser import Page

from reports.errors import InputError
from reports.inputs import GridResult, load_results
from reports.page.cell_page import cell_pages

FIG2 = "simsiam_fig2_stop_gradient"
COMMIT = "f8ae564cee5e2d2a9c50a51ae48eeb24341a6790"
HOSTILE = "<script>alert('1')</script>\"'&../"


def attempt(number: int = 1, **changed: Any) -> dict[str, Any]:
    """An attempt as ``ablations.store.provenance`` writes it."""
    return {
        "attempt": number,
        "outcome": "done",
        "start": "2026-11-22T03:23:25Z",
        "end": "2026-11-22T03:24:01Z",
        "duration_s": 35.946,
        "command": "python -m simclr_core recipe=earlier",
        "source": {"sha256": "8c" * 32, "commit": COMMIT, "dirty": True, "version": None},
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
        "host": "node-7",
        "cpu": "AMD EPYC, 2 cores",
        "gpu": None,
        "num_threads": 3,
    } | changed


def entry(run_id: str, *attempts: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """What is collected of a run."""
    result = {"schema_version": 1, "run_id": run_id, "outcome": "trained", "num_steps": 390, "final_loss": -0.9312345}
    known = {"schema_version": 1, "run_id": run_id, "attempts": list(attempts), "error": "", "log": ""}
    return known | {"result": result} | changed


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> GridResult:
    (result,) = load_results(write_results(tmp_path_factory.mktemp("results"), scales=["demo"]), [FIG2])
    spec = json.loads(json.dumps(result.spec))
    spec["base"] = {"data.name": "photos", "training.epochs": 10, "backbone.depth": 10, "views.first": "crop"}
    for cell in spec["cells"]:
        cell["settings"] = {f"method.{key}": level for key, level in cell["levels"].items()}
    spec["cells"][0]["settings"] |= {"training.epochs": 20, "views.first": None}
    ids = [run["run_id"] for cell in spec["cells"] for run in cell["runs"]]
    return dataclasses.replace(result, spec=spec, provenance={run_id: entry(run_id, attempt()) for run_id in ids})


def changed(result: GridResult, change) -> GridResult:
    """The result with its JSON, and what was collected of its runs, changed in place."""
    spec, provenance = copy.deepcopy(result.spec), copy.deepcopy(dict(result.provenance))
    change(spec, provenance)
    return dataclasses.replace(result, spec=spec, provenance=provenance)


def first_page(result: GridResult) -> Page:
    return Page(next(iter(cell_pages(result).values())).decode())


def first_runs(result: GridResult) -> list[str]:
    return [run["run_id"] for run in result.spec["cells"][0]["runs"]]


def panel(page: Page, run_id: str) -> str:
    """The source of a run's panel."""
    return page.source.split(f'<section class="run" id="{run_id}"')[1].split("</section>")[0]


def rows(page: Page, table_id: str = "runs-table") -> list[list[str]]:
    """The texts of a table's body."""
    body = page.source.split(f'id="{table_id}"')[1].split("<tbody>")[1].split("</tbody>")[0]
    return [
        [re.sub(r"<[^>]+>", "", field).strip() for field in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in body.split("</tr>")[:-1]
    ]


def test_every_cell_and_reference_has_a_page_where_the_grid_links_to(loaded) -> None:
    pages = cell_pages(loaded)

    assert list(pages) == [f"runs/{FIG2}.demo/{cell['cell_id']}.html" for cell in loaded.spec["cells"]]
    for content, cell in zip(pages.values(), loaded.spec["cells"], strict=True):
        page = Page(content.decode())
        assert page.open == []
        assert len(page.ids) == len(set(page.ids))
        assert {run["run_id"] for run in cell["runs"]} <= set(page.ids)
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
        assert {f"../../grids/{FIG2}.demo.html", "../../index.html"} <= set(page.links)
        assert page.assets == []


def test_pages_lead_on_to_the_next_cell(loaded) -> None:
    ids = [f"{cell['cell_id']}.html" for cell in loaded.spec["cells"]]
    turns = [
        [(link["rel"], link["href"]) for link in Page(content.decode()).all("a") if link.get("rel")]
        for content in cell_pages(loaded).values()
    ]

    assert turns == [[("next", ids[1])], [("prev", ids[0]), ("next", ids[2])], [("prev", ids[1])]]


def test_the_numbers_are_pandas_one_liners(loaded) -> None:
    page = first_page(loaded)
    frame = loaded.frame[loaded.frame["cell_id"] == loaded.spec["cells"][0]["cell_id"]]
    values = frame[frame["metric"] == "linear_top1"]["value"]

    assert f"{values.mean():.1f} ± {values.sem() * 4.302652729911275:.1f} 3 67.7 ± 0.1" in page.text
    assert f"{values.mean() - 67.7:.1f}".replace("-", "\N{MINUS SIGN}") in page.text
    assert [row[3] for row in rows(page)] == [f"{value:.1f}" for value in values]


def test_the_table_has_what_is_asked_of_every_run(loaded) -> None:
    seed, state, outcome, *values, steps, duration, attempts, host, run = rows(first_page(loaded))[0]

    assert [seed, state, outcome] == ["0", "done", "trained"]
    assert [steps, duration, attempts, host] == ["390", "35.9 s", "1", "node-7"]
    assert run == first_runs(loaded)[0]
    assert len(values) == 5
    heads = first_page(loaded).source.split("<thead>")[2].split("</thead>")[0]
    assert heads.count('<th scope="col"') == 3 + 5 + 5


def test_columns_sort_by_numbers_and_what_is_missing_has_none(loaded) -> None:
    runs = first_runs(loaded)
    values = loaded.frame["value"].where(loaded.frame["run_id"] != runs[1])
    page = first_page(dataclasses.replace(loaded, frame=loaded.frame.assign(value=values)))
    keys = [re.findall(r'data-by="([^"]*)"', row) for row in page.source.split("<tr data-kind=")[1:]]

    assert float(keys[0][1]) == loaded.frame.query("run_id == @runs[0] and metric == 'linear_top1'")["value"].item()
    assert keys[1][1] == ""


def test_a_panel_has_all_that_is_known_of_a_run(loaded) -> None:
    page, run_id = first_page(loaded), first_runs(loaded)[0]
    told = panel(page, run_id)
    text = Page(f"<div {told}</div>").text

    assert loaded.spec["cells"][0]["runs"][0]["command"] in text
    for part in (
        f"Commit {COMMIT} dirty: with uncommitted changes",
        "python 3.11.7, torch 2.14.1",
        "1 done 2026-11-22 03:23:25 UTC 2026-11-22 03:24:01 UTC 35.9 s node-7 AMD EPYC, 2 cores 3",
        "num_steps 390",
        "method.stop_gradient = true",
        "training.epochs = 20 (base: 10)",
        "all 5 settings",
        "python -m simclr_core recipe=earlier",
    ):
        assert part in re.sub(r"\s+", " ", text), part
    assert f'data-copy="{run_id}.command" hidden' in told


def test_settings_that_differ_come_first_and_are_marked(loaded) -> None:
    whole = first_page(loaded).source.split("The whole configuration</summary>")[1].split("</table>")[0]
    keys = re.findall(r'<tr( class="differs")?><th scope="row"><code>([^<]+)</code>', whole)

    assert [key for _, key in keys] == [
        "method.stop_gradient", "training.epochs", "views.first", "data.name", "backbone.depth"
    ]  # fmt: skip
    assert [bool(marked) for marked, _ in keys] == [True, True, True, False, False]


def test_a_clean_commit_and_an_unknown_one_are_told_apart(loaded) -> None:
    def change(_, provenance) -> None:
        provenance[ids[0]]["attempts"][0]["source"]["dirty"] = False
        provenance[ids[1]]["attempts"][0]["source"] |= {"dirty": None, "commit": None, "version": "0.1.0"}
        provenance[ids[2]]["attempts"] = []

    ids = first_runs(loaded)
    page = first_page(changed(loaded, change))

    assert "clean" in panel(page, ids[0])
    assert "whether it was dirty is not known" in panel(page, ids[1])
    assert "Installed version</dt><dd>0.1.0" in panel(page, ids[1])
    assert "No attempt is on record" in panel(page, ids[2])


def test_all_attempts_count(loaded) -> None:
    def change(_, provenance) -> None:
        first = attempt(outcome="lost", end=None, duration_s=None, host="node-1")
        second = attempt(2, outcome="failed", duration_s=7000.0, gpu="NVIDIA H100", job_id="120", array_index=5)
        provenance[run_id]["attempts"] = [first, second, attempt(3, duration_s=400.0)]

    run_id = first_runs(loaded)[0]
    page = first_page(changed(loaded, change))

    assert rows(page)[0][-4:-1] == ["2.1 h", "3", "node-1, node-7"]
    assert "node-7, SLURM job 120_5</td><td>NVIDIA H100" in panel(page, run_id)


@pytest.mark.parametrize(
    ("state", "outcome", "kind"),
    [
        ("planned", None, "planned"),
        ("queued", None, "queued"),
        ("running", None, "running"),
        ("failed", None, "failed"),
        ("stale", None, "stale"),
        ("done", "collapsed", "collapsed"),
        ("done", "diverged", "diverged"),
    ],
)
def test_runs_that_are_no_ordinary_success_are_shown_as_such(loaded, state, outcome, kind) -> None:
    def change(spec, provenance) -> None:
        spec["cells"][0]["runs"][1] |= {"state": state, "outcome": outcome}
        provenance[run_id] |= {"error": "OSError: no space left\n", "log": "step 1\nstep 2\n", "result": None}

    run_id = first_runs(loaded)[1]
    page = first_page(changed(loaded, change))

    assert f"2 trained, 1 {kind}" in page.text
    assert [row["data-kind"] for row in page.all("tr") if "data-kind" in row] == ["trained", kind, "trained"]
    assert f'<span class="badge kind {kind}">{kind}</span>' in panel(page, run_id)
    assert "OSError: no space left</pre>" in panel(page, run_id)
    assert "step 1\nstep 2</pre>" in panel(page, run_id)
    assert f"<option>{kind}</option>" in page.source


def test_without_provenance_curves_or_settings_the_page_says_so(loaded) -> None:
    def change(spec, provenance) -> None:
        provenance.clear()
        spec["cells"][0]["runs"][1] |= {"state": "planned", "outcome": None}
        for cell in spec["cells"]:
            del cell["settings"]
        del spec["base"]

    bare = changed(loaded, change)
    page = first_page(dataclasses.replace(bare, curves=bare.curves.iloc[:0]))

    assert page.text.count("Provenance was not collected.") == 2
    assert page.text.count("Provenance: nothing was found of this run.") == 1
    assert "No run of this cell has recorded a curve." in page.text
    assert "Not collected" in page.text
    assert rows(page)[0][-5:-1] == ["\N{EN DASH}"] * 4


def test_a_run_without_a_curve_is_named_in_the_legend(loaded) -> None:
    curves = loaded.curves[loaded.curves["run_id"] != first_runs(loaded)[1]]
    page = first_page(dataclasses.replace(loaded, curves=curves))

    assert "seed 1 (trained, no curve)" in page.text
    assert len(page.all("svg", class_="swatch")) == 2
    assert len(page.all("g", class_="run-1")) == 0


def test_a_diverged_loss_is_drawn_as_far_as_it_goes(loaded) -> None:
    curves = loaded.curves.copy()
    curves.loc[(curves["run_id"] == first_runs(loaded)[1]) & (curves["step"] > 100), "loss"] = np.nan
    page = first_page(dataclasses.replace(loaded, curves=curves))

    assert "1 of 3 not finite at the end" in page.text
    assert "Seed 1: from" in page.all("svg", role="img")[0]["aria-label"]


@pytest.mark.parametrize("count", [1, 12])
def test_one_run_or_twelve(loaded, count) -> None:
    cell_id = loaded.spec["cells"][0]["cell_id"]
    ids = [f"run-of-seed-{seed}" for seed in range(count)]

    def change(spec, provenance) -> None:
        template = spec["cells"][0]["runs"][0]
        spec["cells"][0]["runs"] = [template | {"run_id": run_id, "seed": seed} for seed, run_id in enumerate(ids)]
        provenance |= {run_id: entry(run_id, attempt()) for run_id in ids}

    def repeated(table: pd.DataFrame, run_id: str) -> pd.DataFrame:
        mine = table[table["run_id"] == run_id]
        return pd.concat([mine.assign(run_id=name, seed=seed) for seed, name in enumerate(ids)])

    old = first_runs(loaded)
    frame, curves = (
        pd.concat([repeated(table, old[0]), table[~table["run_id"].isin(old)]])
        for table in (loaded.frame, loaded.curves)
    )
    curves["loss"] += curves["seed"]
    page = first_page(dataclasses.replace(changed(loaded, change), frame=frame, curves=curves))

    assert len(rows(page)) == count
    assert {run_id for run_id in page.ids if run_id in ids} == set(ids)
    legend = page.source.split('<ul class="legend">')[1].split("</ul>")[0]
    swatches = re.findall(r'<g class="([^"]+)">.*?<path class="mark" d="([^"]+)"', legend)
    assert len(set(swatches)) == count
    assert cell_id in next(iter(cell_pages(loaded)))


def test_everything_from_the_results_is_escaped(loaded) -> None:
    def hostile(content: Any) -> Any:
        """Every text of a JSON value, replaced."""
        if isinstance(content, dict):
            return {key: hostile(value) for key, value in content.items()}
        if isinstance(content, list):
            return [hostile(value) for value in content]
        return HOSTILE if isinstance(content, str) else content

    known_names = ("name", "scale", "metric", "axes", "cells", "figure", "claims", "evaluations")

    def change(spec, provenance) -> None:
        for key in set(spec) - set(known_names):
            spec[key] = hostile(spec[key])
        spec["base"][HOSTILE] = HOSTILE
        cell = spec["cells"][0]
        cell["settings"] = {HOSTILE: HOSTILE, f"views.{HOSTILE}": [HOSTILE]}
        cell["levels"] = {HOSTILE: HOSTILE, "stop_gradient": HOSTILE}
        cell["runs"][0] |= {"command": f"python {HOSTILE}"}
        cell["runs"][1] |= {"outcome": HOSTILE}
        cell["runs"][2] |= {"state": HOSTILE, "outcome": None}
        for run_id in first_runs(loaded):
            known = hostile(provenance[run_id]) | {"error": HOSTILE, "log": HOSTILE, "run_id": run_id}
            known["attempts"][0]["versions"] = {HOSTILE: HOSTILE}
            known["attempts"][0] |= {"gpu": HOSTILE, "job_id": HOSTILE, "array_index": HOSTILE, "num_threads": HOSTILE}
            known["result"] = {HOSTILE: HOSTILE, "num_steps": HOSTILE}
            provenance[run_id] = known

    page = first_page(changed(loaded, change))

    assert len(page.scripts) == 1
    assert page.open == []
    assert page.source.count("<script") == 1
    assert page.source.count("&lt;script&gt;") > 50
    assert not [value for _, values in page.tags for value in values if value.startswith("on")]
    assert all(link.startswith(("#", "../../")) or link.endswith(".html") for link in page.links)
    assert page.all("code", id=f"{first_runs(loaded)[0]}.command")
    assert f"python {HOSTILE}" in page.words


@pytest.mark.parametrize(
    ("what", "bad"),
    [
        *itertools.product(["cell_id", "run_id", "name", "scale"], ["../up", "a/b", 'x"y', "<b>", "a b", "a\\b"]),
        *itertools.product(["cell_id", "run_id"], [".hidden", "..", ""]),
        ("name", "..hidden"),
    ],
)
def test_an_id_that_could_lead_elsewhere_is_refused(loaded, what, bad) -> None:
    def change(spec, _) -> None:
        owner = {"cell_id": spec["cells"][0], "run_id": spec["cells"][0]["runs"][0]}.get(what, spec)
        owner[what] = bad

    with pytest.raises(InputError, match="cannot name a file"):
        cell_pages(changed(loaded, change))


def test_polylines_have_two_hundred_points_at_most(loaded) -> None:
    run_id = first_runs(loaded)[0]
    row = loaded.curves[loaded.curves["run_id"] == run_id].iloc[0]
    steps = np.arange(5_000)
    long = pd.DataFrame({**row.to_dict(), "step": steps, "epoch": steps / 500, "loss": np.sin(steps)}, index=steps)
    page = first_page(dataclasses.replace(loaded, curves=long))
    lengths = [len(line["points"].split(" ")) for line in page.all("polyline")]

    assert 190 < max(lengths) <= 200


def test_the_same_result_gives_the_same_bytes(loaded) -> None:
    assert cell_pages(loaded) == cell_pages(copy.deepcopy(loaded))


def test_without_a_script_there_are_no_dead_controls(loaded) -> None:
    page = first_page(loaded)

    assert all("hidden" in values for values in [*page.all("button"), *page.all("form")])
    assert page.all("button")
    assert all(head.get("scope") for head in page.all("th"))
