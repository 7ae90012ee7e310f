"""Two results compared: verdicts, cells beyond noise, from tables and from reports, as text, page and exit code."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Ablate
from fake_results import write_results
from page_parser import Page
from scipy import stats

from reports.claims.verdicts import VERDICTS
from reports.diff.compare import (
    MOVED,
    NOISE,
    ONE_SIDED,
    SAME,
    UNTESTED,
    ClaimDiff,
    Diff,
    compare,
    diff_page,
    shift_test,
)
from reports.diff.snapshot import ClaimState
from reports.errors import InputError
from reports.page.site import write_site

FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
STOPPED = {"stop_gradient": True}


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    return write_results(tmp_path_factory.mktemp("before"), scales=["demo"])


@pytest.fixture
def after(before, tmp_path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "after"))


def shift(folder: Path, grid: str, levels: dict[str, object], by: float, *, seeds: int = 99) -> list[str]:
    """Add to the accuracy of a cell's first runs; their ids."""
    cells = json.loads((folder / f"{grid}.demo.json").read_text())["cells"]
    (cell,) = [cell for cell in cells if cell["levels"] == levels]
    runs = [run["run_id"] for run in cell["runs"]][:seeds]
    with (folder / "runs.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    for row in rows:
        if row[1] in runs and row[6] == "linear_top1":
            row[7] = repr(float(row[7]) + by)
    with (folder / "runs.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return runs


def change(folder: Path, grid: str, edit) -> None:
    path = folder / f"{grid}.demo.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def marks(found: Diff, slug: str) -> dict[str, str]:
    (grid,) = [grid for grid in found.grids if grid.slug == slug]
    return {cell.name: cell.mark for cell in grid.cells}


def test_the_same_runs_are_the_same(before, after) -> None:
    found = compare(before, after)

    assert {mark for grid in found.grids for mark in marks(found, grid.slug).values()} == {SAME}
    assert (found.num_flipped, found.num_moved) == (0, 0)
    assert found.summary == "no verdicts flipped, none of 13 cells moved"


def test_a_cell_that_moved_and_a_verdict_that_flipped_are_found(before, after) -> None:
    shift(after, FIG2, STOPPED, -25.0)
    shift(after, FIG5, {"first": "crop", "second": "crop"}, 0.3)

    found = compare(before, after)

    assert marks(found, f"{FIG2}.demo") == {
        "stop_gradient=true": MOVED,
        "stop_gradient=false": SAME,
        "untrained": SAME,
    }
    assert marks(found, f"{FIG5}.demo")["crop"] == NOISE
    assert [(each.claim.id, each.was.verdict, each.now.verdict) for each in found.grids[1].claims_of("flipped")] == [
        ("S1b", "supported", "contradicted")
    ]
    assert [grid.num_rerun for grid in found.grids] == [3, 3]
    (cell,) = [cell for cell in found.grids[1].cells if cell.mark == MOVED]
    assert cell.difference == pytest.approx(-25.0)


def test_claims_that_appear_or_go_flip_nothing(before, after) -> None:
    def edit(grid) -> None:
        grid["claims"][0]["id"] = "S9"
        grid["claims"][1]["margin"] = 0.5

    change(after, FIG2, edit)

    claims = compare(before, after).grids[1].claims

    assert {each.claim.id: each.kind for each in claims} == {"S9": "new", "S1b": "same", "S1": "gone"}
    assert [each.asked_otherwise for each in claims] == ["", "margin 0.5, was 0.0", ""]


def test_cells_of_one_side_and_cells_with_one_seed_are_not_tested(before, after) -> None:
    def edit(grid) -> None:
        grid["cells"][0]["runs"] = grid["cells"][0]["runs"][:1]
        grid["cells"][1]["cell_id"] = "another"
        del grid["cells"][4]
        grid["claims"] = []

    change(after, FIG5, edit)
    shift(after, FIG5, {"first": "crop", "second": "crop"}, 5.0)

    found = compare(before, after)

    assert [mark for mark in marks(found, f"{FIG5}.demo").values() if mark != SAME] == [UNTESTED, ONE_SIDED]
    assert marks(found, f"{FIG5}.demo")["color"] == ONE_SIDED
    assert [cell.other_settings for cell in found.grids[0].cells[:3]] == [False, True, False]


def test_a_report_says_what_its_tables_say(before, after, tmp_path) -> None:
    shift(after, FIG2, STOPPED, -25.0)
    shift(after, FIG5, {"first": "crop", "second": "color"}, 0.4, seeds=2)
    expected = compare(before, after)
    sites = [write_site(folder, tmp_path / folder.name / "site").parent for folder in (before, after)]

    for first, second in ((sites[0], sites[1]), (before, sites[1]), (sites[0], after)):
        found = compare(first, second)
        assert [grid.claims for grid in found.grids] == [grid.claims for grid in expected.grids]
        assert [grid.cells for grid in found.grids] == [grid.cells for grid in expected.grids]


def test_the_tests_are_scipys() -> None:
    rng = np.random.default_rng(0)
    few, others, many, more = rng.normal(size=3), rng.normal(1, 2, 5), rng.normal(size=8), rng.normal(1, 1, 8)

    welch = pytest.approx(stats.ttest_ind(few, others[:3], equal_var=False).pvalue)
    assert shift_test(few, others[:3]) == ("Welch", welch)
    assert shift_test(few, others) == ("Welch, first 3 of each", welch)
    assert shift_test(many, others)[0] == "Welch, first 5 of each"
    pairs = list(itertools.product(many, more))  # Mann and Whitney's U by its definition, and its law by enumeration
    wins = sum(x < y for x, y in pairs)
    law = [sum(rank for rank in ranks) - 36 for ranks in itertools.combinations(range(1, 17), 8)]
    extreme = abs(wins - len(pairs) / 2)
    expected = np.mean(np.abs(np.array(law) - len(pairs) / 2) >= extreme)
    assert shift_test(many, more) == ("Mann-Whitney", pytest.approx(expected))


def test_values_without_any_spread() -> None:
    assert shift_test([10.0] * 3, [10.0] * 3)[1] == 1
    assert shift_test([10.0] * 3, [11.0] * 3)[1] == 0
    assert shift_test([10.0] * 8, [10.0] * 8) == ("Mann-Whitney", 1.0)
    assert shift_test([10.0] * 8, [11.0] * 8)[1] < 0.001


def test_seeds_that_were_added_do_not_move_a_cell() -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(4000, 5))

    assert np.mean(shift_test(samples[:, :3], samples)[1] < 0.05) < 0.01


def test_holms_correction_is_over_the_tested_cells_of_a_grid(before, after) -> None:
    for by, first in ((2.6, "crop"), (0.2, "color"), (3.5, "rotate")):
        shift(after, FIG5, {"first": first, "second": first}, by)

    cells = [cell for cell in compare(before, after).grids[0].cells if cell.test]

    samples = [[list(side.values.values()) for side in (cell.was, cell.now)] for cell in cells]
    raw = [stats.ttest_ind(*sides, equal_var=False).pvalue for sides in samples]
    order = np.argsort(raw)
    stepped = np.maximum.accumulate([min(1.0, raw[place] * (3 - rank)) for rank, place in enumerate(order)])
    assert [cells[place].p for place in order] == pytest.approx(list(stepped))
    assert {cell.mark == MOVED for cell in cells} == {cell.p < 0.05 for cell in cells} == {True, False}


def test_the_page_says_it_and_is_closed(before, after) -> None:
    shift(after, FIG2, STOPPED, -25.0)
    change(after, FIG2, lambda grid: grid.update(title="<script>alert(1)</script>"))

    source = diff_page(compare(before, after))
    page = Page(source)

    assert page.open == []
    assert page.assets == []
    assert "<script" not in source
    assert "default-src &#39;none&#39;" in source
    for text in ("1 verdict flipped, 1 of 13 cells moved", "flipped", "\N{MINUS SIGN}25.0", "stop_gradient=true"):
        assert text in page.text
    headers = [values for tag, values in page.tags if tag == "th"]
    assert all(values.get("scope") in ("row", "col") for values in headers)


def test_the_command_prints_writes_and_exits_with_one(ablate: Ablate, before, after, tmp_path) -> None:
    shift(after, FIG2, STOPPED, -25.0)

    done = ablate("diff", str(before), str(after), "--html", "new/diff.html")

    assert done.exit_code == 1
    assert "flipped  S1b: supported -> contradicted" in done.output
    assert re.search(r"stop_gradient=true +\d\d\.\d ± .* .25\.0 +< 0\.001 +moved +Welch", done.output)
    assert "= 10 of 10 cells have the same runs with the same values" in done.output
    assert "1 verdict flipped, 1 of 13 cells moved." in done.output
    assert Page.read(tmp_path / "new" / "diff.html").open == []
    assert ablate("diff", str(before), str(before)).exit_code == 0


def test_everything_wrong_is_told_at_once(ablate: Ablate, before, tmp_path) -> None:
    for name in ("nothing", "page"):
        (tmp_path / name).mkdir()
    shutil.copytree(before, tmp_path / "results")

    done = ablate("diff", "resluts", "nothing", "--html", "page")

    assert done.exit_code == 2
    for text in ("--html page: is a folder", "resluts: no such folder", "did you mean 'results'", "nothing: neither"):
        assert text in done.output


def test_what_cannot_be_compared_is_said(before, tmp_path) -> None:
    site = write_site(before, tmp_path / "site").parent
    (site / "grids" / f"{FIG2}.demo.json").unlink()
    with pytest.raises(InputError, match=rf"simsiam_fig2_stop_gradient\.demo\.json: {os.strerror(errno.ENOENT)}"):
        compare(site, before)
    (site / "report.json").write_text("{")
    with pytest.raises(InputError, match=r"report\.json: cannot be read"):
        compare(before, site)
    other = write_results(tmp_path / "other", scales=["mini"])
    with pytest.raises(InputError, match="nothing to compare"):
        compare(before, other)


@pytest.mark.parametrize(
    ("was", "now", "kind"),
    [
        ("supported", "contradicted", "flipped"),
        ("contradicted", "supported", "flipped"),
        ("undecided", "supported", "decided"),
        ("not testable here", "contradicted", "decided"),
        ("supported", "undecided", "lost"),
        ("contradicted", "not testable here", "lost"),
        ("undecided", "not testable here", "changed"),
        ("undecided", "undecided", "same"),
    ],
)
def test_only_a_decided_verdict_flips(was: str, now: str, kind: str) -> None:
    assert {was, now} <= set(VERDICTS)
    sides = (
        ClaimState("C1", "Pairs are better.", word, "linear_top1", "points", 1.0, 0.5, 1.5, 0.0) for word in (was, now)
    )

    assert ClaimDiff(*sides).kind == kind


def test_more_seeds_that_decide_leave_the_exit_code_at_0(ablate: Ablate, before, after) -> None:
    with (after / "runs.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    with (after / "runs.csv").open("w", newline="") as file:
        first = [row for row in rows if row[header.index("seed")] == "0"]
        csv.writer(file, lineterminator="\n").writerows([header, *first])

    more, fewer = (
        ablate("diff", str(after), str(before), "--html", "more.html"),
        ablate("diff", str(before), str(after)),
    )

    assert (more.exit_code, fewer.exit_code) == (0, 0)
    assert "  decided  S1b: undecided -> supported" in more.stdout
    assert "  lost  S1b: supported -> undecided" in fewer.stdout
    assert "No verdicts flipped, 4 newly decided, none of 13 cells moved." in more.stdout
    assert "No verdicts flipped, 4 no longer decided, none of 13 cells moved." in fewer.stdout
    assert "New decisions" in Page.read(Path("more.html")).text
