"""What a wrong claim is told before anything runs, and that what passes can be judged."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from reports.claims.claim_checks import CLAIM_KINDS, claim_problems
from reports.claims.verdicts import decide

HEAD = {"id": "C", "says": "it holds", "locus": "Sec. 1"}

LEVELS = {"method": ["a", "b"], "batch": ["64", "128", "256"]}
CELLS = {f"{method}-{batch}": {"method": method, "batch": batch} for method in "ab" for batch in LEVELS["batch"]}
SIDES = {"group": {"method": "a"}, "than": {"method": "b"}}
METRICS = ["linear_top1", "linear_z_top1", "z_std_ratio", "final_loss"]


def _problems(claim, axes=LEVELS, cells=CELLS) -> list[str]:
    return claim_problems(
        HEAD | claim, "C", axes=axes, metrics=METRICS, cells=cells, scale="mini", metric="linear_top1",
        scales=["demo", "mini"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ({"kind": "trend", "along": "bach", "direction": "rises"}, "C.along: no axis 'bach': expected"),
        ({"kind": "trend", "along": "batch", "direction": "up"}, "C.direction: 'up': expected one of rises, falls"),
        ({"kind": "trend", "along": "batch", "direction": "rises", "within": {"batch": 64}},
         "C.within: expected at least 2 levels of 'batch', found 1"),
        ({"kind": "interior_optimum", "along": "batch", "best": 64}, "C.best: '64' is no inner level: exp"),
        ({"kind": "interior_optimum", "along": "method"}, "C.along: expected at least 3 levels of 'method', found 2"),
        ({"kind": "better", "group": {"method": "a"}}, "no 'than', which kind better needs"),
        ({"kind": "better", "than_value": 3, **SIDES}, "than_value stands instead of than"),
        ({"kind": "better", "margin": {"demo": 1.0}, **SIDES}, "C.margin: no number for scale mini"),
        ({"kind": "equivalent", **SIDES}, "no 'margin', which kind equivalent needs"),
        ({"kind": "each_better", **SIDES}, "expected either match"),
        ({"kind": "each_better", "match": ["bach"], **SIDES}, "C.match: no axis 'bach'"),
        ({"kind": "range_below", "along": "batch"}, "no 'margin', which kind range_below needs"),
        (
            {"kind": "interaction", "direction": "shrinks", "from": {"method": "a"}, "to": {"method": "b"}, **SIDES},
            "C.from: selects no cell of than",
        ),
        ({"kind": "rank_agreement", "rho": True}, "C.rho = True: expected a number"),
        ({"kind": "rank_agreement", "rho": 2}, "C.rho = 2: expected a number from -1 on and below 1"),
        ({"kind": "rank_agreement", "rho": -1.5}, "C.rho = -1.5: expected a number from -1 on"),
        ({"kind": "equivalent", "margin": -1, **SIDES}, "C.margin = -1: expected a number above 0"),
        ({"kind": "equivalent", "margin": {"mini": 0, "demo": 1}, **SIDES},
         "C.margin.mini = 0: expected a number above 0"),
        ({"kind": "range_below", "along": "batch", "margin": 0}, "C.margin = 0: expected a number above 0"),
        ({"kind": "better", "margin": math.nan, **SIDES}, "C.margin = nan: expected a finite number"),
        ({"kind": "better", "margin": {"mini": 1, "imagenet": "1,5"}, **SIDES},
         "C.margin.imagenet = '1,5': expected a number"),
        ({"kind": "better", "margin": {"mini": 1, "imagnet": 2}, **SIDES},
         "C.margin: no scale 'imagnet': expected one of demo, mini, imagenet, cifar10 (did you mean 'imagenet'"),
        ({"kind": "better", "than_value": math.inf, "group": {}}, "C.than_value = inf: expected a finite number"),
        ({"kind": "better", "than_metric": "linear_top1", "group": {}},
         "C.than_metric: 'linear_top1' measures group too"),
        ({"kind": "better", "not_testable": {"minii": "why"}, **SIDES},
         "C.not_testable: no scale 'minii': expected one of demo, mini (did you mean 'mini'?)"),
        ({"kind": "better", "not_testable": {"mini": None}, **SIDES}, "C.not_testable.mini = None: expected a reason"),
        ({"kind": "better", "not_testable": {"mini": "why"}, "group": {"metod": "a"}, "than": {}},
         "C.group: no axis 'metod'"),
        ({"kind": "range_below", "along": "batch", "group": {"method": "a"}, "than": {"method": "a"}},
         "3 cells are in group and in than"),
        ({"kind": "interaction", "direction": "grows", "from": {}, "to": {"batch": 64}, **SIDES},
         "2 cells are in from and in to"),
        ({"kind": "interior_optimum", "along": "batch", "best": []},
         "C.best = []: expected a level, or a list of levels"),
        ({"kind": "each_better", "match": ["batch"], "group": {"batch": 64}, "than": {"batch": 128}},
         "C.match: no cell of group has a partner in than (batch)"),
        ({"kind": "each_better", "parts": ["batch"], "group": {"batch": 64}, "than": {"batch": 128}},
         "C.parts: no cell of group has a partner"),
        ({"kind": ["better"], **SIDES}, "C.kind: ['better']: expected one of better, top"),
        ({"kind": "each_better", "match": [["batch"]], **SIDES},
         "C.match: no axis ['batch']: expected one of method, batch"),
        ({"kind": "better", "than": {"same": [["batch"], "method"]}, "group": {}}, "C.than.same: no axis ['batch']"),
        ({"kind": "better", "metric": ["linear_top1"], **SIDES}, "C.metric = ['linear_top1']: expected a text"),
        ({"kind": "better", "than": {"method": "highest"}, "group": {}}, "no level 'highest'"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_told(claim, told) -> None:
    problems = _problems(claim)

    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("levels", "within", "best", "inner"),
    [
        (["64", "128", "256"], {}, 64, "128"),
        (["64", "256", "128"], {}, 256, "128"),  # numbers are in the order of their values, however they are listed
        (["64", "128", "256", "512"], {"batch": ["64", "256", "512"]}, 128, "256"),
        (["64", "128", "256", "512"], {"batch": ["128", "256", "512"]}, [256, 128], "256"),
        (["small", "large", "huge"], {}, "huge", "large"),
    ],
)
def test_the_best_level_lies_between_two_others_of_this_scale(levels, within, best, inner) -> None:
    cells = {f"a-{level}": {"method": "a", "batch": level} for level in levels}
    claim = {"kind": "interior_optimum", "along": "batch", "within": within, "best": best}

    (problem,) = _problems(claim, {"method": ["a"], "batch": levels}, cells)

    text = f"C.best: '{best[-1] if isinstance(best, list) else best}' is no inner level"
    assert problem.startswith(text)
    assert f"expected one of {inner}" in problem
    assert _problems({**claim, "best": inner}, {"method": ["a"], "batch": levels}, cells) == []


def test_everything_wrong_with_a_claim_comes_at_once() -> None:
    claim = {"kind": "better", "margin": "big", "grup": {}, "metric": "top1", "than": {"metod": "a"}}

    assert [problem.partition(":")[0] for problem in _problems(claim)] == [
        "C", "C.margin = 'big'", "C", "C.than", "C.metric",
    ]  # fmt: skip


GOOD: dict[str, dict[str, Any]] = {
    "better": SIDES,
    "top": SIDES,
    "some_better": SIDES,
    "each_better": SIDES | {"match": ["batch"]},
    "trend": {"along": "batch", "direction": "rises"},
    "interior_optimum": {"along": "batch", "best": 128},
    "equivalent": SIDES | {"margin": 1.0},
    "interaction": SIDES | {"from": {"batch": 64}, "to": {"batch": 256}, "direction": "grows"},
    "range_below": SIDES | {"along": "batch", "within": {"method": "a"}},
    "rank_agreement": {"rho": 0.5},
    "collapse": SIDES | {"threshold": 0.1, "loss_below": -0.9},
    "no_convergence": SIDES | {"threshold": 0.1, "loss_above": -0.5},
    "diverges": SIDES,
}
ODD = (
    None, "", "a", "batch", "mini", "highest", 0, -1, 64, 10**400, math.nan, True, [], [None], ["batch"],
    ["method", "batch"], [["batch"]], [{}], [{"batch": 64}, {"batch": [["128"]]}], {}, {"mini": 1}, {"mini": "why"},
    {"mini": {"mini": 1}}, {"imagenet": ""}, {"batch": 64}, {"batch": "lowest"}, {"same": "batch"},
    {"same": ["method", ["batch"]]}, {None: 1},
)  # fmt: skip


@pytest.mark.parametrize("kind", CLAIM_KINDS)
def test_whatever_stands_in_a_claim_is_told_or_can_be_judged(kind) -> None:
    rows = [
        {
            **levels,
            "cell_id": cell,
            "seed": seed,
            "run_id": f"{cell}-{seed}",
            "metric": metric,
            "value": place + seed / 2,
        }
        for metric in METRICS
        for place, (cell, levels) in enumerate(CELLS.items())
        for seed in range(3)
    ]
    frame = pd.DataFrame(rows).assign(role="cell", label="", state="done", outcome="trained")
    paper = frame.loc[frame["seed"] == 0, ["method", "batch", "metric", "value"]].assign(reading_error=math.nan)
    good, judged = {"kind": kind, **GOOD[kind]}, 0
    free = ("margin", "metric", "than_metric", "than_value", "paired", "within", "parts", "best", "not_testable")

    assert _problems(good) == []
    for key in (*HEAD, *good, *free):
        for odd in ODD:
            claim = {**HEAD, **good, key: odd}
            if not _problems(claim):
                judged += 1
                decide(claim, frame, axes=list(LEVELS), metric=METRICS[0], scale="mini", paper=paper, noise=0.5)
    assert 0 < judged < 100
