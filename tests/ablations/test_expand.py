"""Grid files: expansion of the shipped ones, and what is said about wrong ones."""

from __future__ import annotations

import itertools
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import WriteGrid

from ablations.commands.arguments import checked
from ablations.errors import GridError
from ablations.readme.grids_readme import with_overview
from ablations.study.expand import PACKAGED, expand, find_grids, load_grid
from simclr_core.config.identity import eval_id, run_id
from simclr_core.config.options import override
from simclr_core.config.recipes import recipe
from simclr_core.config.schema import EvalConfig

FIG5 = "simclr_fig5_augmentation_pairs"
FIG2 = "simsiam_fig2_stop_gradient"
SEVEN = ["crop", "cutout", "color", "sobel", "noise", "blur", "rotate"]  # SimCLR Fig. 5, left to right
GRIDS = sorted(path.stem for path in PACKAGED.glob("*.yaml"))
SHIPPED = [(name, scale) for name in GRIDS for scale in load_grid(name).scales]


@pytest.mark.parametrize(
    ("name", "scale", "num_cells", "num_runs"),
    [
        (FIG5, "demo", 9, 30),
        (FIG5, "mini", 49, 150),
        (FIG5, "cifar10", 49, 150),
        (FIG5, "imagenet", 49, 150),
        (FIG2, "demo", 2, 9),
        (FIG2, "mini", 2, 15),
        (FIG2, "cifar10", 2, 15),
        (FIG2, "imagenet", 2, 15),
    ],
)
def test_shipped_grids_expand_at_every_scale(name: str, scale: str, num_cells: int, num_runs: int) -> None:
    specs = expand(load_grid(name), scale)

    assert len({spec.cell_id for spec in specs if spec.role == "cell"}) == num_cells
    assert len({spec.cell_id for spec in specs if spec.role == "reference"}) == 1
    assert len({spec.run_id for spec in specs}) == len(specs) == num_runs


@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_every_grid_can_be_planned_at_every_scale(name: str, scale: str) -> None:
    """Its figure, its claims and the paper's numbers fit its cells."""
    ((grid, asked),) = checked([name], scale, None, Path("runs"))
    specs = asked.every

    assert len({spec.run_id for spec in specs}) == len(specs) > 2
    assert grid.scales[scale].note


def test_the_papers_claims_are_declared() -> None:
    declared = {claim["id"].rstrip("abcdefgh") for name in GRIDS for claim in load_grid(name).claims}

    assert {f"C{number}" for number in (*range(1, 21), 26, 27, 28)} <= declared
    assert {f"S{number}" for number in range(1, 13)} <= declared


def test_the_readme_has_the_table_of_grids() -> None:
    """If this fails: nox -s grids_readme."""
    text = (PACKAGED / "README.md").read_text(encoding="utf-8")

    assert text == with_overview(text)
    assert all(f"[{name}]({name}.yaml)" in text for name in GRIDS)


METHODS = """axes:
  method:
    simclr: {}
    supervised: {recipe: supervised, optimizer.base_lr: 0.2}
  views.first:"""


def test_named_levels_have_settings_and_recipes(write_grid: WriteGrid) -> None:
    path = write_grid(
        ("axes:\n  views.first:", METHODS),
        ("{views.first: [crop]}", "{method: {supervised: {optimizer.momentum: 0.8}}}"),
    )
    small, mini = (expand(load_grid(str(path)), scale, seeds=[0]) for scale in ("demo", "mini"))
    found = {spec.levels.get("method"): spec for spec in small if spec.role == "cell"}

    assert (found["simclr"].recipe, found["supervised"].recipe) == ("simclr_demo", "supervised_demo")
    assert found["supervised"].config.optimizer.base_lr == 0.2
    assert found["supervised"].config.views.kind == "pair"
    assert {spec.recipe for spec in mini} == {"supervised_mini"}
    assert {(spec.config.optimizer.base_lr, spec.config.optimizer.momentum) for spec in mini} == {(0.2, 0.8)}


