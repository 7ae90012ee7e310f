"""Draws which room imports which, from the code and the layers in pyproject.toml: ``nox -s imports_picture``.

A room is a sub-package of one of the three packages, or a module beside them. The picture leaves out an arrow where a
longer way along arrows of the package leads to the same room; the picture's description lists every import.
"""

from __future__ import annotations

import functools
import itertools
import random
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import grimp
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Line

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "imports.svg"

COLUMNS = {  # package -> title, colour of its rooms, of their edges; from left to right
    "reports": ("the reporter", "#fdf0dc", "#b5761b"),
    "ablations": ("the harness", "#e4eef8", "#2f6ea8"),
    "simclr_core": ("the trainer", "#e5f3e8", "#2f7d4a"),
}
INK, PALE, BETWEEN = "#30343b", "#8a9099", "#a3283c"
WIDTH, MARGIN, COLUMN, GUTTER, ROW, BOX = 700, 4, 202, 43, 43, 22  # pixels
TOP, BOTTOM = 46, 30  # above and below the rows
MOST_IN_A_ROW = 3
NUM_STARTS = 12

Edges = dict[str, set[str]]
Point = tuple[float, float]


@dataclass
class Imports:
    """The imports between rooms."""

    rooms: Edges = field(default_factory=lambda: defaultdict(set))  # room -> rooms that it imports
    modules: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))  # what of a room

    def pairs(self) -> list[tuple[str, str]]:
        """(room, room that it imports), sorted."""
        return sorted((room, other) for room, others in self.rooms.items() for other in others)

    def lines(self) -> list[str]:
        """``room -> room`` for every import."""
        return [f"{room} -> {other}" for room, other in self.pairs()]


def imports_of_the_code() -> Imports:
    """Read every import of the three packages; a package's own ``__init__`` is no room."""
    graph = grimp.build_graph(*COLUMNS, exclude_type_checking_imports=True, cache_dir=None)
    found = Imports()
    for module in sorted(graph.modules):
        if "." not in module:
            continue
        found.rooms[room_of(module)] |= set()
        for imported in graph.find_modules_directly_imported_by(module):
            if "." in imported and room_of(imported) != room_of(module):
                found.rooms[room_of(module)].add(room_of(imported))
                found.modules[room_of(module), room_of(imported)].add(imported)
    return found


def room_of(module: str) -> str:
    """``simclr_core.config.schema`` -> ``simclr_core.config``."""
    return ".".join(module.split(".")[:2])


