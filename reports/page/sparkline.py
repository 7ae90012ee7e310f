"""Training curves as lines that a template writes: thinned, scaled to a drawing, ticked, and told in words.

A curve of more than ``LIMIT`` points keeps its first and its last, and of every bucket in between, of equally many
points, the lowest and the highest: the min-max aggregation that Jugel et al. (2014), "M4: A Visualization-Oriented
Time Series Data Aggregation", start from. No peak, dip or end is lost, and none is made up; largest-triangle-three-
buckets (Steinarsson 2013) looks smoother and may drop a spike. Where a number is missing, the line is broken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.metrics import number

LIMIT = 200
"""Points of a line, at most."""

LEFT, RIGHT, TOP, BOTTOM = 560, 3540, 90, 1700
"""The edges of the lines' part of a drawing, which has 3600 by 2100 units, so that whole coordinates will do."""

NUM_STYLES = 12
"""Lines that can be told apart without colour: four dashes and six shapes of marks repeat together after twelve."""

_TITLES = {
    "loss": "Training loss",
    "z_std": "Spread of z in training (z_std)",
    "knn_top1": "kNN top-1 (%)",
    "lr": "Learning rate",
}
_FROM_ZERO = ("z_std", "lr")  # where the distance from zero is the message: a collapse, the end of a schedule
_SHAPES = (
    "m-46 0a46 46 0 1 0 92 0a46 46 0 1 0-92 0z",  # circle
    "m-42-42h84v84h-84z",  # square
    "m0-56l52 92h-104z",  # triangle
    "m0-60l60 60l-60 60l-60-60z",  # diamond
    "m-44-44l88 88m0-88l-88 88",  # cross
    "m0-58v116m-58-58h116",  # plus
)
_MARKS_A_LINE = 3
_HUGE = 1e30  # a loss beyond that is as good as infinite, and squares of it would be

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Series:
    """What was recorded of one run, or of the mean over runs: ``epochs`` (n,), rising, and ``values`` (n,).

    ``style``: the number of a run's dash, marks and colour; or ``mean``, thick and solid; or ``seed``, thin, one of
    those behind a mean, which words leave out.
    """

    name: str
    epochs: Floats
    values: Floats
    style: int | Literal["mean", "seed"] = "mean"

    @cached_property
    def there(self) -> Indices:
        """The indices of the values that can be drawn, (m,)."""
        # One sum tells of both: it is missing or too large if one of them is.
        return np.flatnonzero(finite(np.abs(self.values) + np.abs(self.epochs)))

    @cached_property
    def low(self) -> float:
        """The lowest value that can be drawn."""
        return float(self.values[self.there].min())

    @cached_property
    def high(self) -> float:
        """The highest value that can be drawn."""
        return float(self.values[self.there].max())

    @property
    def ends(self) -> bool:
        """Whether there are values, and the last can be drawn."""
        return bool(len(self.there)) and bool(self.there[-1] == len(self.values) - 1)


@dataclass(frozen=True)
class Line:
    """A series in drawing units: ``polylines`` as the attribute ``points`` has them, one per unbroken part.

    ``dots`` are parts of one point alone, ``marks`` the outlines (a path's data) of the shapes along the line.
    ``look`` is the class of its style in ``runs.css``.
    """

    look: str
    polylines: tuple[str, ...]
    dots: tuple[tuple[int, int], ...]
    marks: str


@dataclass(frozen=True)
class Chart:
    """One quantity over the epochs: texts, lines, and places in drawing units.

    ``rules`` and ``axis`` are paths' data: a rule per y tick, the x axis with its ticks. ``alt`` says every line's
    start and end, ``finding`` those of all in a sentence.
    """

    title: str
    lines: tuple[Line, ...]
    rules: str
    axis: str
    x_ticks: tuple[tuple[int, str], ...]
    y_ticks: tuple[tuple[int, str], ...]
    reference: tuple[int, str] | None
    alt: str
    finding: str


