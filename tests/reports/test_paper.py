"""The papers' numbers as they travel, what a bad file is told, and what becomes of those read off a plot."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from fake_results import write_results
from page_parser import Page

from ablations.study.expand import load_grid
from formats.tables import PAPER_COLUMNS
from reports.claims.on_paper import Trial, noise_sd, put_on_trial
from reports.claims.verdicts import as_printed
from reports.errors import InputError
from reports.inputs import load_results
from reports.page.site import write_site
from reports.read.papers import PAPER_DIR, load_paper, read_off
from reports.summary import summary

FIG5, FIG2 = "simclr_fig5_augmentation_pairs.csv", "simsiam_fig2_stop_gradient.csv"
ORDER = ["crop", "cutout", "color", "sobel", "noise", "blur", "rotate"]


def test_every_file_loads_and_every_number_has_a_source() -> None:
    for path in sorted(PAPER_DIR.glob("*.csv")):
        frame = load_paper(path.name)

        assert len(frame) > 0, path.name
        assert frame["source"].str.len().min() > 0, path.name
        assert frame["precision"].isin(["printed", "in words", "curve only", "estimated", "computed"]).all(), path.name
        assert (frame["value"].notna() | frame["precision"].isin(["curve only", "computed"])).all(), path.name
        assert (frame["reading_error"] > 0).equals(frame["precision"] == "estimated"), path.name
        assert not frame["note"].str.contains("±").any(), path.name  # a size that nothing reads


def test_fig5_has_the_printed_cells() -> None:
    frame = load_paper(FIG5, ["first", "second"])
    cells = frame[frame["role"] == "cell"].pivot(index="first", columns="second", values="value").loc[ORDER, ORDER]

    assert cells.shape == (7, 7)
    assert [cells.loc[name, name] for name in ORDER] == [33.1, 25.6, 18.8, 4.0, 9.8, 2.6, 2.6]
    assert (cells.loc["crop", "color"], cells.loc["color", "crop"], cells.to_numpy().max()) == (56.3, 55.8, 56.3)


def test_fig5_row_averages_are_those_of_the_cells_up_to_rounding() -> None:
    frame = load_paper(FIG5, ["first", "second"])
    computed = frame[frame["role"] == "cell"].groupby("first")["value"].mean()
    printed = frame[frame["role"] == "row_average"].set_index("first")["value"]

    assert (computed - printed).abs().max() < 0.07  # "noise" averages 15.56 and prints 15.5


def test_fig2_has_the_printed_numbers() -> None:
    table = load_paper(FIG2, ["stop_gradient"]).set_index(["stop_gradient", "metric"])

    assert tuple(table.loc[("true", "linear_top1"), ["value", "std"]]) == (67.7, 0.1)
    assert table.loc[("false", "linear_top1"), "value"] == 0.1
    assert table.loc[("false", "final_loss"), "value"] == -1
    assert table.loc[("true", "z_std"), "value"] == pytest.approx(2048**-0.5, abs=5e-5)


HEADER = ",".join(["first", *PAPER_COLUMNS])
ROW = "crop,cell,linear_top1,33.1,,percent,100,ImageNet-1k,ResNet-50,a paper,printed,,"


def _problems(path, axes=()) -> str:
    with pytest.raises(InputError) as raised:
        load_paper(str(path), axes)
    return "\n".join(raised.value.problems)


def test_missing_columns_are_named_all_at_once_with_the_nearest(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(HEADER.replace("value", "valeu").replace("source", "sources") + "\n" + ROW + "\n")

    problems = _problems(path, ["first", "second"])

    assert "bad.csv: no column 'value'" in problems
    assert "did you mean 'valeu'" in problems
    assert "no column 'source'" in problems
    assert "no column 'second'" in problems


def test_a_number_that_cannot_be_read_is_named_with_row_and_column(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join([HEADER, ROW, ROW.replace("33.1", "33,1".replace(",", ";")), ROW.replace("100", "inf")]))

    problems = _problems(path)

    assert "bad.csv, row 3, column 'value': '33;1' is not a number" in problems
    assert "bad.csv, row 4, column 'epochs'" in problems


def test_a_row_of_the_wrong_length_is_named(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"{HEADER}\n{ROW},more\n")

    assert "bad.csv, row 2: expected 13 fields" in _problems(path)


def test_a_missing_file_names_the_nearest() -> None:
    assert f"the nearest are {FIG5}" in _problems("simclr_fig5_augmentation_pair.csv")


@pytest.mark.parametrize("words", ["estimated,", "estimated,0", "estimated,-0.3", "estimated,about 1", "printed,0.3"])
def test_values_read_off_a_plot_and_no_others_have_a_reading_error(tmp_path, words) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join([HEADER, ROW.replace("printed,", "estimated,0.3"), ROW.replace("printed,", words)]))

    assert "bad.csv, row 3, column 'reading_error'" in _problems(path)


def test_the_words_have_the_largest_reading_error() -> None:
    assert read_off([math.nan, 0.15, 0.3]) == "read off the plot (±0.3)"
    assert read_off([math.nan]) == read_off([]) == ""


def _declared(name: str, claim_id: str) -> Trial:
    """A shipped claim on its paper's numbers."""
    grid = load_grid(name)
    (claim,) = (claim for claim in grid.claims if claim["id"] == claim_id)
    axes = [axis.name for axis in next(iter(grid.scales.values())).axes]
    paper = load_paper(grid.paper["csv"], axes)
    return put_on_trial(as_printed(claim), paper, axes=axes, metric=grid.metric, noise=noise_sd(grid.paper["key"]))


