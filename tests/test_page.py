"""The page: its numbers, its links, what it escapes, and that it needs nothing from outside."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from fake_results import write_results

from reports.errors import InputError
from reports.inputs import load_results
from reports.site import write_site
from reports.stats import summarise
from reports.tables import cell_table, tex_text

FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
VOID = {"meta", "link", "br", "hr", "img", "input", "path", "line", "circle", "use", "rect"}


class Page(HTMLParser):
    """Tags, ids, links, visible text; and whether elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.assets: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self.ids += [values["id"]] if values.get("id") else []
        self.links += [values["href"]] if tag == "a" and values.get("href") else []
        self.assets += [value for key in ("src", "srcset", "data", "poster", "action") if (value := values.get(key))]
        self.assets += [values["href"]] if tag in ("link", "image") and values.get("href") else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("site")
    results = write_results(folder / "results", scales=["demo"])
    return results, write_site(results, folder / "out")


@pytest.fixture(scope="module")
def page(site) -> Page:
    return Page(site[1].read_text(encoding="utf-8"))


def test_every_number_of_the_table_is_a_pandas_one_liner(site, page) -> None:
    results, _ = site
    runs = pd.read_csv(results / "runs.csv")
    grid = json.loads((results / f"{FIG5}.demo.json").read_text())

    for cell in grid["cells"]:
        values = runs[(runs["cell_id"] == cell["cell_id"]) & (runs["metric"] == "linear_top1")]["value"]
        assert f"{values.mean():.1f} ± {values.sem() * 4.302652729911275:.1f}" in page.text


def test_the_csv_holds_the_same_numbers_in_full(site) -> None:
    results, index = site
    table = pd.read_csv(index.parent / f"tables/{FIG2}.demo.csv")
    (result,) = load_results(results, [FIG2])

    pd.testing.assert_frame_equal(
        table[["label", "metric", "mean", "half_width", "n"]],
        summarise(result.frame, ["label", "metric"])[["label", "metric", "mean", "half_width", "n"]],
    )
    assert table.query("metric == 'linear_top1' and stop_gradient == True")["paper_value"].tolist() == [67.7]


def test_every_grid_figure_claim_and_verdict_is_there(page) -> None:
    for text in ("Pairs of augmentations", "Stop-gradient", "scale demo", "C1.", "C1b.", "C2.", "C3.", "S1.", "S1b."):
        assert text in page.text
    for verdict in ("supported", "not testable here"):
        assert verdict in page.text
    assert "Three of the seven transformations, so six of the 42 pairs." in page.text
    assert sum(tag == "svg" and values.get("role") == "img" for tag, values in page.tags) == 2


def test_the_papers_noise_is_drawn_where_it_is_known(site, page) -> None:
    known = [
        v for result in load_results(site[0]) for v in result.verdicts if v.comparison and math.isfinite(v.trial.low)
    ]
    bands = [values for tag, values in page.tags if tag == "rect" and values.get("class") == "band"]

    assert len(bands) == len(known) > 3


def test_the_scale_and_the_deviations_are_said(page) -> None:
    assert "not the paper\N{RIGHT SINGLE QUOTATION MARK}s set-up" in page.text
    assert "Symmetric: the pair acts on both branches" in page.text
    assert "training.epochs 100 10" in page.text
    assert "evaluated with 8,000 labelled training images" in page.text


def test_it_says_where_training_did_not_beat_the_untrained_backbone(site, page) -> None:
    (result,) = load_results(site[0], [FIG5])
    rows = result.frame.query("metric == 'linear_top1'")
    reference = rows.query("role == 'reference'")["value"]
    means = rows.query("role == 'cell'").groupby("label")["value"].mean()
    below = (means <= reference.mean() + reference.sem() * 4.302652729911275).sum()

    assert 0 < below < 9
    assert f"Training did not beat it in {below} of 9 cells" in page.text


