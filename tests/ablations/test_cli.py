"""The command line: what it prints, its exit codes, and that it says what is wrong without a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Ablate, UseTrainer, WriteGrid

import reports
from ablations.local.display import duration
from ablations.slurm.profiles import find_profiles
from ablations.store.provenance import cpu_model
from ablations.study.expand import expand, find_grids, load_grid
from simclr_core.config.cost import training_multiply_adds

FIG5 = "simclr_fig5_augmentation_pairs"
FIG2 = "simsiam_fig2_stop_gradient"


def test_every_command_has_help(ablate: Ablate) -> None:
    whole = ablate("--help")
    assert whole.exit_code == 0
    for command in ("list", "plan", "run", "status", "logs", "retry", "cancel", "prune", "show", "collect", "report"):
        assert re.search(rf"\b{command}\b", whole.output)
        assert ablate(command, "--help").exit_code == 0


def test_list_shows_the_shipped_grids(ablate: Ablate) -> None:
    done = ablate("list")

    assert done.exit_code == 0
    assert f"{FIG5}: Pairs of augmentations (simclr Fig. 5)" in done.output
    assert re.search(r"demo +9 +1 +3 +30\b", done.output)
    assert re.search(r"mini +49 +1 +3 +150\b", done.output)


def test_plan_run_status_show_and_a_second_run(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    planned = ablate("plan", FIG2, "--scale", "demo")
    assert planned.exit_code == 0
    assert "9 runs: 9 planned" in planned.output
    assert "by the grid's own figure" in planned.output
    assert not Path("runs").exists()

    first = ablate("run", FIG2, "--scale", "demo", "--seeds", "0,2", "--workers", "1")
    assert (first.exit_code, first.output.splitlines()[-1]) == (0, "done: 6")
    planned = ablate("plan", FIG2, "--scale", "demo", "--seeds", "2,0")
    assert re.search(r"cell +seed 2 +seed 0 +shared with", planned.output)
    again = ablate("run", FIG2, "--scale", "demo", "--seeds", "0,2")
    assert (again.exit_code, again.output) == (0, "nothing to do: 6 runs in runs: 6 done\n")
    planned = ablate("plan", FIG2, "--scale", "demo")
    assert re.search(r"stop_gradient=true +done +planned +done", planned.output)
    assert "9 runs: 3 planned, 6 done" in planned.output
    # four evaluations of 1.5 s for each of three runs, and 7 s for the two of them that train
    assert "time: about 32 s of one core for what is left, by the median of 6 finished runs" in planned.output
    assert re.search(rf"{FIG2} +demo +3 +0 +0 +6 +0 +0", ablate("status", FIG2, "--scale", "demo").output)

    planned = ablate("plan", FIG2, "--scale", "demo", "--device-tflops", "0.001")
    spec = expand(load_grid(FIG2), "demo", seeds=[0])[0]
    seconds = 2 * 2 * (training_multiply_adds(spec.config) or 0) / 1e9  # two runs left that train
    assert f"on a device at 0.001 TFLOP/s: about {duration(seconds)}, pre-training alone" in planned.output
    shown = ablate("show", spec.run_id[:-3])
    assert shown.exit_code == 0
    assert spec.command in shown.output
    assert '"linear_top1"' in shown.output
    assert '"stop_gradient": true' in shown.output
    assert '"outcome": "done"' in shown.output


def test_plan_knows_the_pace_of_other_grids_runs(
    ablate: Ablate, fake_trainer: UseTrainer, write_grid: WriteGrid
) -> None:
    fake_trainer("quick")
    path = write_grid(("demo: {note: small, expected_core_s: 20}", "demo: {note: small}"))
    unknown = "time: unknown: no run that could tell is finished, and the grid has no expected_core_s"
    assert unknown in ablate("plan", str(path), "--scale", "mini").output

    ablate("run", str(path), "--scale", "demo", "--workers", "1")
    ran, *_ = expand(load_grid(str(path)), "demo")
    specs = expand(load_grid(str(path)), "mini")
    pace = 7.0 / (training_multiply_adds(ran.config) or 0)  # every training took 7 s of one core
    seconds = pace * sum(training_multiply_adds(spec.config) or 0 for spec in specs) + 3.0 * len(specs)
    planned = ablate("plan", str(path), "--scale", "mini").output
    assert f"time: about {duration(seconds)} of one core for what is left, by 8 other runs on {cpu_model()}," in planned
    assert f" at {2e-9 / pace:.3g} GFLOP/s a core, evaluations included\n" in planned
    assert "by the median of 10 finished runs" in ablate("plan", str(path), "--scale", "demo").output


def test_limit_starts_a_part(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    done = ablate("run", FIG5, FIG2, "--scale", "demo", "--limit", "2")

    assert done.output.splitlines()[0] == "39 runs in runs: 39 planned; 2 to run, 2 at a time"
    assert len(list(Path("runs").glob("sim*"))) == 2


def test_plan_tells_what_other_grids_share(ablate: Ablate, write_grid: WriteGrid, tmp_path: Path) -> None:
    (tmp_path / "grids").mkdir()
    only_crop = ("[crop, color]\n  views.second: [crop, color]", "[crop]\n  views.second: [crop, blur]")
    selectors = ("  - id: L1", "  - id: L2")
    for path in (write_grid(), write_grid(only_crop, selectors, name="second")):
        path.rename(tmp_path / "grids" / path.name)
    planned = ablate("plan", "second", "--scale", "demo")

    assert planned.exit_code == 0
    assert re.search(r"first=crop, second=crop +planned +planned +little *\n", planned.output)
    assert re.search(r"first=crop, second=blur +planned +planned *\n", planned.output)
    assert re.search(r"untrained +planned +planned +little *\n", planned.output)


def test_a_failed_run_gives_exit_code_1_and_says_where_to_look(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("raises")
    done = ablate("run", FIG2, "--scale", "demo", "--workers", "1")
    (failed, *_) = [spec for spec in expand(load_grid(FIG2), "demo") if spec.seed == 1]

    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "done: 6, failed: 3"
    assert f"ablate show {failed.run_id} --store runs" in done.stderr
    assert "ZeroDivisionError" in ablate("show", failed.run_id).output
    status = ablate("status", FIG2, "--scale", "demo").output
    assert re.search(rf"{FIG2} +demo +0 +0 +0 +6 +3 +0", status)
    assert re.search(
        rf"ZeroDivisionError +3 +{failed.run_id} +stop_gradient=true +1 +ZeroDivisionError: seed 1", status
    )


def test_wrong_input_found_by_the_trainer_is_a_list_and_leaves_nothing(
    ablate: Ablate, fake_trainer: UseTrainer
) -> None:
    fake_trainer("refuses")
    done = ablate("run", FIG2, "--scale", "demo", "--workers", "1")

    assert done.exit_code == 2
    assert done.stderr == "error: 2 problems\n  - no folder data/cifar10-jpeg\n  - no folder data/stl10\n"
    assert not list(Path("runs").iterdir())


BAD_GRIDS = {
    "views.first: [crop, color] -> views.first: [crop, colr]": (
        "axes.views.first[1] = 'colr': expected one of crop, cutout, color, sobel, noise, blur, rotate"
        " (did you mean 'color'?)"
    ),
    "kind: heatmap -> kind: heatmp": (
        "little at scale demo: figure.kind: 'heatmp': expected one of heatmap, curves, bars, lines, scatter"
        " (did you mean 'heatmap'?)"
    ),
    "row: first -> row: frist": (
        "little at scale demo: figure.row: no axis 'frist': expected one of first, second (did you mean 'first'?)"
    ),
    "kind: better -> kind: beter": (
        "little at scale demo: claim L1.kind: 'beter': expected one of better, top, some_better, each_better, trend,"
        " interior_optimum, equivalent, interaction, range_below, rank_agreement, collapse, no_convergence, diverges"
        " (did you mean 'better'?)"
    ),
    "not_testable: {mini: -> not_testable: {minii:": (
        "little at scale demo: claim L1.not_testable: no scale 'minii': expected one of demo, mini"
        " (did you mean 'mini'?)"
    ),
    "kind: better -> kind: [better]": (
        "little at scale demo: claim L1.kind: ['better']: expected one of better, top, some_better, each_better, trend,"
        " interior_optimum, equivalent, interaction, range_below, rank_agreement, collapse, no_convergence, diverges"
        " (did you mean 'better'?)"
    ),
    "csv: simclr_fig5_augmentation_pairs.csv -> csv: simclr_fig6.csv": (
        "little at scale demo: paper: paper CSV simclr_fig6.csv: no such file: expected one of 27 names,"
        " the nearest are simclr_cifar10.csv, simclr_fig5_augmentation_pairs.csv, simclr_fig7_depth_width.csv,"
        " simclr_fig8_projection_head.csv, simclr_appA_flip_blur.csv"
    ),
}


@pytest.mark.parametrize("command", ["plan", "run", "collect"])
@pytest.mark.parametrize("replacement", BAD_GRIDS)
def test_a_wrong_grid_is_one_line_and_exit_code_2(
    ablate: Ablate, write_grid: WriteGrid, command: str, replacement: str
) -> None:
    old, new = replacement.split(" -> ")
    path = write_grid((old, new))
    Path("runs").mkdir()
    done = ablate(command, str(path), "--scale", "demo")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"error: {path.name}: {BAD_GRIDS[replacement]}\n"
    assert sorted(entry.name for entry in Path.cwd().rglob("*")) == [path.name, "runs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["plan", "simclr_fig5", "--scale", "demo"],
            (
                f"no grid 'simclr_fig5': expected one of {len(find_grids())} names, the nearest are {FIG5}, "
                "simclr_fig7_depth_width, simclr_fig8_projection_head, simclr_fig9_batch_epochs, simclr_cifar10; "
                "ablate list shows all"
            ),
        ),
        (
            ["status", FIG2, "--scale", "dmo"],
            "no scale 'dmo'; expected one of demo, mini, cifar10, imagenet (did you mean 'demo'?)",
        ),
        (
            ["run", FIG2, "--scale", "demo", "--seeds", "1,1"],
            "--seeds '1,1': expected different whole numbers from 0 on, as in 0,1,2",
        ),
        (
            ["run", FIG2, "--scale", "demo", "--seeds", "a"],
            "--seeds 'a': expected different whole numbers from 0 on, as in 0,1,2",
        ),
        (["show", "abc"], "runs: no run 'abc'"),
        (["report", FIG2], "--scale: missing; it says which runs of the grids to collect"),
        (["report", "--scale", "demo"], "--scale: needs grids; without any, all tables in --results are reported"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(ablate: Ablate, arguments: list[str], message: str) -> None:
    Path("runs").mkdir()
    done = ablate(*arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith(f"{message}\n")
    assert done.stderr.count("\n") == 1
    assert list(Path.cwd().rglob("*")) == [Path.cwd() / "runs"]


def test_a_paper_csv_with_a_missing_column_is_told_before_anything_runs(ablate: Ablate, write_grid: WriteGrid) -> None:
    published = (Path(reports.__file__).parent / "paper" / f"{FIG5}.csv").read_text(encoding="utf-8")
    Path("papers").mkdir()
    Path("papers", "mine.csv").write_text(published.replace("source", "sauce", 1), encoding="utf-8")
    path = write_grid((f"csv: {FIG5}.csv", "csv: papers/mine.csv"))
    done = ablate("run", str(path), "--scale", "demo")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: little.yaml: little at scale demo: paper: mine.csv: no column 'source'")
    assert "(did you mean 'sauce'?)" in done.stderr
    assert not Path("runs").exists()


def test_problems_of_several_grids_are_one_list(ablate: Ablate, write_grid: WriteGrid) -> None:
    first = write_grid(("seeds: [0, 1]", "seeds: []"))
    second = write_grid(("views.kind: pair", "views.kid: pair"), name="second")
    done = ablate("run", str(first), str(second), "--scale", "demo")

    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: 2 problems",
        "  - little.yaml: seeds: expected at least one seed",
        "  - second.yaml: set.views.kid: no such setting (did you mean 'views.kind'?)",
    ]


def test_a_store_of_other_configurations_is_refused(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    ablate("run", FIG2, "--scale", "demo", "--limit", "1")
    (folder,) = Path("runs").glob("sim*")
    (folder / "spec.json").write_text("{}", encoding="utf-8")
    done = ablate("run", FIG2, "--scale", "demo")

    assert done.exit_code == 2
    path, run_id = f"runs/{folder.name}/spec.json", folder.name
    assert done.stderr == f"error: {path}: holds another configuration than run {run_id}; move the folder away\n"


def test_collect_writes_tables_and_tells_what_is_broken(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    ablate("run", FIG2, "--scale", "demo")
    folder = Path("runs") / expand(load_grid(FIG2), "demo")[0].run_id
    (folder / "result.json").write_text("{", encoding="utf-8")
    done = ablate("collect", FIG2, "--scale", "demo")

    assert done.exit_code == 0
    assert done.stdout == "8 of 9 runs are in results\n"
    assert done.stderr == f"{folder}/result.json: cannot be read; counted as missing\n"
    tables = {f"{FIG2}.demo.json", "runs.csv", "curves.csv", "provenance.jsonl", "problems.json"}
    assert {path.name for path in Path("results").iterdir() if path.is_file()} == tables
    assert json.loads(Path("results", f"{FIG2}.demo.json").read_text(encoding="utf-8"))["name"] == FIG2


def test_report_collects_and_says_where_to_look(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    ablate("run", FIG2, "--scale", "demo")
    done = ablate("report", FIG2, "--scale", "demo", "--out", "page")

    assert done.exit_code == 0
    assert done.stdout == "look at page/index.html\n"
    assert "Stop-gradient" in Path("page", "index.html").read_text(encoding="utf-8")


@pytest.fixture
def grids(write_grid: WriteGrid, tmp_path: Path) -> Path:
    """A folder ``grids`` with a good grid, one that is broken, and what macOS and emacs leave beside them."""
    folder = tmp_path / "grids"
    folder.mkdir()
    write_grid().rename(folder / "little.yaml")
    write_grid(("seeds: [0, 1]", "seeds: []"), ("views.kind", "views.kid"), name="broken").rename(
        folder / "broken.yaml"
    )
    (folder / "._little.yaml").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X\xff")
    (folder / ".#little.yaml").symlink_to("user@host.1234:1700000000")
    return folder


WARNING = (
    "warning: grids/broken.yaml: set.views.kid: no such setting (did you mean 'views.kind'?) (and 1 more problems)"
)


@pytest.mark.usefixtures("grids")
def test_a_broken_grid_blocks_no_other_and_hidden_files_are_none(ablate: Ablate, fake_trainer: UseTrainer) -> None:
    fake_trainer("quick")
    assert {"little", "broken"} <= find_grids().keys()
    assert not any(name.startswith(".") for name in find_grids())
    warning = f"{WARNING}; this grid is left out\n"
    assert ablate("run", "little", "--scale", "demo", "--limit", "1").exit_code == 0
    for arguments in (["list"], ["plan", "little", "--scale", "demo"], ["status"]):
        done = ablate(*arguments)
        assert (done.exit_code, done.stderr) == (0, warning), arguments

    broken = ablate("plan", "broken", "--scale", "demo")
    assert (broken.exit_code, broken.stderr.splitlines()[0]) == (2, "error: 2 problems")
    pruned = ablate("prune", "--yes")  # a checkpoint may be what the broken grid needs
    assert (pruned.exit_code, "grids/broken.yaml" in pruned.stderr) == (2, True)


def test_hidden_files_are_no_results_evaluations_profiles_or_papers(
    ablate: Ablate, write_grid: WriteGrid, fake_trainer: UseTrainer
) -> None:
    fake_trainer("quick")
    path = write_grid()
    ablate("run", str(path), "--scale", "demo")
    folder = next(Path("runs").glob("sim*"))
    Path("clusters").mkdir()
    for hidden in ("clusters/._small.yaml", "results/._little.demo.json", f"{folder}/evals/._x.json"):
        Path(hidden).parent.mkdir(exist_ok=True)
        Path(hidden).write_bytes(b"\0\5\x16\7\xff")

    collected = ablate("collect", str(path), "--scale", "demo")
    assert (collected.exit_code, collected.stdout, collected.stderr) == (0, "10 of 10 runs are in results\n", "")
    assert ablate("figure", "little", "--scale", "demo").exit_code == 0
    assert "._x" not in ablate("show", folder.name).output
    assert not any(name.startswith(".") for name in find_profiles())


def test_a_folder_is_no_grid(ablate: Ablate, write_grid: WriteGrid) -> None:
    write_grid()
    done = ablate("plan", str(Path.cwd()), "--scale", "demo")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {Path.cwd()}: is a folder; expected a grid's file")
