"""The rule of the verdicts in simulation: coverage, error at the margin with all looks, and power; and that of a diff.

``nox -s simulation`` prints the tables of docs/statistics.md and docs/diff.md, and tests/project/test_simulation.py
asks the same of fewer draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from unittest.mock import patch

import numpy as np

from reports.claims.comparisons import Comparison
from reports.claims.more_seeds import further_seeds
from reports.claims.rule import LOOKS, Decision, conjunction, over_looks, settle, some_conjunction
from reports.claims.stats import ALPHA, Floats, difference
from reports.diff.compare import shift_test

SEED_NOISE = 0.65  # points, measured at scale mini


def coverage(num: int, num_than: int, sd_ratio: float, draws: int, rng: np.random.Generator) -> float:
    """How often the 95 % interval of a difference holds the truth."""
    first = rng.normal(1.0, SEED_NOISE * sd_ratio, (draws, num))
    low, high = difference(first, rng.normal(0.0, SEED_NOISE, (draws, num_than))).interval()
    return float(np.mean((low < 1.0) & (high > 1.0)))


def after_looks(effect: float, margin: float, draws: int, rng: np.random.Generator) -> Decision:
    """The decision of one claim after all planned looks, seeds being added to both sides until the last."""
    first, second = rng.normal(effect, SEED_NOISE, (draws, LOOKS[-1])), rng.normal(0.0, SEED_NOISE, (draws, LOOKS[-1]))
    return over_looks([conjunction([difference(first[:, :look], second[:, :look])], [margin]) for look in LOOKS])


def peeking(draws: int, rng: np.random.Generator) -> float:
    """How often a true effect at its margin is found above it by looking after every seed at full alpha."""
    first, second = (rng.normal(0.0, SEED_NOISE, (draws, LOOKS[-1])) for _ in range(2))
    looks = [conjunction([difference(first[:, :n], second[:, :n])], [0.0]).supported for n in range(3, LOOKS[-1] + 1)]
    return float(np.mean(np.any(looks, axis=0)))


def family_errors(num_claims: int, draws: int, rng: np.random.Generator) -> float:
    """How often any of a grid's claims, all with their effects at the margin, is supported: looks and Holm together."""
    p_values = [after_looks(0.0, 0.0, draws, rng).p_supported for _ in range(num_claims)]
    return float(np.mean(num_claims * np.min(p_values, axis=0) < ALPHA))  # Holm's first step, which lets in the others


def until_decided(
    effects: Sequence[float], draws: int, rng: np.random.Generator
) -> tuple[list[list[str]], list[list[int]]]:
    """The whole procedure: (verdict, seeds) per draw and claim, that each effect over one control exceeds 0.

    A cell of its own for each effect, and the control that all share; after every look only the cells of undecided
    claims get seeds, so that the control may have more of them than the cell of a decided claim.
    """
    control, *cells = (rng.normal(mean, SEED_NOISE, (draws, LOOKS[-1])) for mean in (0.0, *effects))
    steps = [
        over_looks([conjunction([difference(cell[:, :n], control[:, :n])], [0.0]) for n in LOOKS[: place + 1]])
        for cell in cells
        for place in range(len(LOOKS))
    ]
    paths = np.array([(step.p_supported, step.p_contradicted) for step in steps])
    paths = paths.reshape(len(cells), len(LOOKS), 2, draws)  # claims, looks, directions, draws
    verdicts, seeds = [], []
    for draw in range(draws):
        taken = [1] * len(cells)
        while True:
            with patch(
                "gc.collect"
            ):  # statsmodels collects garbage at every call, which takes a thousand times as long
                settled = settle([[tuple(p) for p in paths[i, :num, :, draw]] for i, num in enumerate(taken)])
            still = [i for i, found in enumerate(settled) if not found.decided and taken[i] < len(LOOKS)]
            if not still:
                break
            for i in still:
                taken[i] += 1
        verdicts.append(
            [
                "undecided" if not s.decided else "supported" if s.p_supported < s.p_contradicted else "contradicted"
                for s in settled
            ]
        )
        seeds.append([LOOKS[num - 1] for num in taken])
    return verdicts, seeds


def tuned(num_levels: int, draws: int, rng: np.random.Generator, *, own_seed: bool) -> float:
    """How often an arm with many equal levels is found above an arm with one, by the level that did best.

    Best on a seed of its own, or on the three that also judge; every level of either arm is equally good.
    """
    levels = rng.normal(0.0, SEED_NOISE, (num_levels, draws, 3))
    told = rng.normal(0.0, SEED_NOISE, (num_levels, draws)) if own_seed else levels.mean(axis=-1)
    chosen = np.take_along_axis(levels, told.argmax(axis=0)[None, :, None], axis=0)[0]
    decision = conjunction([difference(chosen, rng.normal(0.0, SEED_NOISE, (draws, 3)))], [0.0])
    return float(np.mean(decision.supported))