def test_every_command_is_there(site, page) -> None:
    for path in site[0].glob("*.json"):
        for cell in json.loads(path.read_text())["cells"]:
            for run in cell["runs"]:
                assert " ".join(run["command"].split()) in page.text


def test_no_outside_asset_and_no_script(site, page) -> None:
    text = site[1].read_text(encoding="utf-8")

    assert page.assets == []
    assert not [link for link in page.links if re.match(r"\w+:|//", link)]
    assert not re.findall(r"@import|url\((?!#)", text)
    assert "<script" not in text
    assert "default-src 'none'" in text
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= namespaces


def test_no_dead_link_and_no_id_twice(site, page) -> None:
    folder = site[1].parent

    assert page.links
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        else:
            assert (folder / link).is_file(), link
    assert len(page.ids) == len(set(page.ids))
    text = site[1].read_text(encoding="utf-8")
    for target in re.findall(r"url\(#([^)]+)\)|xlink:href=\"#([^\"]+)\"", text):
        assert (target[0] or target[1]) in page.ids
    labels = [values.get("aria-labelledby") for _, values in page.tags if values.get("aria-labelledby")]
    assert set(labels) <= set(page.ids)


def test_elements_are_closed_in_order(page) -> None:
    assert page.open == []


def test_it_can_be_read_without_eyes(page) -> None:
    tags = [tag for tag, _ in page.tags]
    figures = [values for tag, values in page.tags if tag == "svg" and values.get("role") == "img"]

    assert page.tags[0] == ("html", {"lang": "en-GB"})
    assert {"header", "main", "footer", "h1"} <= set(tags)
    assert tags.count("h1") == 1
    assert all(values.get("scope") in ("col", "row") for tag, values in page.tags if tag == "th")
    assert any("Best of ours: " in (values["aria-label"] or "") for values in figures)
    assert any("spread of z" in (values["aria-label"] or "") for values in figures)
    headings = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(headings))
    scrolled = [values for tag, values in page.tags if values.get("class") in ("scroll", "plate", "scroll commands")]
    assert all(values.get("tabindex") == "0" and values.get("role") == "region" for values in scrolled)


def _luminance(color: str) -> float:
    color = color if len(color) == 7 else "#" + "".join(2 * sign for sign in color[1:])
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_the_contrast_of_wcag_aa(site) -> None:
    text = site[1].read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-fA-F]{3,6});", block)) for block in re.findall(r":root \{([^}]*)\}", text)
    ]
    pairs = [(ink, ground) for ink in ("ink", "muted", "link") for ground in ("paper", "card", "tint")]
    pairs += [("warn-ink", "warn"), ("yes", "yes-bg"), ("no", "no-bg"), ("open", "open-bg"), ("none", "none-bg")]

    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        for ink, ground in pairs:
            high, low = sorted([_luminance(theme[ink]), _luminance(theme[ground])], reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def test_the_same_results_give_the_same_bytes(site, tmp_path) -> None:
    results, index = site

    write_site(results, tmp_path)

    first = {path.relative_to(index.parent): path.read_bytes() for path in index.parent.rglob("*") if path.is_file()}
    second = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert first == second
    assert len(first) == 1 + 2 * 6


HOSTILE = "<script>alert('1')</script>&\"'"


def test_everything_that_a_user_writes_is_escaped(tmp_path) -> None:
    folder = write_results(tmp_path / "results", scales=["demo"])
    path = folder / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    for key in ("title", "question", "note"):
        grid[key] = f"{key} {HOSTILE}"
    grid["paper"] |= {"locus": HOSTILE, "key": HOSTILE}
    grid["claims"][0] |= {"says": HOSTILE, "locus": HOSTILE}
    grid["claims"][1]["not_testable"] = {"demo": HOSTILE}
    grid["deviations"] = [{"key": HOSTILE, "paper": HOSTILE, "ours": [HOSTILE]}]
    for cell in grid["cells"]:
        cell["label"] = f"{cell['label']} {HOSTILE}"
        for run in cell["runs"]:
            run["command"] = HOSTILE
    grid["cells"][1]["runs"][0]["state"] = HOSTILE
    path.write_text(json.dumps(grid))
    runs = folder / "runs.csv"
    rows = list(csv.reader(io.StringIO(runs.read_text())))
    rows = [rows[0], *([*row[:4], HOSTILE, *row[5:]] for row in rows[1:])]
    with runs.open("w", newline="") as file:
        csv.writer(file).writerows(rows)

    index = write_site(folder, tmp_path / "out", [FIG2])

    text = index.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "alert" in text
    page = Page(text)
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert not [key for _, values in page.tags for key in values if key.startswith("on")]
    assert page.text.count(HOSTILE) > 10
    assert "<script" not in (index.parent / f"figures/{FIG2}.demo.svg").read_text(encoding="utf-8")


def test_latex_is_escaped_and_complete(site) -> None:
    text = (site[1].parent / f"tables/{FIG2}.demo.tex").read_text(encoding="utf-8")

    assert tex_text("a_b & 5 % \\ {x} $y$ #1 ~ ^") == (
        r"a\_b \& 5 \% \textbackslash{} \{x\} \$y\$ \#1 \textasciitilde{} \textasciicircum{}"
    )
    for command in ("\\toprule", "\\midrule", "\\bottomrule", "stop\\_gradient=true"):
        assert command in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count(" & ") for line in rows}) == 1
    assert text.isascii()


