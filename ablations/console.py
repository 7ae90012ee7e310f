"""What the command line says, and how it tells a user what is wrong."""

from __future__ import annotations

import codecs
import errno
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.table import Table


class _Console(Console):
    """A console that leaves a closed pipe to the command line: rich would exit with code 1, which is an answer."""

    def on_broken_pipe(self) -> NoReturn:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


# a pipe or a file has no width: tables that fold there are of no use to the next program
out = _Console(width=None if sys.stdout.isatty() else 200)
err = _Console(stderr=True)

_ALIKE = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{PLUS-MINUS SIGN}": "+/-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{MICRO SIGN}": "u",
}
"""What stands for a character that an encoding lacks: a minus sign must not become a question mark."""


def _alike(error: UnicodeError) -> tuple[str, int]:
    """A handler of encoding errors: what looks alike in ASCII, else the character's number behind a backslash."""
    assert isinstance(error, UnicodeEncodeError)
    wrong = error.object[error.start : error.end]
    return "".join(_ALIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in wrong), error.end


codecs.register_error("alike", _alike)


def take_any_text() -> None:
    """Let standard output and error take every text, whatever encoding the locale or PYTHONIOENCODING gives them.

    File names that are no text are taken, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="alike")


@contextmanager
def told() -> Iterator[None]:
    """Tell an error on stderr, without a traceback, and exit with code 2; what is no fault of the input passes.

    Told are errors with ``problems``, those of the operating system that name a file, and a full disk.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        problems = getattr(error, "problems", None) or _problems_of_system(error)
        if problems is None:
            raise
        _refuse(problems)


def _refuse(problems: Sequence[str]) -> NoReturn:
    import typer

    tell(problems)
    raise typer.Exit(2) from None


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Add an error's ``problems`` to others, to be told together with them; other errors pass."""
    try:
        yield
    except ValueError as error:
        if not hasattr(error, "problems"):
            raise
        problems += error.problems


def _problems_of_system(error: Exception) -> list[str] | None:
    """What the operating system refused, and where; None for an error of another kind."""
    if not isinstance(error, OSError):
        return None
    if error.filename is None:
        return [str(error.strerror)] if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    files = [file for file in (error.filename, error.filename2) if file is not None]
    return [f"{' -> '.join(map(str, files))}: {error.strerror}"]


def tell(problems: Sequence[str]) -> None:
    """One problem on one line, several as a list."""
    if len(problems) == 1:
        say(f"error: {problems[0]}", err)
        return
    say(f"error: {len(problems)} problems", err)
    for problem in problems:
        say(f"  - {problem}", err)


def tell_left(reasons: Mapping[str, str]) -> None:
    """Runs that stay as they are, by reason."""
    for reason in dict.fromkeys(reasons.values()):
        runs = [run_id for run_id, why in reasons.items() if why == reason]
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        say(f"left as it is: {runs[0]}{more}: {reason}", err)


def say(text: str, console: Console = out) -> None:
    """Text as it is: no markup, no colours, no line breaks added."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def table(*columns: str) -> Table:
    """A plain table that a terminal shows and a pipe can read."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
