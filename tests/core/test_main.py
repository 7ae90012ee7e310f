"""``python -m simclr_core``: the same id as in a grid, and one message for bad input."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ablations.study.expand import expand, load_grid
from simclr_core.__main__ import problems_of_overrides, to_evaluations


def run_main(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simclr_core", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", ["simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient"])
@pytest.mark.parametrize("scale", ["demo", "mini", "cifar10", "imagenet"])
def test_hydra_composes_a_cells_command_to_the_cells_id(name: str, scale: str) -> None:
    from hydra import compose, initialize
    from hydra.core.global_hydra import GlobalHydra

    from simclr_core import __main__ as main
    from simclr_core.config.identity import eval_id, run_id

    spec = expand(load_grid(name), scale)[-1]
    arguments = shlex.split(spec.command)[3:]
    GlobalHydra.instance().clear()
    main._register()
    with initialize(version_base="1.3", config_path=None):
        composed = compose("run", arguments)

    assert problems_of_overrides(arguments) == []
    assert run_id(main.to_run_config(composed)) == spec.run_id
    made = {eval_id(e) for e in to_evaluations(OmegaConf.to_container(composed.evaluations))}
    assert made == {eval_id(e) for e in spec.evaluations}


def test_bad_arguments_come_back_in_one_list_with_exit_code_2(tmp_path: Path) -> None:
    bad = run_main("recipe=simclr_demo", "views.frist=crop", "training.epochs=ten", "runtime.devise=cpu", cwd=tmp_path)

    assert bad.returncode == 2
    assert bad.stderr.splitlines() == [
        "views.frist: no such setting (did you mean 'views.first'?)",
        "runtime.devise: no such setting (did you mean 'runtime.device'?)",
        "training.epochs = 'ten': expected an integer",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_misspelt_recipe_names_the_recipes() -> None:
    assert problems_of_overrides([])[0].startswith("recipe=... is missing; known: simclr_demo")
    assert "did you mean 'simclr_demo'" in problems_of_overrides(["recipe=simclr_dmo"])[0]


def test_it_runs_and_prints_the_results(tmp_path: Path) -> None:
    arguments = ["recipe=simclr_demo", "training.epochs=0", "backbone.width_multiplier=0.125"]
    evaluations = "evaluations=[{protocol:linear,num_labels:170},{protocol:knn,num_labels:170}]"
    done = run_main(*arguments, evaluations, f"runtime.cache_dir={tmp_path}/cache", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "linear_top1" in done.stdout
    assert "untrained" in done.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"cache", "runs"}] == []


def test_evaluations_are_checked_with_the_rest() -> None:
    assert problems_of_overrides(["recipe=simclr_demo", "evaluations=[{protocl:knn},{num_labels:some}]"]) == [
        "evaluations[0].protocl: no such setting (did you mean 'protocol'?)",
        "evaluations[1].num_labels = 'some': expected an integer",
    ]
    assert "expected a list" in problems_of_overrides(["recipe=simclr_demo", "evaluations=linear"])[0]


def test_help_names_recipes_and_settings(tmp_path: Path) -> None:
    told = run_main("--help", cwd=tmp_path)

    assert (told.returncode, told.stderr) == (0, "")
    for line in (
        "recipes: simclr_demo",
        "  data.image_size: an integer from 8 to 8192",
        "  method.name: simclr, simsiam, supervised",
        "  runtime.num_threads: an integer from 1 to 2147483647; 1",
        "  protocol: linear, linear_sgd, knn, fine_tune, transform_probe",
    ):
        assert f"\n{line}" in told.stdout


def test_runtime_settings_are_checked_with_the_rest() -> None:
    wrong = {"device": "gpu", "num_threads": "two", "num_workers": -1}
    found = [problems_of_overrides(["recipe=simclr_demo", f"runtime.{key}={value}"]) for key, value in wrong.items()]

    assert found == [
        ["runtime.device = 'gpu': expected auto, cpu, cuda, or one GPU as in cuda:1 (did you mean 'cpu'?)"],
        ["runtime.num_threads = 'two': expected an integer"],
        ["runtime.num_workers = -1: expected at least 0"],
    ]
    assert problems_of_overrides(["recipe=simclr_demo", "runtime.device=cuda:1", "runtime.num_workers=0"]) == []