def test_the_comparisons_are_all_in_a_table(site) -> None:
    table = pd.read_csv(site[1].parent / f"tables/{FIG5}.demo.claims.csv")

    assert table.groupby("claim").size().to_dict() == {"C1": 6 * 3, "C1b": 4, "C3": 1}


def test_failed_collapsed_and_missing_runs_are_named(tmp_path) -> None:
    folder = write_results(tmp_path / "results", scales=["demo"])
    path = folder / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    grid["cells"][0]["runs"][1].update(state="failed", outcome=None)
    gone = grid["cells"][0]["runs"][1]["run_id"]
    path.write_text(json.dumps(grid))
    runs = folder / "runs.csv"
    runs.write_text("\n".join(line for line in runs.read_text().splitlines() if gone not in line))

    text = Page(write_site(folder, tmp_path / "out", [FIG2]).read_text(encoding="utf-8")).text

    assert "Failed : stop_gradient=True, seed 1" in text
    assert "Collapsed : stop_gradient=False, seeds 0, 1, 2" in text
    assert "8 done, 1 failed" in text
    assert "2 of 3" in text


def test_bad_input_writes_nothing(tmp_path) -> None:
    folder = write_results(tmp_path / "results", scales=["demo"])
    (folder / "runs.csv").write_text("schema_version\n")

    with pytest.raises(InputError):
        write_site(folder, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_an_unknown_cost_and_a_missing_setting_have_words(tmp_path) -> None:
    folder = write_results(tmp_path / "results", scales=["demo"])
    path = folder / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    grid["cost"]["estimated_core_s"] = None
    grid["deviations"] = [
        {"key": "optimizer.trust_coefficient", "paper": 0.001, "ours": None},
        {"key": "data.train_images", "paper": 0, "ours": 5000},
    ]
    path.write_text(json.dumps(grid))

    text = Page(write_site(folder, tmp_path / "out", [FIG2]).read_text(encoding="utf-8")).text

    assert "Estimated unknown" in text
    assert "data.train_images all 5000" in text
    assert "optimizer.trust_coefficient 0.001 \N{EN DASH}" in text


def test_the_cell_table_joins_the_paper(site) -> None:
    (result,) = load_results(site[0], [FIG5])
    table = cell_table(result).query("metric == 'linear_top1' and first == 'crop' and second == 'color'")

    assert table["paper_value"].tolist() == [56.3]
    assert table["planned"].tolist() == [3]
    assert Path(site[1]).name == "index.html"
