"""``ablate figure``, and the notebook of docs/figures.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import Ablate
from fake_results import write_results
from matplotlib.figure import Figure

from reports.errors import InputError
from reports.figures.drawing import draw, plot
from reports.figures.style import save
from reports.inputs import GridResult, load_results
from reports.read.papers import load_paper

ROOT = Path(__file__).parents[2]
FIG5, FIG2 = "simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"), scales=["demo"])


@pytest.fixture(scope="module")
def result(folder) -> GridResult:
    return load_results(folder, [FIG2])[0]


@pytest.mark.parametrize(
    ("options", "name", "start"),
    [
        ((), f"{FIG2}.demo.svg", b"<?xml"),
        (("--format", "pdf"), f"{FIG2}.demo.pdf", b"%PDF"),
        (("--out", "new/one.png"), "new/one.png", b"\x89PNG"),
        (("--out", "plain", "--format", "svg"), "plain", b"<?xml"),
    ],
)
def test_figure_writes_what_the_report_shows(ablate: Ablate, folder, result, options, name, start) -> None:
    done = ablate("figure", FIG2, "--scale", "demo", "--results", str(folder), *options)

    assert (done.exit_code, done.output) == (0, f"look at {name}\n")
    content = Path(name).read_bytes()
    assert content.startswith(start)
    if start == b"<?xml":
        assert content == save(draw(result), "svg")


def test_figure_tells_everything_wrong_at_once(ablate: Ablate, folder) -> None:
    done = ablate("figure", "simsiam_fig2_stop", "--scale", "demo", "--results", str(folder), "--format", "pfd")

    assert done.exit_code == 2
    assert "--format 'pfd'; expected one of svg, pdf, png (did you mean 'pdf'?)" in done.output
    assert "no results of 'simsiam_fig2_stop.demo'" in done.output
    assert f"did you mean '{FIG2}.demo'" in done.output
    both = ablate("figure", FIG2, "--scale", "demo", "--results", str(folder), "--format", "pdf", "--out", "a.svg")
    assert both.exit_code == 2
    assert "--out a.svg ends in .svg" in both.output


def test_the_notebook_of_the_documentation_runs(monkeypatch, tmp_path) -> None:
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    cells = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    shutil.copytree(ROOT / "docs" / "results" / "mini", tmp_path / "docs/results/mini", ignore=lambda *_: ["runs"])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    for cell in cells:
        exec(cell, names)  # noqa: S102 - the code that the document shows

    assert len(cells) >= 2
    assert isinstance(names["figure"], Figure)
    assert (tmp_path / "crop.pdf").read_bytes().startswith(b"%PDF")


def test_a_frame_made_by_hand_is_enough() -> None:
    rows = [(t, n, s, 40 + 10 * t - s) for t in (0.1, 0.5) for n in (True, False) for s in range(3)]
    frame = pd.DataFrame(rows, columns=["temperature", "normalize", "seed", "value"]).assign(metric="linear_top1")
    paper = load_paper("simclr_table5_normalization_temperature.csv", ["normalize", "temperature"])
    axes = {"normalize": [True, False], "temperature": [0.1, 0.5]}
    asked = {"kind": "bars", "x": "temperature", "color": "normalize", "metric": "linear_top1"}

    panel = plot(frame, paper, asked, axes, title="By hand").axes[0]

    assert [text.get_text() for text in panel.texts] == ["40.0", "40.0", "44.0", "44.0"]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0.1", "0.5"]


def test_a_frame_that_lacks_columns_is_told_all_of_them(result) -> None:
    asked = {"kind": "bars", "x": "stop_gradient", "metric": "linear_top1"}

    with pytest.raises(InputError) as caught:
        plot(result.frame.drop(columns=["seed", "value"]), result.paper.drop(columns="metric"), asked, result.axes)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["frame", "frame", "paper"]
    with pytest.raises(InputError, match=r"figure.x: no axis 'stop_gradients'.*did you mean 'stop_gradient'"):
        plot(result.frame, result.paper, {**asked, "x": "stop_gradients"}, result.axes)
    wrong = {"kind": "curves", "color": ["stop_gradient"], "panels": None, "metric": "linear_top1"}
    with pytest.raises(
        InputError, match=r"figure.color: no axis \['stop_gradient'\].*\nfigure.panels = None: expected a list"
    ):
        plot(result.frame, result.paper, wrong, result.axes, series=result.curves)
    with pytest.raises(InputError, match="figure: no 'metric'"):
        plot(result.frame, result.paper, {"kind": "bars", "x": "stop_gradient"}, result.axes)
    with pytest.raises(InputError, match="series: no column 'loss'"):
        plot(result.frame, result.paper, {"kind": "curves", "color": "stop_gradient", "panels": ["loss"]}, result.axes)


@pytest.mark.parametrize("command", ["figure", "diff"])
def test_the_commands_have_help(ablate: Ablate, command) -> None:
    assert command in ablate("--help").output
    assert ablate(command, "--help").exit_code == 0
