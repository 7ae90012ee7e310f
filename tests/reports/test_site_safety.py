"""A site takes nothing from outside, runs nothing that it did not bring, and lets nobody write into its pages."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fake_results import fake_grids, write_results
from page_parser import Page

from reports import inputs
from reports.errors import InputError
from reports.page.site import SINGLE_FILE, write_site
from reports.paths import safe_name

FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
HOSTILE = "<script>alert('1')</script>&\"'{{ 7 * 1913 }}</style>"
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    results = write_results(folder / "results", scales=["demo"])
    (results / "problems.json").write_text(
        json.dumps({"schema_version": 1, "problems": [{"path": "runs/alien", "what": "no spec.json"}]})
    )
    return write_site(results, folder / "out", single_file=True).parent


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    return {str(path.relative_to(site)): Page.read(path) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def own(pages) -> dict[str, Page]:
    """Overview, grids and the single file; the pages of runs have tests of their own."""
    return {name: page for name, page in pages.items() if not name.startswith("runs/")}


def test_a_report_in_a_single_file_judges_each_grid_once(tmp_path, monkeypatch) -> None:
    results = write_results(tmp_path / "results", scales=["demo"])
    judged: list[str] = []
    judge = inputs.judge

    def noted(claims: list[dict[str, Any]], *others: Any, **options: Any) -> list[Any]:
        judged.append(claims[0]["id"])
        return judge(claims, *others, **options)

    monkeypatch.setattr(inputs, "judge", noted)
    write_site(results, tmp_path / "out", [FIG2], single_file=True)

    assert len(judged) == 1


def test_nothing_comes_from_outside(pages) -> None:
    for name, page in pages.items():
        assert not [link for link in page.links if re.match(r"\w+:|//", link)], name
        assert all(re.fullmatch(r"figures/[\w.-]+\.svg", asset) for asset in page.assets), name
        assert not re.search(r"@import|url\((?!#|\"?data:)", page.source), name
        assert set(re.findall(r"https?://[^\s\"'<>]+", page.source)) <= NAMESPACES, name


def test_the_policy_allows_the_inlined_script_and_no_other(pages) -> None:
    for name, page in pages.items():
        (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        rules = dict(rule.split(" ", 1) for rule in (policy or "").split("; "))
        assert rules["default-src"] == "'none'", name
        assert len(page.scripts) == len(page.all("script")) <= 1, name
        hashes = [
            f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in page.scripts
        ]
        assert rules.get("script-src", "").split() == hashes, name
        assert "unsafe" not in re.sub("style-src 'unsafe-inline'", "", policy or ""), name
        assert not [key for _, values in page.tags for key in values if key.startswith("on")], name


def test_no_dead_link_and_no_id_twice(site, pages) -> None:
    for name, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), name
        for link in [*page.links, *page.assets]:
            path, _, anchor = unquote(link).partition("#")
            target = (site / name).parent / path if path else site / name
            assert target.is_file(), (name, link)
            if anchor:
                assert anchor in pages[str(target.resolve().relative_to(site.resolve()))].ids, (name, link)
        for target in re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", page.source):
            assert (target[0] or target[1]) in page.ids, name
        labels = [values["aria-labelledby"] for _, values in page.tags if values.get("aria-labelledby")]
        assert set(labels) <= set(page.ids), name


def test_pages_can_be_read_without_eyes(own) -> None:
    for name, page in own.items():
        tags = [tag for tag, _ in page.tags]
        assert page.open == [], name
        assert page.tags[0] == ("html", {"lang": "en-GB"}), name
        assert {"header", "main", "footer", "title"} <= set(tags), name
        assert tags.count("h1") == 1, name
        assert all(values.get("scope") in ("col", "row") for values in page.all("th")), name
        headings = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
        assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(headings)), name
        scrolled = [v for _, v in page.tags if {"scroll", "plate"} & set((v.get("class") or "").split())]
        assert scrolled, name
        assert all(values.get("tabindex") == "0" and values.get("role") == "region" for values in scrolled), name
        regions = [values.get("aria-label") for _, values in page.tags if values.get("role") == "region"]
        assert len(regions) == len(set(regions)) > 1, name
        assert all(values.get("aria-label") for values in page.all("svg", role="img")), name
        assert all(values.get("role") == "img" or values.get("aria-hidden") for values in page.all("svg")), name


def test_one_file_has_everything_and_needs_no_other(site, own) -> None:
    single = own[SINGLE_FILE]

    assert all(link.startswith("#") for link in single.links)
    assert single.assets == []
    for grid in (FIG5, FIG2):
        whole = own[f"grids/{grid}.demo.html"]
        assert f"{grid}.demo" in single.ids
        assert set(whole.ids) - {"main"} <= set(single.ids)
        for path in [site.parent / f"results/{grid}.demo.json"]:
            for cell in json.loads(path.read_text())["cells"]:
                assert all(" ".join(run["command"].split()) in single.text for run in cell["runs"])
    assert [values["href"] for values in single.all("use") if "figure_1" in (values.get("href") or "")] == [
        f"#{grid}-demo-figure_1" for grid in (FIG5, FIG2)
    ]
    drawn = single.all("svg", role="img")
    assert len(drawn) == 2 + 2 + 2 * 9 + 3 * 2  # thumbnails, figures, curves per cell: loss, spread; in Fig. 2 kNN
    assert len(single.all("polyline")) == 2 * 9 + 3 * 2  # the mean alone


def test_broken_folders_are_on_the_overview(own) -> None:
    assert "runs/alien no spec.json" in own["index.html"].text


def test_colours_have_the_contrast_of_wcag_aa(own) -> None:
    text = own["index.html"].source
    blocks = [block for block in re.findall(r":root \{([^}]*)\}", text) if "--paper" in block]
    themes = [dict(re.findall(r"--([\w-]+): (#[0-9a-fA-F]{3,6});", block)) for block in blocks]
    pairs = [(ink, ground) for ink in ("ink", "muted", "link") for ground in ("paper", "card", "tint")]
    pairs += [(name, ground) for name in ("yes", "no", "open", "none") for ground in (f"{name}-bg", "paper", "card")]
    pairs += [("warn-ink", "warn")]

    assert len(themes) == 3
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    for theme in themes:
        for ink, ground in pairs:
            high, low = sorted([_luminance(theme[ink]), _luminance(theme[ground])], reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def _luminance(color: str) -> float:
    color = color if len(color) == 7 else "#" + "".join(2 * sign for sign in color[1:])
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hostile_results(folder: Path) -> Path:
    write_results(folder, scales=["demo"])
    path = folder / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    for key in ("title", "question", "note"):
        grid[key] = f"{key} {HOSTILE}"
    grid["recipe"] = HOSTILE
    grid["base"] = {HOSTILE: HOSTILE, "training.epochs": HOSTILE, "training.precision": HOSTILE}
    grid["paper"] |= {"locus": HOSTILE, "key": HOSTILE}
    grid["claims"][0] |= {"says": HOSTILE, "locus": HOSTILE, "id": HOSTILE}
    grid["claims"][1]["not_testable"] = {"demo": HOSTILE}
    grid["deviations"] = [{"key": HOSTILE, "paper": HOSTILE, "ours": [HOSTILE]}]
    for cell in grid["cells"]:
        cell["label"] = f"{cell['label']} {HOSTILE}"
        cell["settings"] = {HOSTILE: HOSTILE}
        for run in cell["runs"]:
            run["command"] = HOSTILE
    grid["cells"][1]["runs"][0]["state"] = HOSTILE
    grid["cells"][1]["runs"][1]["state"] = "failed"
    path.write_text(json.dumps(grid))
    ids = [run["run_id"] for cell in grid["cells"] for run in cell["runs"]]
    attempt = dict.fromkeys(("command", "commit", "host", "ended", "started", "versions", "cpu"), HOSTILE)
    lines = [
        {"schema_version": 1, "run_id": run_id, "attempts": [attempt], "error": HOSTILE, "log": HOSTILE, "result": None}
        for run_id in ids
    ]
    (folder / "provenance.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "problems.json").write_text(
        json.dumps({"schema_version": 1, "problems": [{"path": f"runs/../{HOSTILE}", "what": HOSTILE}]})
    )
    runs = folder / "runs.csv"
    rows = list(csv.reader(io.StringIO(runs.read_text())))
    rows = [rows[0], *([*row[:4], HOSTILE, *row[5:]] for row in rows[1:])]
    with runs.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_everything_that_a_user_writes_is_escaped(tmp_path) -> None:
    site = write_site(_hostile_results(tmp_path / "results"), tmp_path / "out", [FIG2], single_file=True).parent

    for path in site.rglob("*.html"):
        page = Page.read(path)
        own_scripts = len(page.all("script"))
        assert own_scripts == page.source.count("<script") <= 1, path
        assert page.source.count("</style>") == 1, path
        assert "alert(" not in "".join(page.scripts), path
        assert not [key for _, values in page.tags for key in values if key.startswith("on")], path
        assert page.text.count(HOSTILE) > 3, path
        assert "13391" not in page.source, path
        assert page.open == [], path
    for path in site.rglob("*.svg"):
        assert "<script" not in path.read_text(encoding="utf-8")
    twin = json.loads((site / f"grids/{FIG2}.demo.json").read_text())
    assert twin["title"] == f"title {HOSTILE}"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".hidden", "a b", 'a"b', "", "..", "a\n", "ä"])
def test_names_that_could_lead_elsewhere_are_refused_before_anything_is_written(tmp_path, name) -> None:
    with pytest.raises(InputError):
        safe_name(name, "a cell")
    grids = [(grid, dataset) for grid, dataset in fake_grids() if grid["scale"] == "demo" and "fig2" in grid["name"]]
    grids[0][0]["cells"][0]["cell_id"] = name
    results = write_results(tmp_path / "results", grids)

    with pytest.raises(InputError, match="cannot name a file"):
        write_site(results, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_grid_cannot_name_itself_out_of_the_folder(tmp_path) -> None:
    results = write_results(tmp_path / "results", scales=["demo"])
    path = results / f"{FIG2}.demo.json"
    path.write_text(path.read_text().replace(f'"name": "{FIG2}"', '"name": "../x"'))

    with pytest.raises(InputError, match="cannot name a file"):
        write_site(results, tmp_path / "out")


def test_two_tables_of_one_grid_are_refused(tmp_path) -> None:
    results = write_results(tmp_path / "results", scales=["demo"])
    (results / "copy.demo.json").write_text((results / f"{FIG2}.demo.json").read_text())

    with pytest.raises(InputError, match="two grids of this name and scale"):
        write_site(results, tmp_path / "out")


def test_bad_input_writes_nothing(tmp_path) -> None:
    folder = write_results(tmp_path / "results", scales=["demo"])
    (folder / "runs.csv").write_text("schema_version\n")

    with pytest.raises(InputError):
        write_site(folder, tmp_path / "out")

    assert not (tmp_path / "out").exists()