def test_an_evaluation_can_be_of_some_cells_only(write_grid: WriteGrid) -> None:
    path = write_grid(("{protocol: knn, num_labels: 1000}", "{protocol: knn, num_labels: 1000, only: {first: color}}"))
    specs = expand(load_grid(str(path)), "demo", seeds=[0])

    assert [len(spec.evaluations) for spec in specs] == [1, 1, 2, 2, 1]


@pytest.mark.parametrize("scale", ["mini", "cifar10", "imagenet"])
def test_fig5_is_the_papers_matrix_in_the_asymmetric_protocol(scale: str) -> None:
    cells = [spec for spec in expand(load_grid(FIG5), scale, seeds=[0]) if spec.role == "cell"]

    assert [(spec.config.views.first, spec.config.views.second) for spec in cells] == [*itertools.product(SEVEN, SEVEN)]
    assert {(spec.config.views.branches, spec.config.views.base_crop) for spec in cells} == {("one", "shared")}


def test_fig5_at_demo_says_that_it_is_symmetric() -> None:
    grid = load_grid(FIG5)
    specs = expand(grid, "demo")

    assert {(spec.config.views.branches, spec.config.views.base_crop) for spec in specs} == {("both", "none")}
    assert grid.scales["demo"].note.startswith("symmetric")


@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_commands_give_the_same_run_ids(name: str, scale: str) -> None:
    for spec in expand(load_grid(name), scale, seeds=[7]):
        python, module, trainer, *words = shlex.split(spec.command)
        values = {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in words[:-1])}
        base = recipe(values.pop("recipe"))
        described = yaml.safe_load(re.sub(r"([{,]\w+):", r"\1: ", words[-1].removeprefix("evaluations=")))

        assert (python, module, trainer) == ("python", "-m", "simclr_core")
        assert run_id(override(base, values)) == spec.run_id
        assert [eval_id(override(EvalConfig(), settings)) for settings in described] == list(spec.eval_ids)


def test_references_stand_on_the_first_level_of_every_axis() -> None:
    (spec,) = [spec for spec in expand(load_grid(FIG2), "demo", seeds=[3]) if spec.role == "reference"]

    assert spec.config.method.stop_gradient is True
    assert (spec.config.training.epochs, spec.config.seed, spec.label, spec.levels) == (0, 3, "untrained", {})


def test_scales_restrict_axes_and_replace_seeds(write_grid: WriteGrid) -> None:
    specs = expand(load_grid(str(write_grid())), "mini")

    found = [(spec.label, spec.seed) for spec in specs]
    assert found == [("first=crop, second=crop", 5), ("first=crop, second=color", 5), ("untrained", 5)]
    assert [e.metric for e in specs[0].evaluations] == ["linear_top1", "knn_top1"]


def test_paired_settings_move_together_and_cells_can_be_excluded(write_grid: WriteGrid) -> None:
    path = write_grid(
        ("references:", "paired:\n  - {training.epochs: [1, 2], training.global_batch_size: [64, 128]}\nreferences:"),
        ("seeds: [0, 1]", "exclude: [{first: color, epochs: 2}, {same: [first, second]}]\nseeds: [0]"),
    )
    cells = [spec for spec in expand(load_grid(str(path)), "demo") if spec.role == "cell"]

    assert [(*spec.levels.values(), spec.config.training.global_batch_size) for spec in cells] == [
        ("crop", "color", 1, 64),
        ("crop", "color", 2, 128),
        ("color", "crop", 1, 64),
    ]


def test_lowest_and_highest_stand_for_levels_in_exclude_and_only(write_grid: WriteGrid) -> None:
    """Of an axis that a scale restricts, its own levels; ``only`` speaks of the cells that are left."""
    path = write_grid(
        ("references:", "paired:\n  - {training.epochs: [1, 2, 10]}\nreferences:"),
        ("seeds: [0, 1]", "exclude: [{epochs: lowest}]\nseeds: [0]"),
        ("{views.first: [crop]}", "{training.epochs: [2, 10]}"),
        ("{protocol: knn, num_labels: 1000}", "{protocol: knn, num_labels: 1000, only: {epochs: lowest}}"),
    )
    grid = load_grid(str(path))

    found = {
        scale: {spec.levels["epochs"]: len(spec.evaluations) for spec in expand(grid, scale) if spec.role == "cell"}
        for scale in ("demo", "mini")
    }
    assert found["demo"] == {2: 2, 10: 1}
    assert found["mini"] == {10: 2}


