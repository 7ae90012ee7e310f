"""The command ``ablate``: which function each command is. Anything heavy is imported inside the one that needs it."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from ablations.commands import figures, jobs, results, running, status, submit
from ablations.console import take_any_text, told


class Commands(TyperGroup):
    """Exit codes: 0 and 1 are answers, 2 is for input that is wrong and for what went wrong, 141 for a closed pipe."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; the errors that it does not tell itself are told as others are."""
        take_any_text()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """The same, with the arguments read."""
        try:
            with told():
                return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
            raise typer.Exit(141) from None  # as a shell says of programs that SIGPIPE ends

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As a program: a bug ends with its traceback and code 2, as Python's own code, 1, is an answer of ``diff``."""
        try:
            return self.main(*args, **kwargs)
        except Exception:  # noqa: BLE001 - a bug can be of any kind
            traceback.print_exc()
            sys.exit(2)


app = typer.Typer(
    cls=Commands,
    help="Ablation studies of SimCLR and SimSiam: a grid file becomes runs, and runs become a report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("list")(running.list_grids)
app.command("plan")(running.plan_runs)
app.command("run")(running.run)
app.command("submit")(submit.submit)
app.command("status")(status.status)
app.command("logs")(jobs.logs)
app.command("retry")(jobs.retry)
app.command("cancel")(jobs.cancel)
app.command("prune")(jobs.prune)
app.command("show")(results.show)
app.command("export")(results.export)
app.command("evaluate-checkpoint")(results.evaluate_checkpoint)
app.command("collect")(results.collect_results)
app.command("report")(results.report)
app.command("figure")(figures.figure)
app.command("diff")(figures.diff)