def finite(values: Floats) -> NDArray[np.bool_]:
    """Which values (n,) can be drawn, (n,): neither missing nor infinite, nor as good as infinite."""
    return np.asarray(np.abs(values) < _HUGE)


def thin(values: Floats, there: Indices, limit: int = LIMIT) -> Indices:
    """Which of the indices ``there`` (m,) of values (n,) are drawn: at most ``limit``, which is 4 or more; rising."""
    if len(there) <= limit:
        return there
    inner = there[1:-1]
    size = math.ceil(len(inner) / ((limit - 2) // 2))
    num_buckets = math.ceil(len(inner) / size)
    # The last bucket is filled up with its last point: argmin and argmax take the first of equals, which is no copy.
    padded = inner[np.minimum(np.arange(num_buckets * size), len(inner) - 1)].reshape(num_buckets, size)
    rows = np.arange(num_buckets)
    lowest, highest = (padded[rows, find(values[padded], axis=1)] for find in (np.argmin, np.argmax))
    return np.unique(np.concatenate([there[[0, -1]], lowest, highest]))


def chart(
    quantity: str,
    series: Sequence[Series],
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
    limit: int = LIMIT,
) -> Chart:
    """The drawing of ``loss``, ``z_std`` or ``lr``; its ranges are those of the series if none are given.

    Series without a finite value have no line; the words tell of them. What lies beyond a range is drawn at its edge.
    ``reference``: a value to compare with, and what it is.
    """
    title = _TITLES.get(quantity, quantity)
    (x_low, x_high), (y_low, y_high) = (
        x_range or epoch_range(series),
        y_range or value_range(quantity, series, reference),
    )
    x_scale = (RIGHT - LEFT) / (x_high - x_low)
    y_scale = (BOTTOM - TOP) / (y_high - y_low)
    lines = []
    for index, one in enumerate(series):
        kept = thin(one.values, one.there, limit)
        if len(kept):
            places = np.empty((len(kept), 2))
            places[:, 0] = LEFT + (one.epochs[kept] - x_low) * x_scale
            places[:, 1] = BOTTOM - (one.values[kept] - y_low) * y_scale
            if not y_low <= one.low <= one.high <= y_high:
                places[:, 1] = places[:, 1].clip(TOP, BOTTOM)
            lines.append(_line(one, index / len(series), kept, np.rint(places).astype(np.intp)))
    x_ticks = [(round(LEFT + (value - x_low) * x_scale), text) for value, text in ticks(x_low, x_high, 5)]
    y_ticks = [(round(BOTTOM - (value - y_low) * y_scale), text) for value, text in ticks(y_low, y_high, 5)]
    spoken = [one for one in series if one.style != "seed"]
    told = " ".join(f"{one.name}: {_told(one)}." for one in spoken)
    return Chart(
        title=title,
        lines=tuple(lines),
        rules="".join(f"M{LEFT} {at}H{RIGHT}" for at, _ in y_ticks),
        axis=f"M{LEFT} {BOTTOM}H{RIGHT}" + "".join(f"M{at} {BOTTOM}v45" for at, _ in x_ticks),
        x_ticks=tuple(x_ticks),
        y_ticks=tuple(y_ticks),
        reference=reference and (round(BOTTOM - (reference[0] - y_low) * y_scale), reference[1]),
        alt=f"{title} over the epochs. {told}" + (f" {reference[1]}." if reference else ""),
        finding=_finding(spoken, y_low, y_high),
    )


def _line(one: Series, offset: float, kept: Indices, places: NDArray[np.intp]) -> Line:
    """``offset``: where between two marks the first stands, 0 to 1, so that marks of close lines do not cover."""
    parts = [places]
    if len(one.there) < len(one.values):
        missing = np.ones(len(one.values))
        missing[one.there] = 0
        parts = np.split(places, np.flatnonzero(np.diff(missing.cumsum()[kept])) + 1)
    marks = ""
    if isinstance(one.style, int):
        last, shape = len(kept) - 1, mark(one.style)
        at = {last, *(round(last * (place + offset) / _MARKS_A_LINE) for place in range(_MARKS_A_LINE))}
        marks = "".join(f"M{x} {y}{shape}" for x, y in places[sorted(at)].tolist())
    return Line(
        look(one.style),
        tuple(_points(part) for part in parts if len(part) > 1),
        tuple((int(part[0, 0]), int(part[0, 1])) for part in parts if len(part) == 1),
        marks,
    )


def _points(places: NDArray[np.intp]) -> str:
    return _pairs(len(places)) % tuple(places.ravel().tolist())


@cache
def _pairs(count: int) -> str:
    """One formatting for all numbers of a line, which takes half the time of one for each point."""
    return " ".join(["%d,%d"] * count)


def look(style: int | str) -> str:
    """The class of a style, as ``runs.css`` has it."""
    return f"run-{style % NUM_STYLES}" if isinstance(style, int) else str(style)


def mark(style: int) -> str:
    """The outline of a style's marks, as a path's data from its middle on."""
    return _SHAPES[(style + style // NUM_STYLES) % len(_SHAPES)]  # beyond 12, with the classes anew, others


def epoch_range(series: Sequence[Series]) -> tuple[float, float]:
    """From 0 to the last epoch that has a value."""
    last = max((float(one.epochs[one.there[-1]]) for one in series if len(one.there)), default=0.0)
    return 0.0, last if last > 0 else 1.0


def value_range(
    quantity: str, series: Sequence[Series], reference: tuple[float, str] | None = None
) -> tuple[float, float]:
    """The finite values and some room: of the series that end in one, lest a diverging loss flattens the others.

    Of all of them, if none does. The spread and the learning rate are drawn from zero.
    """
    seen = [one for one in series if one.ends] or [one for one in series if len(one.there)]
    ends = [reference[0]] if reference else []
    low = min([*ends, *(one.low for one in seen)], default=0.0)
    high = max([*ends, *(one.high for one in seen)], default=1.0)
    if quantity in _FROM_ZERO and low >= 0:
        return 0.0, 1.08 * high or 1.0
    # What is constant but for rounding is drawn as constant.
    room = 0.05 * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else 0.1 * (abs(high) or 1.0)
    return low - room, high + room


def ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Round values from ``low`` to ``high``, about ``count``, each with its text."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    values = [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e5 or 0 < largest < 1e-4:
        return [(value, f"{value:.3g}".replace("-", "−")) for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    decimals += round(step, decimals) != round(step, decimals + 1)
    return [(value, number(value, decimals)) for value in values]


def _told(one: Series) -> str:
    there = one.there
    if not len(there):
        return "no finite value" if len(one.values) else "nothing recorded"
    ends = [f"{value_text(float(one.values[at]))} at epoch {float(one.epochs[at]):.3g}" for at in (there[0], there[-1])]
    text = f"from {ends[0]} to {ends[1]}"
    if not one.ends:
        return f"{text}, and not finite from there on"
    return text if len(there) == len(one.values) else f"{text}, {len(one.values) - len(there)} missing between"


def _finding(series: Sequence[Series], low: float, high: float) -> str:
    seen = [one for one in series if len(one.there)]
    if not seen:
        return "No value to draw."
    text = f"From {_span([float(one.values[one.there[0]]) for one in seen])}"
    text += f" to {_span(last)}" if (last := [float(one.values[-1]) for one in seen if one.ends]) else ""
    if broken := sum(not one.ends for one in series):
        text += f"; {broken} of {len(series)} not finite at the end"
    if any(one.low < low or one.high > high for one in seen):
        text += "; what lies beyond the axis is drawn at its edge"
    return f"{text}."


def _span(values: Sequence[float]) -> str:
    low, high = value_text(min(values)), value_text(max(values))
    return low if low == high else f"{low} … {high}"


def value_text(value: float) -> str:
    """A value for reading, to three significant digits or to whole ones: ``4.86``, ``0.0885``, ``1250``."""
    return (f"{value:.0f}" if 99.95 <= abs(value) < 1e6 else f"{value:#.3g}").replace("-", "−")
