"""Curves as lines: what thinning keeps, where lines break, that coordinates and ticks say the values again."""

from __future__ import annotations

import math
import re
from importlib import resources

import numpy as np
import pytest

from reports.page.sparkline import (
    BOTTOM,
    LEFT,
    LIMIT,
    NUM_STYLES,
    RIGHT,
    TOP,
    Chart,
    Series,
    chart,
    look,
    mark,
    thin,
    ticks,
    value_range,
    value_text,
)

NAN = math.nan
MINUS = "\N{MINUS SIGN}"


def thinned(values, limit=LIMIT) -> list[int]:
    one = Series("x", np.arange(len(values), dtype=float), np.asarray(values, dtype=float))
    return thin(one.values, one.there, limit).tolist()


def series(values, epochs=None, name="Seed 0", style=0) -> Series:
    at = np.arange(len(values), dtype=float) if epochs is None else np.asarray(epochs, dtype=float)
    return Series(name, at, np.asarray(values, dtype=float), style)


def points(line) -> list[list[tuple[int, int]]]:
    return [[(int(x), int(y)) for x, y in (pair.split(",") for pair in part.split(" "))] for part in line.polylines]


def slowly_thinned(values: list[float], limit: int) -> list[int]:
    """First, last, and the lowest and highest of every bucket of ceil(inner / ((limit - 2) // 2)) points."""
    there = [index for index, value in enumerate(values) if math.isfinite(value)]
    inner, size = there[1:-1], math.ceil((len(there) - 2) / ((limit - 2) // 2))
    kept = {there[0], there[-1]}
    for start in range(0, len(inner), size):
        bucket = inner[start : start + size]
        kept |= {min(bucket, key=lambda index: values[index]), max(bucket, key=lambda index: values[index])}
    return sorted(kept)


@pytest.mark.parametrize(("length", "limit"), [(201, 200), (399, 200), (1000, 200), (10_007, 200), (500, 60), (50, 4)])
def test_a_long_curve_keeps_its_ends_and_every_bucket_its_extremes(length, limit) -> None:
    values = np.random.default_rng(length).normal(size=length).cumsum()
    values[:: length // 9] = NAN

    kept = thinned(values, limit)

    assert kept == slowly_thinned(values.tolist(), limit)
    assert len(kept) <= limit
    assert {np.nanargmin(values), np.nanargmax(values)} <= set(kept)


def test_equal_values_are_no_trap_for_the_buckets() -> None:
    assert thinned([1.0] * 1001) == slowly_thinned([1.0] * 1001, LIMIT)


def test_a_curve_of_two_hundred_points_stays_whole() -> None:
    assert thinned(np.arange(200.0)) == list(range(200))


def test_a_lone_spike_among_ten_thousand_points_is_drawn() -> None:
    values = np.zeros(10_000)
    values[6_789] = 5.0

    assert 6_789 in thinned(values)


def test_coordinates_say_the_values_again() -> None:
    values = np.random.default_rng(0).normal(size=150)
    drawn = chart("loss", [series(values, np.linspace(0, 7, 150))], y_range=(-4.0, 4.0))
    (part,) = points(drawn.lines[0])

    x, y = np.array(part).T
    assert (x - LEFT) / (RIGHT - LEFT) * 7 == pytest.approx(np.linspace(0, 7, 150), abs=7 / (RIGHT - LEFT))
    assert (BOTTOM - y) / (BOTTOM - TOP) * 8 - 4 == pytest.approx(values, abs=8 / (BOTTOM - TOP))


def test_a_missing_value_breaks_the_line_and_a_point_alone_is_a_dot() -> None:
    drawn = chart("loss", [series([1, 2, NAN, 3, NAN, 4, 5, math.inf, 1e31])])
    (line,) = drawn.lines

    assert [len(part) for part in points(line)] == [2, 2]
    assert len(line.dots) == 1


def test_a_gap_breaks_the_line_where_thinning_has_dropped_its_neighbours() -> None:
    values = np.sin(np.arange(5_000) / 300)
    values[2_500] = NAN

    (line,) = chart("loss", [series(values)]).lines

    assert len(line.polylines) == 2
    assert sum(map(len, points(line))) <= LIMIT


def test_a_value_without_an_epoch_is_not_drawn() -> None:
    (line,) = chart("loss", [series([1, 2, 3, 4, 5], [0, 1, NAN, 3, 4])]).lines

    assert [len(part) for part in points(line)] == [2, 2]


@pytest.mark.parametrize("values", [[], [NAN], [NAN, NAN]])
def test_nothing_to_draw_is_said_in_words(values) -> None:
    drawn = chart("loss", [series(values)])

    assert drawn.lines == ()
    assert drawn.finding == "No value to draw."
    assert ("nothing recorded" if not values else "no finite value") in drawn.alt


def test_one_point_is_a_dot_within_the_drawing() -> None:
    (line,) = chart("loss", [series([0.7], [3.0])]).lines

    assert line.polylines == ()
    assert line.dots == ((RIGHT, round((TOP + BOTTOM) / 2)),)


@pytest.mark.parametrize("value", [0.0, 3.25, -1e-12, 1e29])
def test_a_constant_curve_is_a_level_line(value) -> None:
    ((part,),) = [points(line) for line in chart("loss", [series([value] * 5)]).lines]

    assert len({y for _, y in part}) == 1
    assert TOP < part[0][1] < BOTTOM


def test_a_diverging_run_does_not_flatten_the_others_and_runs_along_the_edge() -> None:
    drawn = chart("loss", [series([5, 4, 3]), series([5, 1e9, NAN], name="Seed 1", style=1)])

    assert points(drawn.lines[0])[0][0][1] < points(drawn.lines[0])[0][2][1] - 1000
    assert points(drawn.lines[1])[0][1][1] == TOP
    assert (
        drawn.finding
        == "From 5.00 to 3.00; 1 of 2 not finite at the end; what lies beyond the axis is drawn at its edge."
    )


def test_if_all_diverge_the_axis_has_what_there_is() -> None:
    low, high = value_range("loss", [series([5, 90, NAN]), series([4, NAN, NAN])])

    assert low < 4
    assert high > 90


def test_the_spread_is_drawn_from_zero_with_its_reference_inside() -> None:
    drawn = chart("z_std", [series([0.05, 0.04])], reference=(0.0884, "1/√D"))

    assert drawn.y_ticks[0] == (BOTTOM, "0.00")
    assert TOP < drawn.reference[0] < BOTTOM
    assert drawn.alt.endswith("1/√D.")


def test_words_tell_every_start_and_end() -> None:
    drawn = chart("loss", [series([4.861, 3.014], [0.2, 4]), series([4.9, NAN, 3.1, NAN], name="Seed 1", style=1)])

    assert drawn.alt == (
        "Training loss over the epochs. Seed 0: from 4.86 at epoch 0.2 to 3.01 at epoch 4. "
        "Seed 1: from 4.90 at epoch 0 to 3.10 at epoch 2, and not finite from there on."
    )
    assert "1 missing between" in chart("loss", [series([1, NAN, 2])]).alt


def test_words_leave_out_the_seeds_behind_a_mean() -> None:
    drawn = chart("loss", [series([1, 2], style="seed"), series([3, 4], name="Mean over 1 seeds", style="mean")])

    assert [line.look for line in drawn.lines] == ["seed", "mean"]
    assert "Seed 0" not in drawn.alt
    assert drawn.finding == "From 3.00 to 4.00."
    assert all(not line.marks for line in drawn.lines)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 4),
        (-1.02, -0.88),
        (0.087, 0.0883),
        (2.95, 4.86),
        (0, 1e-6),
        (-3e7, 2e12),
        (0, 800),
        (-0.0003, 0.0002),
        (1, 1.3),
    ],
)
def test_ticks_are_round_inside_and_say_their_value(low, high) -> None:
    found = ticks(low, high, 5)
    values = [value for value, _ in found]

    assert 3 <= len(found) <= 11
    assert len({text for _, text in found}) == len(found)
    assert all(low - 1e-9 * abs(low) <= value <= high * (1 + 1e-9) for value in values)
    steps = np.diff(values)
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert steps[0] / 10 ** math.floor(math.log10(steps[0] * 1.0001)) == pytest.approx(
        min((1, 2, 2.5, 5), key=lambda nice: abs(nice - steps[0] / 10 ** math.floor(math.log10(steps[0] * 1.0001))))
    )
    for value, text in found:
        assert float(text.replace(MINUS, "-")) == pytest.approx(value, rel=1e-9, abs=1e-9 * steps[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.8578, "4.86"),
        (3.0, "3.00"),
        (-0.98765, f"{MINUS}0.988"),
        (0.0885, "0.0885"),
        (0.0, "0.00"),
        (1250.4, "1250"),
        (123, "123"),
    ],
)
def test_values_have_three_digits(value, text) -> None:
    assert value_text(value) == text