@pytest.mark.parametrize(
    ("grid", "claim", "words", "estimate", "variance"),
    [
        ("simclr_fig8_projection_head", "C9", "holds, read off the plot (±0.3)", 3.74, (0.79**2 + 0.3**2 / 3) * 2 / 7),
        ("simclr_fig8_projection_head", "C9b", "holds, read off the plot (±0.3)", 14.3, (0.79**2 + 0.3**2 / 3) * 8 / 7),
        # two of the four cells, those with labels, are printed
        ("simclr_fig7_depth_width", "C8", "holds, read off the plot (±0.15)", 6.4, 4 * 0.79**2 + 2 * 0.15**2 / 3),
        ("simclr_table1_color_strength", "C4c", "holds as printed", 4.9, 4 * 0.79**2),
    ],
)
def test_a_trial_says_what_it_rests_on_and_its_band_has_the_reading_error(
    grid, claim, words, estimate, variance
) -> None:
    trial = _declared(grid, claim)

    assert (trial.words, trial.estimate) == (words, pytest.approx(estimate, abs=0.01))
    assert trial.high - trial.estimate == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-5)
    assert trial.estimate - trial.low == pytest.approx(trial.high - trial.estimate)


def _two(errors: tuple[float, float], margin: float = 0.5, noise: float = 0.1) -> Trial:
    """63 against 62, a third value read off beside them."""
    values = {"a": 63.0, "b": 62.0, "c": 61.0}
    rows = [{"arm": arm, "metric": "linear_top1", "value": value} for arm, value in values.items()]
    paper = pd.DataFrame(rows).assign(reading_error=[*errors, 2.0])
    claim = {"kind": "better", "group": {"arm": "a"}, "than": {"arm": "b"}, "margin": margin}
    return put_on_trial(claim, paper, axes=["arm"], metric="linear_top1", noise=noise)


def test_a_margin_within_the_reading_error_is_said_to_be() -> None:
    printed, read, wrong = _two((math.nan, math.nan)), _two((0.5, 0.5)), _two((math.nan, 0.5), margin=1.4)

    assert (printed.words, printed.detail) == ("holds as printed", "")  # c is no part of the claim
    assert (read.words, read.detail) == (
        "holds, read off the plot (±0.5)", "within the known seed noise and the reading error",
    )  # fmt: skip
    assert (wrong.words, wrong.detail) == ("fails, read off the plot (±0.5)", read.detail)


def test_unknown_seed_noise_stays_unknown_beside_a_reading_error() -> None:
    trial = _two((0.5, 0.5), noise=math.nan)

    assert (trial.words, trial.detail) == ("holds, read off the plot (±0.5)", "")
    assert (trial.low, trial.high) == (-math.inf, math.inf)


@pytest.fixture(scope="module")
def read_site(tmp_path_factory) -> tuple[Path, Path]:
    """Results and site of two grids whose papers' numbers are read off but for crop alone, and with stop-gradient."""
    folder = tmp_path_factory.mktemp("read")
    results = write_results(folder / "results", scales=["demo"])
    for name in (FIG5, FIG2):
        with (PAPER_DIR / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if row["value"] and [row.get("first"), row.get("second")] != ["crop"] * 2 and not row["std"]:
                row.update(precision="estimated", reading_error="0.25")
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        path = results / name.replace(".csv", ".demo.json")
        spec = json.loads(path.read_text(encoding="utf-8"))
        spec["paper"]["csv"] = str(folder / name)
        path.write_text(json.dumps(spec), encoding="utf-8")
    return results, write_site(results, folder / "out").parent


@pytest.mark.parametrize("name", [FIG5, FIG2])
def test_figures_and_descriptions_mark_what_was_read_off(read_site, name) -> None:
    svg = (read_site[1] / "figures" / name.replace(".csv", ".demo.svg")).read_text(encoding="utf-8")
    page = Page.read(read_site[1] / "grids" / name.replace(".csv", ".demo.html"))
    read, printed, told = (
        ("≈56.3", "33.1", "crop then color, ≈56.3 %.") if name == FIG5 else ("≈0.1", "67.7 ±0.1", "the paper ≈0.1 %.")
    )

    assert f">{read}</text>" in svg
    assert f">{printed}</text>" in svg
    assert "≈: read off the plot (±0.25)." in " ".join(re.findall(r">([^<>]+)</text>", svg))
    assert told in page.text


def test_pages_tables_and_twin_mark_what_was_read_off(read_site) -> None:
    results, site = read_site
    stem = FIG5.replace(".csv", ".demo")
    page, overview = Page.read(site / f"grids/{stem}.html"), Page.read(site / "index.html")
    verdicts = pd.read_csv(site / f"tables/{stem}.verdicts.csv")
    cells = pd.read_csv(site / f"tables/{stem}.csv").query("metric == 'linear_top1' and role == 'cell'")
    twin = json.loads((site / f"grids/{stem}.json").read_text(encoding="utf-8"))
    tex = (site / f"tables/{stem}.tex").read_text(encoding="utf-8")
    (crop_color,) = (cell for cell in twin["cells"] if cell["levels"] == {"first": "crop", "second": "color"})
    words = "holds, read off the plot (±0.25)"

    assert set(verdicts["paper_trial"]) == {words}
    for text in (page.text, overview.text, summary(load_results(results))):
        assert words in text
    assert "as printed" not in overview.text
    assert "≈: read off the plot (±0.25)." in page.text
    assert "≈56.3" in page.text
    assert "≈33.1" not in page.text
    assert cells["paper_reading_error"].count() == len(cells) - 1
    assert crop_color["metrics"]["linear_top1"]["paper_reading_error"] == 0.25
    assert r"$\approx$56.3" in tex
    assert r"$\approx$: read off the plot ($\pm$0.25)." in tex
    cell = Page.read(site / "grids" / crop_color["page"])
    assert "≈56.3, read off the plot (±0.25)" in " ".join(cell.text.split()).replace(" ,", ",")
