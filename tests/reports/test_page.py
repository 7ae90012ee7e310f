"""A grid's page and its JSON twin: their numbers, where they come from, and how runs that went wrong are shown."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fake_results import write_results
from page_parser import Page

from reports.claims.stats import summarise
from reports.inputs import load_results
from reports.page.card import card
from reports.page.numbers import column_decimals
from reports.page.render import interval
from reports.page.section import headline, section
from reports.page.site import write_site
from reports.page.tables import cell_table, tex_text
from reports.page.twin import twin

FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"
T_3 = 4.302652729911275  # Student's 97.5 % quantile with two degrees of freedom


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("site")
    results = write_results(folder / "results", scales=["demo"])
    return results, write_site(results, folder / "out").parent


@pytest.fixture(scope="module")
def fig5(site) -> Page:
    return Page.read(site[1] / f"grids/{FIG5}.demo.html")


@pytest.fixture(scope="module")
def fig2(site) -> Page:
    return Page.read(site[1] / f"grids/{FIG2}.demo.html")


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> Path:
    """The site of a grid of which one run failed and one is not there yet."""
    folder = tmp_path_factory.mktemp("failed")
    results = write_results(folder / "results", scales=["demo"])
    path = results / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    runs = grid["cells"][0]["runs"]
    runs[1].update(state="failed", outcome=None)
    runs[2].update(state="planned", outcome=None)
    path.write_text(json.dumps(grid))
    gone = (runs[1]["run_id"], runs[2]["run_id"])
    table = results / "runs.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if not any(g in line for g in gone)))
    error = {"run_id": gone[0], "attempts": [], "error": "Traceback\nRuntimeError: disk is full\n", "log": ""}
    (results / "provenance.jsonl").write_text(json.dumps({"schema_version": 1, "result": None, **error}) + "\n")
    return write_site(results, folder / "out", [FIG2]).parent


def test_every_number_of_the_table_is_a_pandas_one_liner(site, fig5) -> None:
    runs = pd.read_csv(site[0] / "runs.csv")
    grid = json.loads((site[0] / f"{FIG5}.demo.json").read_text())

    for cell in grid["cells"]:
        values = runs[(runs["cell_id"] == cell["cell_id"]) & (runs["metric"] == "linear_top1")]["value"]
        assert f"{values.mean():.1f} ± {values.sem() * T_3:.1f}" in fig5.text


def test_every_number_of_ours_links_to_its_runs(site, fig5) -> None:
    grid = json.loads((site[0] / f"{FIG5}.demo.json").read_text())

    for cell in grid["cells"]:
        page = f"../runs/{FIG5}.demo/{cell['cell_id']}.html"
        # Two accuracies and the spread; where there was a training, the loss too, and the titles of two drawings.
        assert fig5.links.count(page) == (3 if cell["role"] == "reference" else 4 + 2)


def test_the_difference_from_the_paper_is_ours_minus_theirs(site, fig5) -> None:
    runs = pd.read_csv(site[0] / "runs.csv")
    (cell,) = [
        cell
        for cell in json.loads((site[0] / f"{FIG5}.demo.json").read_text())["cells"]
        if cell["levels"] == {"first": "crop", "second": "color"}
    ]
    mean = runs[(runs["cell_id"] == cell["cell_id"]) & (runs["metric"] == "linear_top1")]["value"].mean()

    assert f"56.3 {mean - 56.3:+.1f}".replace("-", "\N{MINUS SIGN}") in fig5.text


def test_a_column_is_rounded_to_what_its_smallest_interval_supports() -> None:
    assert column_decimals([0.73, 2.1], "linear_top1") == 1  # accuracies are read with one decimal
    assert column_decimals([14.0, 30.0], "linear_top1") == 0
    assert column_decimals([3.2, 30.0], "linear_top1") == 1
    assert column_decimals([0.04], "final_loss") == 3
    assert column_decimals([0.4], "final_loss") == 2
    assert column_decimals([math.nan, 0.0], "final_loss") == 3


def test_the_csv_holds_the_same_numbers_in_full(site) -> None:
    table = pd.read_csv(site[1] / f"tables/{FIG2}.demo.csv")
    (result,) = load_results(site[0], [FIG2])

    pd.testing.assert_frame_equal(
        table[["label", "metric", "mean", "half_width", "n"]],
        summarise(result.frame, ["label", "metric"])[["label", "metric", "mean", "half_width", "n"]],
    )
    assert table.query("metric == 'linear_top1' and stop_gradient == True")["paper_value"].tolist() == [67.7]


def test_claims_have_verdict_interval_margin_and_seeds(site, fig5) -> None:
    (result,) = load_results(site[0], [FIG5])
    (undecidable,) = [verdict for verdict in result.verdicts if verdict.verdict == "not testable here"]
    drawn = [verdict for verdict in result.verdicts if verdict.comparison]

    for verdict in result.verdicts:
        assert f"{FIG5}.demo.{verdict.id}" in fig5.ids
        assert verdict.says in fig5.text
    for verdict in drawn:
        assert f"{verdict.estimate:+.1f} [{verdict.low:+.1f}, {verdict.high:+.1f}] points" in fig5.text
    assert len(fig5.all("svg", class_="forest")) == len(drawn) == 3
    assert undecidable.id == "C2"
    (undecided,) = [verdict for verdict in result.verdicts if verdict.verdict == "undecided"]
    table = pd.read_csv(site[1] / f"tables/{FIG5}.demo.verdicts.csv").set_index("claim")
    assert undecided.outlook == f"about {undecided.further_seeds} more would decide"
    assert fig5.text.count("more would decide") == 1
    assert table.loc[undecided.id, ["further_seeds", "outlook"]].tolist() == [
        undecided.further_seeds,
        undecided.outlook,
    ]
    assert "Three of the seven transformations, so six of the 42 pairs." in fig5.text


def test_the_papers_noise_is_drawn_where_it_is_known(site, fig5) -> None:
    (result,) = load_results(site[0], [FIG5])
    known = [verdict for verdict in result.verdicts if verdict.comparison and math.isfinite(verdict.trial.low)]

    assert len(fig5.all("rect", class_="band")) == len(known) == 3


def test_the_title_says_what_was_found() -> None:
    assert headline(["supported", "supported"]) == "both claims supported"
    assert headline(["undecided"] * 3) == "all 3 claims undecided"
    assert headline(["undecided", "supported", "contradicted"]) == "1 claim supported, 1 contradicted, 1 undecided"
    assert headline(["contradicted"]) == "1 claim contradicted"
    assert headline([]) == "no claims"


def test_the_scale_and_the_deviations_are_said(fig5) -> None:
    assert "Scale demo: not the paper\N{RIGHT SINGLE QUOTATION MARK}s set-up" in fig5.text
    assert "Symmetric: the pair acts on both branches" in fig5.text
    assert "training.epochs 100 10" in fig5.text
    assert "evaluated with 8,000 labelled training images" in fig5.text


def test_epochs_and_precision_are_said_where_the_base_was_collected(site) -> None:
    (result,) = load_results(site[0], [FIG2])
    base = {"training.epochs": 10, "training.precision": "float32"}

    assert not section(result).trained
    result.spec["base"] = base
    assert section(result).trained == "10 epochs in float32"
    del base["training.epochs"]
    assert section(result).trained == "float32"


def test_it_says_where_training_did_not_beat_the_untrained_backbone(site, fig5) -> None:
    (result,) = load_results(site[0], [FIG5])
    rows = result.frame.query("metric == 'linear_top1'")
    reference = rows.query("role == 'reference'")["value"]
    means = rows.query("role == 'cell'").groupby("label")["value"].mean()
    below = (means <= reference.mean() + reference.sem() * T_3).sum()

    assert 0 < below < 9
    assert f"Training did not beat it in {below} of 9 cells" in fig5.text


def test_training_curves_are_small_multiples_on_shared_axes(fig2, fig5) -> None:
    drawings = [values["aria-label"] or "" for values in fig2.all("svg", role="img")][1:]

    assert "Training loss, 2 cells" in fig2.text
    assert [text.partition(":")[0] for text in drawings] == ["stop_gradient=true", "stop_gradient=false"] * 3
    assert all("Mean over 3 seeds: from" in text for text in drawings)
    assert "kNN top-1 (%), 2 cells" in fig2.text
    assert "Training loss, 9 cells" in fig5.text
    assert "kNN top-1 (%), " not in fig5.text


def test_failed_collapsed_and_missing_runs_are_shown_as_such(failed) -> None:
    page = Page.read(failed / f"grids/{FIG2}.demo.html")
    results = json.loads((failed.parent / f"results/{FIG2}.demo.json").read_text())
    run_id = results["cells"][0]["runs"][1]["run_id"]
    cell_id = results["cells"][0]["cell_id"]

    assert "stop_gradient=true 1 of 3 failed 1 of 3 planned 1 of 3" in page.text
    assert "stop_gradient=false 3 of 3 collapsed 3 " in page.text
    assert "Failed stop_gradient=True, seed 1 RuntimeError: disk is full" in page.text
    assert "Collapsed stop_gradient=False, seeds 0 , 1 , 2" in page.text
    assert f"../runs/{FIG2}.demo/{cell_id}.html#{run_id}" in page.links
    assert "7 done, 1 failed, 1 planned" in page.text
    assert "2 of 3 cells done, 1 failed" in page.text


def test_cost_is_compared_with_its_estimate_once_all_is_done(fig2, failed) -> None:
    assert "Estimated 11 core-minutes, before the first run, by the grid's own figure" in fig2.text
    assert "Spent 11 core-minutes, 5 % less than estimated" in fig2.text
    assert "than estimated" not in Page.read(failed / f"grids/{FIG2}.demo.html").text


def test_an_estimate_that_rests_on_nothing_known_is_none(tmp_path) -> None:
    """Tables of before had the median of the very runs whose cost it was compared with."""
    folder = write_results(tmp_path / "results", scales=["demo"])
    path = folder / f"{FIG2}.demo.json"
    grid = json.loads(path.read_text())
    del grid["cost"]["estimated_by"]
    path.write_text(json.dumps(grid))
    write_site(folder, tmp_path / "out", [FIG2])

    text = Page.read(tmp_path / f"out/grids/{FIG2}.demo.html").text
    assert "Estimated unknown: no estimate was kept before the first run Spent 11 core-minutes" in text
    assert "than estimated" not in text
    assert json.loads((tmp_path / f"out/grids/{FIG2}.demo.json").read_text())["cost"]["estimated_core_s"] is None
    assert "core-minutes spent</p>" in (tmp_path / "out/index.html").read_text()


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

    write_site(folder, tmp_path / "out", [FIG2])

    text = Page.read(tmp_path / f"out/grids/{FIG2}.demo.html").text
    assert "Estimated unknown" in text
    assert "data.train_images all 5000" in text
    assert "optimizer.trust_coefficient 0.001 \N{EN DASH}" in text


def test_one_leads_to_the_next(fig5, fig2) -> None:
    assert fig5.all("a", rel="next") == [{"rel": "next", "href": f"{FIG2}.demo.html"}]
    assert fig5.all("a", rel="prev") == []
    assert fig2.all("a", rel="prev") == [{"rel": "prev", "href": f"{FIG5}.demo.html"}]
    assert "../index.html" in fig2.links


def test_the_twin_has_what_the_page_has(site, failed) -> None:
    (result,) = load_results(site[0], [FIG5])
    content = json.loads((site[1] / f"grids/{FIG5}.demo.json").read_text())
    runs = pd.read_csv(site[0] / "runs.csv")

    for verdict, claim in zip(result.verdicts, content["claims"], strict=True):
        assert claim["verdict"] == verdict.verdict
        for key in ("estimate", "low", "high", "margin", "n", "adjusted"):
            assert claim[key] == (getattr(verdict, key) if math.isfinite(getattr(verdict, key)) else None)
        assert claim["paper"]["words"] == verdict.trial.words
        assert (claim["further_seeds"], claim["outlook"]) == (verdict.further_seeds, verdict.outlook)
    assert len(content["comparisons"]) == 6 * 3 + 4 + 1
    for cell in content["cells"]:
        values = runs[(runs["cell_id"] == cell["cell_id"]) & (runs["metric"] == "linear_top1")]
        assert cell["metrics"]["linear_top1"]["mean"] == pytest.approx(values["value"].mean())
        assert [run["values"]["linear_top1"] for run in cell["runs"]] == values["value"].tolist()
        assert (site[1] / "grids" / cell["page"]).is_file()
        assert all(run["page"] == f"{cell['page']}#{run['run_id']}" for run in cell["runs"])
    assert all((site[1] / "grids" / name).is_file() for name in content["files"])
    text = (failed / f"grids/{FIG2}.demo.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["cells"][0]["runs"][1]["values"]["linear_top1"] is None
    assert json.loads(text)["progress"]["cells"] == {"failed": 1, "done": 2}


def test_no_infinity_gets_into_the_twin(site) -> None:
    (result,) = load_results(site[0], [FIG5])
    one_seed = result.frame[result.frame["seed"] == 0]
    made = section(type(result)(**{**vars(result), "frame": one_seed}))

    content = json.loads(twin(made, card(made, ""), []), parse_constant=pytest.fail)

    assert content["claims"][0]["low"] is None
    assert content["cells"][0]["metrics"]["linear_top1"]["half_width"] is None


def test_latex_is_escaped_and_complete(site) -> None:
    text = (site[1] / f"tables/{FIG2}.demo.tex").read_text(encoding="utf-8")

    assert tex_text("a_b & 5 % \\ {x} $y$ #1 ~ ^") == (
        r"a\_b \& 5 \% \textbackslash{} \{x\} \$y\$ \#1 \textasciitilde{} \textasciicircum{}"
    )
    for command in ("\\toprule", "\\midrule", "\\bottomrule", "stop\\_gradient=true"):
        assert command in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.count(" & ") for line in rows}) == 1
    assert text.isascii()


def test_the_comparisons_are_all_in_a_table(site) -> None:
    table = pd.read_csv(site[1] / f"tables/{FIG5}.demo.claims.csv")

    assert table.groupby("claim").size().to_dict() == {"C1": 6 * 3, "C1b": 4, "C3": 1}


def test_the_cell_table_joins_the_paper(site) -> None:
    (result,) = load_results(site[0], [FIG5])
    table = cell_table(result).query("metric == 'linear_top1' and first == 'crop' and second == 'color'")

    assert table["paper_value"].tolist() == [56.3]
    assert table["planned"].tolist() == [3]


def test_figures_say_what_they_show(fig2, fig5) -> None:
    first = [page.all("svg", role="img")[0]["aria-label"] or "" for page in (fig5, fig2)]

    assert "Best of ours: " in first[0]
    assert "spread of z" in first[1]
    assert re.search(r"@font-face\{font-family:\"DejaVu Sans\"", fig5.source)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    write_results(tmp_path)
    shown = load_results(tmp_path)[0].verdicts[0]
    assert interval(shown).startswith("[+")
    assert interval(replace(shown, n=1, low=-math.inf, high=math.inf)) == "[no interval from one seed]"
