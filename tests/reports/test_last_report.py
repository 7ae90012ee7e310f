"""What a report leaves for the next: what changed, what need not be made again, what is removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_results import write_results

import reports.page.fingerprint
import reports.page.grid_page
import reports.page.site
from reports.inputs import load_results
from reports.page.card import Card
from reports.page.fingerprint import fingerprint
from reports.page.last_report import Change, Entry, Report, changes, read_report
from reports.page.site import write_site

FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
Files = dict[str, bytes]
FIGURE_FILES = reports.page.grid_page.figure_files


@pytest.fixture(autouse=True, scope="module")
def drawn_once() -> Iterator[None]:
    """What these tests ask of figures is that they are the same; the same inputs are drawn once."""
    known: dict[str, Files] = {}

    def remembered(section) -> Files:
        inputs = fingerprint(section.result)
        known[inputs] = known.get(inputs) or FIGURE_FILES(section)
        return known[inputs]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports.page.grid_page, "figure_files", remembered)
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder with results and the site of them; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("first")
    write_results(folder / "results", scales=["demo"])
    write_site(folder / "results", folder / "site")
    return folder


@pytest.fixture
def again(first, tmp_path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "again"))


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """The grids whose files are made from here on."""
    slugs: list[str] = []
    real = reports.page.site.grid_files

    def recording(section, neighbours) -> tuple[Files, Card]:
        slugs.append(section.slug)
        return real(section, neighbours)

    monkeypatch.setattr(reports.page.site, "grid_files", recording)
    return slugs


def files(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "results" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_two_folders_get_the_same_bytes(first, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reports.page.grid_page, "figure_files", FIGURE_FILES)
    write_site(first / "results", tmp_path / "site")

    written = files(tmp_path / "site")
    assert written == files(first / "site")
    assert len(written) == 2 + 2 * 8 + 10 + 3  # index and report.json; figures, tables, page and twin; pages of cells


def test_the_same_results_again_change_nothing_and_make_nothing(again, made) -> None:
    before = files(again / "site")

    write_site(again / "results", again / "site")

    assert made == []
    assert files(again / "site") == before


def test_only_a_changed_grid_is_made_again_with_the_bytes_of_a_full_report(again, made, tmp_path) -> None:
    loss = (again / "results/curves.csv").read_text().splitlines()[-1].split(",")[4]
    edit(again, "curves.csv", f",{loss},", ",-0.5,")

    write_site(again / "results", again / "site")
    assert made == [f"{FIG2}.demo"]
    write_site(again / "results", tmp_path / "fresh")

    ours, fresh = files(again / "site"), files(tmp_path / "fresh")
    tells = {"index.html", "report.json"}  # of what changed since
    assert {name for name in fresh if ours.get(name) != fresh[name]} == tells
    assert ours.keys() == fresh.keys()
    grids = [json.loads(content["report.json"])["grids"] for content in (ours, fresh)]
    assert grids[0] == grids[1]


@pytest.mark.parametrize("name", [f"figures/{FIG5}.demo.svg", f"grids/{FIG5}.demo.html"])
def test_a_file_that_is_damaged_or_gone_is_made_again(again, made, name) -> None:
    whole = files(again / "site")
    (again / "site" / name).write_text("torn")
    write_site(again / "results", again / "site")
    (again / "site" / name).unlink()
    write_site(again / "results", again / "site")

    assert made == [f"{FIG5}.demo"] * 2
    assert files(again / "site") == whole


def test_a_new_reporter_makes_everything_again(again, made, monkeypatch) -> None:
    monkeypatch.setattr(reports.page.fingerprint, "_source", lambda: ["another"])

    write_site(again / "results", again / "site")

    assert len(made) == 2


def test_the_source_is_all_that_pages_are_made_by() -> None:
    versions, *sources = reports.page.fingerprint._source()
    names = {name for name, _ in sources}

    pages = {f"reports/page/{name}" for name in ("site.py", "templates/grid.html", "templates/style.css")}
    assert pages | {"reports/page/templates/overview.js", "formats/levels.py"} <= names
    assert not [name for name in names if "__pycache__" in name]
    assert any(version.startswith("matplotlib ") for version in versions)


def test_the_hash_of_a_grid_follows_its_own_inputs_alone(again, first) -> None:
    def hashes() -> tuple[str, ...]:
        return tuple(fingerprint(result) for result in load_results(again / "results"))

    start = hashes()
    assert start == tuple(fingerprint(result) for result in load_results(first / "results"))
    edit(again, f"{FIG2}.demo.json", "a small network", "a tiny network")
    worded = hashes()
    run_id = json.loads((again / f"results/{FIG2}.demo.json").read_text())["cells"][0]["runs"][0]["run_id"]
    line = {"schema_version": 1, "run_id": run_id, "attempts": [], "error": "", "log": "epoch 1", "result": None}
    (again / "results/provenance.jsonl").write_text(json.dumps(line) + "\n")
    traced = hashes()
    (again / "results/provenance.jsonl").write_text(json.dumps({**line, "run_id": "of-another-grid"}) + "\n")

    assert start[0] == worded[0] == traced[0] == hashes()[0]
    assert len({start[1], worded[1], traced[1]}) == 3
    assert hashes()[1] == worded[1]


def test_flipped_verdicts_and_new_runs_are_told_once_until_something_changes(again) -> None:
    report = json.loads((again / "site/report.json").read_text())
    card = report["grids"][f"{FIG2}.demo"]["card"]
    card["claims"][0]["verdict"] = "undecided"
    last = list(card["runs"])[-1]
    card["runs"][last] = "running"
    report["grids"][f"{FIG2}.demo"]["inputs"] = "of an older day"
    (again / "site/report.json").write_text(json.dumps(report))

    write_site(again / "results", again / "site")
    told = files(again / "site")
    write_site(again / "results", again / "site")

    name = "SimSiam, Fig. 2: Stop-gradient, scale demo"
    found = read_report(again / "site")
    assert found is not None
    assert found.changes == [
        Change("verdict", f"{FIG2}.demo", name, "undecided, now supported", "S1", "undecided", "supported"),
        Change("runs", f"{FIG2}.demo", name, "1 run newly done"),
    ]
    assert files(again / "site") == told


def test_new_and_gone_grids_and_claims_are_told(first) -> None:
    report = read_report(first / "site")
    assert report is not None
    (fig5, one), (fig2, other) = report.entries.items()
    fewer = Report({fig2: other}, None)
    claims = other.card.claims
    renamed = type(other.card)(
        **{**vars(other.card), "claims": [claims[0], type(claims[1])(**{**vars(claims[1]), "id": "S9"})]}
    )

    assert [(change.kind, change.slug) for change in changes(fewer, report.entries) or []] == [("new", fig5)]
    assert [(change.kind, change.slug) for change in changes(report, fewer.entries) or []] == [("gone", fig5)]
    told = changes(report, {fig5: one, fig2: Entry("now", {}, renamed)}) or []
    assert [(change.claim, change.text) for change in told] == [
        ("S9", "a new claim, supported"),
        ("S1b", "a claim that was supported is gone"),
    ]
    assert changes(None, report.entries) is None


def test_a_failed_run_is_told(first) -> None:
    report = read_report(first / "site")
    assert report is not None
    (slug, entry), _ = report.entries.items()
    runs = {run: "failed" if place < 2 else state for place, (run, state) in enumerate(entry.card.runs.items())}
    after = {**report.entries, slug: Entry("now", {}, type(entry.card)(**{**vars(entry.card), "runs": runs}))}

    assert [change.text for change in changes(report, after) or []] == ["2 runs newly failed"]


def test_what_the_last_report_left_and_this_one_has_not_is_removed(again) -> None:
    kept = again / "site" / f"tables/{FIG5}.demo.tex"
    kept.write_text("edited by hand")

    write_site(again / "results", again / "site", [FIG2])

    left = {path.name for path in (again / "site").rglob(f"*{FIG5}*") if path.is_file()}
    assert left == {kept.name}
    assert (again / "site" / f"grids/{FIG2}.demo.html").is_file()


@pytest.mark.parametrize("name", ["../outside.txt", "{root}/outside.txt"])
def test_a_path_of_the_last_report_cannot_lead_out_of_the_site(again, name) -> None:
    outside = again / "outside.txt"
    outside.write_text("precious")
    report = json.loads((again / "site/report.json").read_text())
    digest = hashlib.sha256(b"precious").hexdigest()
    report["grids"][f"{FIG5}.demo"]["files"] = {name.format(root=again): digest}
    (again / "site/report.json").write_text(json.dumps(report))

    write_site(again / "results", again / "site", [FIG2])

    assert outside.read_text() == "precious"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"schema_version": 2}', '{"schema_version": 1, "grids": {"a.demo": {}}, "changes": null}'],
)
def test_a_last_report_that_cannot_be_read_is_none(tmp_path, content) -> None:
    (tmp_path / "report.json").write_text(content)

    assert read_report(tmp_path) is None


def test_a_card_that_names_another_folder_makes_the_last_report_unreadable(again) -> None:
    path = again / "site/report.json"
    path.write_text(path.read_text().replace(f'"slug": "{FIG5}.demo"', '"slug": "../../etc"'))

    assert read_report(again / "site") is None