def test_lowest_is_no_level_of_an_axis_of_names(write_grid: WriteGrid) -> None:
    path = write_grid(("seeds: [0, 1]", "exclude: [{first: lowest}]\nseeds: [0]"))

    with pytest.raises(GridError, match=r"exclude\[0\].first: no level 'lowest': expected one of crop, color"):
        load_grid(str(path))


def test_looks_are_planned_for_all_scales_or_for_one(write_grid: WriteGrid) -> None:
    one = load_grid(str(write_grid(("mini: {", "mini: {looks: true, "))))
    rest = load_grid(
        str(write_grid(("seeds: [0, 1]", "looks: true\nseeds: [0, 1]"), ("mini: {", "mini: {looks: false, ")))
    )

    assert {name: scale.looks for name, scale in one.scales.items()} == {"demo": False, "mini": True}
    assert {name: scale.looks for name, scale in rest.scales.items()} == {"demo": True, "mini": False}


def test_thousands_of_cells_expand_in_seconds(write_grid: WriteGrid) -> None:
    levels = ", ".join(f"0.{i:02}" for i in range(1, 51))
    axes = f"axes:\n  method.temperature: [{levels}]\n  optimizer.base_lr: [{levels}]\n  views.first:"
    grid = load_grid(str(write_grid(("axes:\n  views.first:", axes))))
    start = time.process_time()
    specs = expand(grid, "demo", seeds=[0])

    assert len(specs) == 50 * 50 * 4 + 1
    assert time.process_time() - start < 6  # two cores share their time with other tests


BAD = yaml.safe_load((Path(__file__).parent / "bad_grids.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("bad", BAD, ids=[bad["new"] for bad in BAD])
def test_wrong_grids_are_told_in_full(write_grid: WriteGrid, bad: dict[str, Any]) -> None:
    path = write_grid((bad["old"], bad["new"]))
    with pytest.raises(GridError) as caught:
        load_grid(str(path))

    assert caught.value.problems == [f"{path}: {problem}" for problem in bad["problems"]]


def test_all_that_is_wrong_comes_at_once(write_grid: WriteGrid) -> None:
    path = write_grid(
        ("recipe: simclr", "recipe: simclr\nnotes: none"),
        ("[crop, color]", "[crop, colr]"),
        ("seeds: [0, 1]", "seeds: [one]"),
    )
    with pytest.raises(GridError) as caught:
        load_grid(str(path))

    assert len(caught.value.problems) == 3


def test_the_name_is_the_files(write_grid: WriteGrid) -> None:
    path = write_grid()
    other = path.rename(path.with_name("other.yaml"))
    with pytest.raises(GridError, match="name = 'little': expected the file's name, 'other'"):
        load_grid(str(other))


def test_grids_are_found_by_name_here_and_among_the_packaged(
    write_grid: WriteGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grids").mkdir()
    write_grid().rename(tmp_path / "grids" / "little.yaml")

    assert set(find_grids()) == {"little", *GRIDS}
    assert load_grid("little").path == tmp_path / "grids" / "little.yaml"
    assert load_grid("grids/little.yaml").name == "little"
    with pytest.raises(GridError, match=r"no grid 'litle': .*the nearest are little, "):
        load_grid("litle")
    with pytest.raises(GridError, match=r"grids/litle.yaml: no such file \(did you mean 'little.yaml'\?\)"):
        load_grid("grids/litle.yaml")


def test_two_grids_of_one_name_must_not_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "grids" / f"{FIG2}.yaml"
    mine.parent.mkdir()
    mine.write_bytes((PACKAGED / mine.name).read_bytes())
    assert load_grid(FIG2).path == mine

    mine.write_text(mine.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    with pytest.raises(GridError, match=rf"grid '{FIG2}': grids/{FIG2}.yaml and .* differ; rename one of them"):
        load_grid(FIG2)
