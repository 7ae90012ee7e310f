"""The command ``ablate``: which function each command is. Anything heavy is imported inside the one that needs it."""

from __future__ import annotations

import typer

from ablations.commands import figuring, operating, results, running, state, submitting

app = typer.Typer(
    help="Ablation studies of SimCLR and SimSiam: a grid file becomes runs, and runs become a report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("list")(running.list_grids)
app.command("plan")(running.plan_runs)
app.command("run")(running.run)
app.command("submit")(submitting.submit)
app.command("status")(state.status)
app.command("logs")(operating.logs)
app.command("retry")(operating.retry)
app.command("cancel")(operating.cancel)
app.command("prune")(operating.prune)
app.command("show")(results.show)
app.command("export")(results.export)
app.command("evaluate-checkpoint")(results.evaluate_checkpoint)
app.command("collect")(results.collect_results)
app.command("report")(results.report)
app.command("figure")(figuring.figure)
app.command("diff")(figuring.diff)