def power(effect: float, num_seeds: int, draws: int, rng: np.random.Generator) -> float:
    """How often an effect is found above 0 with so many seeds on each side, without looks or other claims."""
    sides = rng.normal(effect, SEED_NOISE, (draws, num_seeds)), rng.normal(0.0, SEED_NOISE, (draws, num_seeds))
    return float(np.mean(conjunction([difference(*sides)], [0.0]).supported))


def moved(
    num_was: int, num_now: int, sd_ratio: float, draws: int, rng: np.random.Generator, *, num_cells: int = 1
) -> float:
    """How often a diff finds that some cell of a grid moved where none did, the first side's noise being the larger."""
    was = rng.normal(0.0, SEED_NOISE * sd_ratio, (draws, num_cells, num_was))
    _, p = shift_test(was, rng.normal(0.0, SEED_NOISE, (draws, num_cells, num_now)))
    return float(np.mean(num_cells * p.min(axis=-1) < ALPHA))  # Holm's first step, without which no cell moves


def unequal_noise(num_candidates: int, sd_ratio: float, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often some of many candidates, all as good as the rival, is found better: (five seeds, four looks)."""
    rival = rng.normal(0.0, SEED_NOISE, (draws, LOOKS[-1]))
    cells = rng.normal(0.0, SEED_NOISE * sd_ratio, (num_candidates, draws, LOOKS[-1]))

    def after(n: int) -> Decision:
        return some_conjunction([[difference(cell[:, :n], rival[:, :n])] for cell in cells], [[0.0]] * num_candidates)

    looks = over_looks([after(look) for look in LOOKS])
    return float(np.mean(after(5).supported)), float(np.mean(looks.supported))


def _over(one: str, other: str, margin: float = 0.0) -> Callable[[Mapping[str, Floats]], Comparison]:
    return lambda cells: Comparison("", difference(cells[one], cells[other]), margin)


_RIVALS = [f"rival {number}" for number in range(10)]
_BETTER, _TOP = [[_over("a", "b")]], [[_over("a", rival) for rival in _RIVALS]]
_LEVELS = list(itertools.permutations("abcd", 2))

PROMISES = {
    "better": ({"a": 0.6}, _BETTER, (0, 0)),
    "better, beside 9 contradicted claims": ({"a": 0.6}, _BETTER, (0, 9)),
    "better, beside 9 supported claims": ({"a": 0.6}, _BETTER, (9, 0)),
    "some_better, one of 10 candidates": (
        dict.fromkeys(_RIVALS, -5.0) | {_RIVALS[0]: 0.6},
        [[_over(rival, "b")] for rival in _RIVALS],
        (0, 0),
    ),
    "top, over 10 rivals": ({"a": 0.6}, _TOP, (0, 0)),
    "top, one of 10 rivals is better": ({_RIVALS[-1]: 0.6}, _TOP, (0, 0)),
    "equivalent": ({}, [[_over("a", "b", -0.6), _over("b", "a", -0.6)]], (0, 0)),
    "range_below, 4 levels": ({}, [[_over(one, other, -0.6) for one, other in _LEVELS]], (0, 0)),
    "interior_optimum": ({"b": 0.6}, [[_over("b", "a"), _over("b", "c")]], (0, 0)),
}
"""Undecided claims: their means in points beside 0, candidates, and how many others are supported and contradicted."""


def promised(name: str, num_seeds: int, draws: int, rng: np.random.Generator) -> tuple[int | None, float]:
    """(further seeds told of a claim of ``PROMISES``, how often they decide it), its estimates being the truth."""
    means, comparisons, (num_supported, num_contradicted) = PROMISES[name]
    others = [[(0.0, 1.0)]] * num_supported + [[(1.0, 0.0)]] * num_contradicted
    cells = {cell: means.get(cell, 0.0) for cell in ("a", "b", "c", "d", *_RIVALS)}
    noise = {cell: rng.normal(0.0, 1.0, num_seeds) for cell in cells}
    exact = {cell: SEED_NOISE * (each - each.mean()) / each.std(ddof=1) for cell, each in noise.items()}

    def candidates(samples: Mapping[str, Floats]) -> list[list[Comparison]]:
        return [[of({c: cells[c] + samples[c] for c in cells}) for of in parts] for parts in comparisons]

    more, _ = further_seeds(candidates(exact), (num_contradicted + 1, num_supported + 1))
    drawn = candidates({cell: rng.normal(0.0, SEED_NOISE, (draws, num_seeds + (more or 0))) for cell in cells})
    decision = some_conjunction(
        [[one.effect for one in parts] for parts in drawn], [[one.margin for one in parts] for parts in drawn]
    )
    with patch("gc.collect"):  # as above
        found = [
            settle([[pair], *others])[0].decided
            for pair in zip(decision.p_supported, decision.p_contradicted, strict=True)
        ]
    return more, float(np.mean(found))


def promised_looks(effect: float, draws: int, rng: np.random.Generator) -> tuple[int | None, list[float]]:
    """(further seeds told of an effect over 0 after the first look, how often it is decided by each look after it)."""
    noise = rng.normal(0.0, 1.0, (2, LOOKS[0]))
    exact = SEED_NOISE * (noise - noise.mean(axis=-1, keepdims=True)) / noise.std(axis=-1, ddof=1, keepdims=True)
    more, _ = further_seeds([[Comparison("", difference(effect + exact[0], exact[1]), 0.0)]], (1, 1), look=LOOKS[0])
    sides = rng.normal(effect, SEED_NOISE, (draws, LOOKS[-1])), rng.normal(0.0, SEED_NOISE, (draws, LOOKS[-1]))
    looks = [conjunction([difference(sides[0][:, :n], sides[1][:, :n])], [0.0]) for n in LOOKS[1:]]
    return more, [float(np.mean(over_looks(looks[: place + 1]).supported)) for place in range(len(looks))]


def main() -> None:
    """Print the tables."""
    rng, draws = np.random.default_rng(0), 100_000
    print("coverage of the 95 % interval: seeds, seeds of the other side, ratio of standard deviations")
    for num, num_than, ratio in itertools.product((3, 5, 10), (3, 5, 10), (0.5, 1.0, 2.0)):
        print(f"{num:3} {num_than:3} {ratio:4} {100 * coverage(num, num_than, ratio, draws, rng):6.2f} %")
    decision = after_looks(0.0, 0.0, draws, rng)
    print(f"effect at the margin, four looks: supported {100 * np.mean(decision.supported):.2f} %, ", end="")
    print(f"contradicted {100 * np.mean(decision.contradicted):.2f} %; ", end="")
    print(f"looking after every seed at full alpha: supported {100 * peeking(draws, rng):.1f} %")
    for num_claims in (2, 5):
        print(f"{num_claims} claims at their margins, looks and Holm: any supported ", end="")
        print(f"{100 * family_errors(num_claims, 20_000, rng):.2f} %")
    for effects in ((0.0,) * 4, (3.0, 3.0, 0.0, 0.0)):
        verdicts, seeds = until_decided(effects, 5_000, rng)
        false = [any(words[i] == "supported" for i, e in enumerate(effects) if not e) for words in verdicts]
        print(
            f"seeds for undecided claims alone, effects {effects}: a false 'supported' {100 * np.mean(false):.2f} %, ",
            end="",
        )
        print(f"seeds a claim {', '.join(f'{mean:.1f}' for mean in np.mean(seeds, axis=0))}")
    rates = [100 * tuned(5, draws, rng, own_seed=own) for own in (True, False)]
    print(
        f"the best of five equal levels against one: supported {rates[0]:.1f} %, "
        f"chosen on the judging seeds {rates[1]:.1f} %"
    )
    print("power: effect in points; 3, 5, 10 seeds; four looks up to 12 seeds")
    for effect in (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0):
        found = [power(effect, num, draws // 5, rng) for num in (3, 5, 10)]
        found.append(float(np.mean(after_looks(effect, 0.0, draws // 5, rng).supported)))
        print(f"{effect:5.2f}" + "".join(f"{100 * share:7.1f} %" for share in found))
    print("moved where nothing did: seeds; a cell, ratio of standard deviations 1, 2; any of 49 cells, 1, 2")
    for num_was, num_now in ((2, 2), (3, 3), (5, 5), (3, 5), (3, 10), (8, 8), (8, 12)):
        found = [moved(num_was, num_now, ratio, draws, rng) for ratio in (1.0, 2.0)]
        found += [moved(num_was, num_now, ratio, draws // 10, rng, num_cells=49) for ratio in (1.0, 2.0)]
        print(f"{num_was:3} {num_now:3}" + "".join(f"{100 * share:7.1f} %" for share in found))
    print("42 equal candidates against a rival, some found better: ratio of standard deviations; 5 seeds, four looks")
    for ratio in (1.0, 2.0, 3.0):
        found = unequal_noise(42, ratio, draws // 5, rng)
        print(f"{ratio:4}" + "".join(f"{100 * share:7.1f} %" for share in found))
    print("further seeds told after three, how often they decide; with looks: by each look that is left")
    for name in PROMISES:
        more, share = promised(name, 3, 4_000, rng)
        print(f"{name:38} {more:4} {100 * share:6.1f} %")
    for effect in (0.75, 1.0, 1.25):
        more, shares = promised_looks(effect, draws // 5, rng)
        print(f"four looks, effect {effect:4.2f} {more!s:>19} " + "".join(f"{100 * share:6.1f} %" for share in shares))


if __name__ == "__main__":
    main()
