"""The numbers behind the figures, as tables: tidy for CSV, one row per cell for LaTeX and the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from formats.levels import level_text
from reports.claims.evidence import cell_name
from reports.claims.stats import summarise
from reports.claims.verdicts import Verdict
from reports.inputs import GridResult
from reports.metrics import number, quantity


def cell_table(result: GridResult) -> pd.DataFrame:
    """One row per cell (references last) and metric.

    Columns: label, role, the axes, metric, mean, half_width, low, high (95 % over seeds), n, planned (runs asked for),
    paper_value, paper_std, paper_reading_error.
    """
    keys = ["label", "role", *result.axes, "metric"]
    table = summarise(result.frame, keys)
    planned = result.frame.groupby(keys, sort=False)["run_id"].nunique().rename("planned").reset_index()
    paper = result.paper_cells.rename(columns={name: f"paper_{name}" for name in ("value", "std", "reading_error")})
    return table.merge(planned, on=keys).merge(paper, how="left", on=[*result.axes, "metric"])


def mean_text(mean: float, half_width: float, decimals: int, *, reading_error: float = math.nan) -> str:
    """``36.4 ± 0.7``; without an interval the mean alone, without a mean a dash, with a reading error ``≈36.4``."""
    text = number(mean, decimals, reading_error=reading_error)
    return text if math.isnan(mean) or math.isnan(half_width) else f"{text} ± {number(half_width, decimals)}"


def wide_rows(result: GridResult) -> tuple[list[str], list[list[str]]]:
    """(header, rows) for reading: cell, n, the grid's metric, the paper's values of it, and the other metrics.

    ``z_std`` is left out: ``z_std_ratio`` says the same free of the output dimension.
    """
    table = cell_table(result)
    shown = quantity(result.metric)
    others = [metric for metric in result.metrics if metric not in (result.metric, "z_std")]
    header = ["cell", "n", _with_unit(result.metric), "the paper", *(_with_unit(metric) for metric in others)]
    rows = []
    for _, cell in table.groupby(["label", "role"], sort=False):
        by_metric = {row["metric"]: row for row in cell.to_dict("records")}
        main = by_metric[result.metric]
        name = str(main["label"])
        if main["role"] == "cell":
            name = cell_name({axis: str(main[axis]) for axis in result.axes})
        seeds = f"{main['n']}" if main["n"] == main["planned"] else f"{main['n']} of {main['planned']}"
        values = [
            mean_text(by_metric[metric]["mean"], by_metric[metric]["half_width"], quantity(metric).decimals)
            for metric in (result.metric, *others)
        ]
        error = main["paper_reading_error"]
        paper = mean_text(main["paper_value"], main["paper_std"], shown.decimals, reading_error=error)
        rows.append([name, seeds, values[0], paper, *values[1:]])
    return header, rows


def _with_unit(metric: str) -> str:
    shown = quantity(metric)
    return f"{shown.label} ({shown.unit})" if shown.unit else shown.label


_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "±": r"$\pm$", "−": r"$-$", "–": "--", "→": r"$\rightarrow$", "×": r"$\times$",
    "√": r"$\surd$", "≈": r"$\approx$",
}  # fmt: skip


def tex_text(text: str) -> str:
    """A text as LaTeX prints it, special characters escaped."""
    return "".join(_TEX.get(sign, sign) for sign in text)


def latex(result: GridResult, caption: str) -> str:
    """A booktabs table of ``wide_rows``."""
    header, rows = wide_rows(result)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{tex_text(caption)}}}",
        f"  \\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        "    \\toprule",
        f"    {_tex_row(header)}",
        "    \\midrule",
        *(f"    {_tex_row(row)}" for row in rows),
        "    \\bottomrule",
        "  \\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(tex_text(cell) for cell in cells) + r" \\"


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV, numbers in full."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def comparison_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Every comparison behind the verdicts: claim, metric, comparison, estimate, low, high, margin, n."""
    columns = ["claim", "metric", "comparison", "estimate", "low", "high", "margin", "n"]
    made = [verdict.comparisons.assign(claim=verdict.id) for verdict in verdicts if len(verdict.comparisons)]
    return pd.concat(made)[columns] if made else pd.DataFrame(columns=columns)


def tuned_rows(result: GridResult) -> list[tuple[str, dict[str, str], str]]:
    """(arm, chosen level by tuned axis, every combination of levels with its value); nothing where nothing is tuned.

    The level is a dash where the arm has no choice on that axis.
    """
    tuning = result.spec.get("tuning")
    if not tuning:
        return []
    decimals = quantity(tuning["metric"]).decimals
    return [
        (
            cell_name({axis: level_text(level) for axis, level in arm["levels"].items()}),
            dict.fromkeys(tuning["axes"], number(math.nan, 0))
            | {axis: "not yet" for each in arm["values"] for axis in each["levels"]}
            | {axis: level_text(level) for axis, level in (arm["chosen"] or {}).items()},
            "; ".join(
                f"{', '.join(map(level_text, each['levels'].values()))}: "
                f"{number(math.nan if each['value'] is None else each['value'], decimals)}"
                for each in arm["values"]
            )
            or "nothing to choose from",
        )
        for arm in tuning["arms"]
    ]


def verdict_table(verdicts: Sequence[Verdict], edited: Mapping[str, str]) -> pd.DataFrame:
    """One row a claim: what was decided, from what, how it fares on the paper's numbers, and later edits."""
    return pd.DataFrame(
        [
            {
                "claim": verdict.id,
                "verdict": verdict.verdict,
                "paper_trial": verdict.trial.words,
                "metric": verdict.metric,
                "estimate": verdict.estimate,
                "low": verdict.low,
                "high": verdict.high,
                "margin": verdict.margin,
                "n": verdict.n,
                "p_supported": verdict.p_supported,
                "p_contradicted": verdict.p_contradicted,
                "p_adjusted": verdict.adjusted,
                "further_seeds": verdict.further_seeds,
                "outlook": verdict.outlook,
                "paper_estimate": verdict.trial.estimate,
                "paper_low": verdict.trial.low,
                "paper_high": verdict.trial.high,
                "edited": edited.get(verdict.id, ""),
            }
            for verdict in verdicts
        ]
    )