def style_sheet() -> str:
    return (resources.files("reports.page") / "templates" / "runs.css").read_text(encoding="utf-8")


def test_twelve_runs_differ_in_dash_or_mark_without_colour() -> None:
    dashes = {
        name: dash
        for names, dash in re.findall(
            r"^((?:\.run-\d+, )*\.run-\d+) \{ stroke-dasharray: ([^;]+);", style_sheet(), re.MULTILINE
        )
        for name in names.replace(".", "").split(", ")
    }
    seen = {(dashes.get(look(style), "solid"), mark(style)) for style in range(NUM_STYLES)}

    assert len(seen) == NUM_STYLES
    assert look(NUM_STYLES) == look(0)


def _luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("block", "card"), [(0, "#ffffff"), (1, "#1a2028"), (2, "#ffffff")])
def test_lines_have_the_contrast_that_graphics_need(block, card) -> None:
    """3:1, WCAG 1.4.11: on the cards of light, dark and print."""
    colours = re.findall(r"--run-\d+: (#[0-9a-f]{6})", style_sheet())[block * 12 : block * 12 + 12]

    assert len(set(colours)) == NUM_STYLES
    for colour in colours:
        low, high = sorted([_luminance(colour), _luminance(card)])
        assert (high + 0.05) / (low + 0.05) >= 3


def test_the_same_series_give_the_same_chart() -> None:
    def made() -> Chart:
        return chart("loss", [series(np.random.default_rng(3).normal(size=999))])

    assert made() == made()