def layers_of(package: str) -> list[list[str]]:
    """The rooms of a package, layer by layer from the top, as the contract in pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (each for each in settings["contracts"] if each.get("containers") == [package])
    return [[f"{package}.{name.strip()}" for name in layer.split("|")] for layer in contract["layers"]]


def without_implied(edges: Edges) -> Edges:
    """The same rooms, without an arrow whose end a longer way reaches; ``edges`` has no circle."""

    def reached(room: str) -> set[str]:
        return edges[room].union(*(reached(below) for below in edges[room]))

    return {room: below - set().union(*(reached(other) for other in below)) for room, below in edges.items()}


@dataclass
class Column:
    """A package: its rooms, and for each arrow the points that it passes, in pixels."""

    layers: list[int]  # rows of each layer
    centres: dict[str, Point]
    ways: dict[tuple[str, str], list[Point]]


def arranged(package: str, edges: Edges, first: set[str], left: float, height: float) -> Column:
    """Rooms in rows by layer; an arrow that passes a row has a place of its own in it, so that it crosses no room.

    ``first`` are the rooms that arrows between columns begin or end at: in their rows they are nearest to the gutter.
    """
    layers = [in_rows(layer) for layer in layers_of(package)]
    rows = [row for layer in layers for row in layer]
    row_of = {room: number for number, row in enumerate(rows) for room in row}
    chains: dict[tuple[str, str], list[str]] = {}
    below: Edges = defaultdict(set)
    for room, other in sorted((room, other) for room, others in edges.items() for other in others):
        passed = [f"{room}>{other}@{number}" for number in range(row_of[room] + 1, row_of[other])]
        for number, place in enumerate(passed, row_of[room] + 1):
            rows[number].append(place)
        chains[room, other] = [room, *passed, other]
        for one, following in itertools.pairwise(chains[room, other]):
            below[one].add(following)

    outside = dict.fromkeys(first, left + COLUMN if package == next(iter(COLUMNS)) else left)
    rows = fewest_crossings(rows, below, left, outside)
    heights = [height - TOP - (number + 0.5) * (height - TOP - BOTTOM) / len(rows) for number in range(len(rows))]
    centres = {
        place: (x, y) for row, y in zip(rows, heights, strict=True) for place, x in across(tuple(row), left).items()
    }
    ways = {edge: [centres[place] for place in chain] for edge, chain in chains.items()}
    return Column([len(layer) for layer in layers], {room: centres[room] for room in row_of}, ways)


def fewest_crossings(rows: list[list[str]], below: Edges, left: float, outside: dict[str, float]) -> list[list[str]]:
    """Reorder row after row as long as arrows cross less, or are shorter; ``outside``: rooms -> their gutter."""

    def score(rows: list[list[str]]) -> float:
        x = {place: at for row in rows for place, at in across(tuple(row), left).items()}
        total = 0.0
        for row in rows:
            arrows = [(x[place], x[other]) for place in row for other in sorted(below[place])]
            pairs = itertools.combinations(arrows, 2)
            total += 400 * sum((one[0] - two[0]) * (one[1] - two[1]) < 0 for one, two in pairs)
            total += sum(abs(start - end) for start, end in arrows)
            total += sum(8 * abs(x[place] - outside[place]) for place in row if place in outside)
        return total

    def improved(rows: list[list[str]]) -> list[list[str]]:
        before = None
        while rows != before:
            before = rows
            for number in range(len(rows)):
                orders = itertools.permutations(sorted(rows[number]))
                rows = min(([*rows[:number], list(order), *rows[number + 1 :]] for order in orders), key=score)
        return rows

    shuffle = random.Random(0)  # noqa: S311 - several starts, always the same
    starts = [[shuffle.sample(row, len(row)) for row in rows] for _ in range(NUM_STARTS)]
    return min((improved(start) for start in starts), key=score)


@functools.cache
def across(row: tuple[str, ...], left: float) -> dict[str, float]:
    """The middle of each place in a row of a column, with equal gaps."""
    widths = [8.0 if "@" in place else box_width(place.partition(".")[2]) for place in row]
    gap = (COLUMN - sum(widths)) / (len(row) + 1)
    ends = itertools.accumulate(width + gap for width in widths)
    return {place: left + end - width / 2 for place, width, end in zip(row, widths, ends, strict=True)}


def in_rows(layer: list[str]) -> list[list[str]]:
    """A layer of many rooms takes several rows."""
    num_rows = -(-len(layer) // MOST_IN_A_ROW)
    size = -(-len(layer) // num_rows)
    return [layer[start : start + size] for start in range(0, len(layer), size)]


def draw(imports: Imports) -> Figure:
    """A column for each package; arrows between columns start at the one room that imports, or at the frame."""
    crossing = [(one, two) for one, two in imports.pairs() if package_of(one) != package_of(two)]
    height = TOP + BOTTOM + ROW * max(sum(len(in_rows(layer)) for layer in layers_of(name)) for name in COLUMNS)
    figure = Figure(figsize=(WIDTH / 96, height / 96), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    columns = {}
    first = {two for _, two in crossing}
    first |= {lone for one, two in crossing if (lone := lone_importer(imports, package_of(one), package_of(two)))}
    for number, package in enumerate(COLUMNS):
        left = MARGIN + number * (COLUMN + GUTTER)
        edges = {
            room: {other for other in others if package_of(other) == package}
            for room, others in imports.rooms.items()
            if package_of(room) == package
        }
        columns[package] = arranged(package, without_implied(edges), first, left, height)
        _draw_column(axes, package, columns[package], left, height)
    for package, two in sorted({(package_of(one), two) for one, two in crossing}):
        _draw_crossing(axes, columns, imports, package, two)
    note = "An arrow is left out where a longer way along arrows leads to the same room."
    axes.text(MARGIN, 9, note, size=6.8, color=PALE)
    axes.text(WIDTH - MARGIN, 9, "red: imports between packages", size=6.8, color=BETWEEN, ha="right")
    return figure


def _draw_column(axes: Axes, package: str, column: Column, left: float, height: float) -> None:
    title, fill, line = COLUMNS[package]
    axes.text(left + COLUMN / 2, height - 16, f"{package}/", size=10.5, weight="bold", color=line, ha="center")
    axes.text(left + COLUMN / 2, height - 31, title, size=8, color=PALE, ha="center")
    frame = {"boxstyle": "round,pad=0,rounding_size=7", "facecolor": "none", "edgecolor": line, "linewidth": 1.1}
    axes.add_patch(FancyBboxPatch((left, BOTTOM), COLUMN, height - TOP - BOTTOM, **frame))
    row = (height - TOP - BOTTOM) / sum(column.layers)
    for number in range(0, len(column.layers), 2):  # every other layer is shaded
        y = height - TOP - sum(column.layers[: number + 1]) * row
        shade = {"facecolor": fill, "alpha": 0.42, "linewidth": 0, "zorder": 0}
        box = "round,pad=0,rounding_size=6"
        axes.add_patch(
            FancyBboxPatch((left + 1, y + 1), COLUMN - 2, column.layers[number] * row - 2, boxstyle=box, **shade)
        )
    for (room, other), points in column.ways.items():
        _draw_arrow(axes, f"{room}--{other}", smooth(points), line, zorder=2)
    for room, (x, y) in column.centres.items():
        name = room.partition(".")[2]
        width = box_width(name)
        look = {"boxstyle": "round,pad=0,rounding_size=4", "facecolor": fill, "edgecolor": line, "linewidth": 0.9}
        axes.add_patch(FancyBboxPatch((x - width / 2, y - BOX / 2), width, BOX, gid=room, zorder=3, **look))
        axes.text(x, y, name, size=8.2, color=INK, ha="center", va="center", zorder=4)


def _draw_crossing(axes: Axes, columns: dict[str, Column], imports: Imports, package: str, two: str) -> None:
    """The arrow of all rooms of a package that import a room of another; named where they import one module of it."""
    names = list(COLUMNS)
    side = 1 if names.index(package) < names.index(package_of(two)) else -1
    x, y = columns[package_of(two)].centres[two]
    end = (x - side * box_width(two.partition(".")[2]) / 2, y)
    start = (MARGIN + names.index(package) * (COLUMN + GUTTER) + (COLUMN if side == 1 else 0), y)
    lone = lone_importer(imports, package, package_of(two))
    if lone:
        x, y = columns[package].centres[lone]
        start = (x + side * box_width(lone.partition(".")[2]) / 2, y)
    _draw_arrow(axes, f"{package}--{two}", Line([start, end]), BETWEEN, zorder=5)
    modules = set().union(
        *(found for (one, other), found in imports.modules.items() if (package_of(one), other) == (package, two))
    )
    if not lone and len(modules) == 1 and modules != {two}:
        name = modules.pop().rpartition(".")[2]
        axes.text(start[0] + 3, start[1] + 3.5, name, size=6.3, color=BETWEEN, style="italic", zorder=6)


def lone_importer(imports: Imports, package: str, other: str) -> str | None:
    """The room of a package that alone imports from the other package; None where several do."""
    rooms = {one for one, two in imports.pairs() if package_of(one) == package and package_of(two) == other}
    return rooms.pop() if len(rooms) == 1 else None


def _draw_arrow(axes: Axes, gid: str, line: Line, color: str, zorder: int) -> None:
    look = {"arrowstyle": "-|>,head_length=3.4,head_width=1.7", "color": color, "linewidth": 1.0}
    axes.add_patch(FancyArrowPatch(path=line, shrinkA=0, shrinkB=0, zorder=zorder, gid=gid, **look))


def smooth(points: list[Point]) -> Line:
    """From the lower edge of a box to the upper edge of another, upright in every row that it passes."""
    (x, y), *between, (u, v) = points
    corners = [(x, y - BOX / 2), *between, (u, v + BOX / 2)]
    line = corners[:1]
    for (x, y), (u, v) in itertools.pairwise(corners):
        line += [(x, (y + v) / 2), (u, (y + v) / 2), (u, v)]
    return Line(line, [Line.MOVETO, *[Line.CURVE4] * (len(line) - 1)])


def box_width(name: str) -> float:
    """Pixels."""
    return 17 + 5.8 * len(name)


def package_of(room: str) -> str:
    """The package that a room is in."""
    return room.partition(".")[0]


def main(path: Path = PICTURE) -> None:
    """Write the picture: the same imports give the same bytes with the same matplotlib."""
    imports = imports_of_the_code()
    what = {"Title": "Imports between the rooms", "Description": "\n".join(imports.lines()), "Date": None}
    with mpl.rc_context({"svg.hashsalt": "simclr-ablations", "svg.fonttype": "path", "font.family": "DejaVu Sans"}):
        draw(imports).savefig(path, metadata=what if path.suffix == ".svg" else None, dpi=192)
    sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
