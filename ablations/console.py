"""What the command line says, and how it tells a user what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.table import Table

# a pipe or a file has no width: tables that fold there are of no use to the next program
out = Console(width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True)


@contextmanager
def told() -> Iterator[None]:
    """Tell an error with ``problems`` on stderr, without a traceback, and exit with code 2; others pass.

    So is a file or folder that this user may not read or write.
    """
    try:
        yield
    except PermissionError as error:
        _refuse([f"{error.filename}: {error.strerror}"])
    except ValueError as error:
        problems = getattr(error, "problems", None)
        if problems is None:
            raise
        _refuse(problems)


def _refuse(problems: Sequence[str]) -> NoReturn:
    import typer

    tell(problems)
    raise typer.Exit(2) from None


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
