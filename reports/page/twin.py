"""The JSON twin of a grid's page: all that the page says, in full precision and a fixed order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.characters import showable
from reports.page.card import Card
from reports.page.numbers import cell_remarks
from reports.page.section import Section
from reports.page.tables import cell_table, comparison_table

SCHEMA_VERSION = 1


def twin(section: Section, card: Card, files: Sequence[str]) -> bytes:
    """The content of ``grids/<slug>.json``; missing numbers are null, paths are relative to it."""
    spec, result = section.spec, section.result
    content = {
        "schema_version": SCHEMA_VERSION,
        "grid": result.name,
        "scale": result.scale,
        **{key: spec[key] for key in ("title", "question", "note", "paper", "recipe", "axes", "seeds", "metric")},
        "datasets": result.datasets,
        "trained": section.trained,
        "num_labels": section.labels,
        "headline": section.headline,
        "finding": section.finding,
        "deviations": spec["deviations"],
        "claims_record": section.record,
        "claims": [_claim(section, index) for index in range(len(section.verdicts))],
        "comparisons": comparison_table(section.verdicts).to_dict("records"),
        "cells": _cells(section),
        "references_not_beaten": [
            {
                "label": each.label,
                "mean": each.mean,
                "half_width": each.half_width,
                "n": each.n,
                "cells": each.not_beaten,
            }
            for each in section.untrained
        ],
        "tuned": [{"arm": arm, "chosen": chosen, "levels": levels} for arm, chosen, levels in section.tuned],
        "progress": {"words": card.progress, "cells": card.cells, "runs": dict(section.run_states)},
        "cost": section.cost,
        "files": [f"../{name}" for name in files],
    }
    return (showable(json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)) + "\n").encode()


def plain(value: Any) -> Any:
    """The value as JSON has it: no NaN, no infinity, nothing of NumPy's."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if not isinstance(number, float) or math.isfinite(number) else None


def _claim(section: Section, index: int) -> dict[str, Any]:
    verdict = section.verdicts[index]
    trial = verdict.trial
    numbers = ("estimate", "low", "high", "margin", "n", "p_supported", "p_contradicted", "adjusted", "further_seeds")
    return {
        **{key: getattr(verdict, key) for key in ("id", "says", "locus", "verdict", "metric", "unit", "comparison")},
        **{key: getattr(verdict, key) for key in numbers},
        "wants": "below the margin" if verdict.wants_below else "above the margin",
        "detail": verdict.detail,
        "outlook": verdict.outlook,
        "edited": section.edited.get(verdict.id),
        "look": verdict.look,
        "paper": {key: getattr(trial, key) for key in ("words", "estimate", "low", "high", "comparison", "detail")},
    }


def _cells(section: Section) -> list[dict[str, Any]]:
    result = section.result
    table = cell_table(result)
    summaries: dict[str, dict[str, Any]] = {}
    for row in table.to_dict("records"):
        keys = ("mean", "half_width", "low", "high", "n", "planned", "paper_value", "paper_std", "paper_reading_error")
        difference = row["mean"] - row["paper_value"]
        summary = {**{key: row[key] for key in keys}, "difference": difference}
        summaries.setdefault(str(row["label"]), {})[str(row["metric"])] = summary
    values: dict[str, dict[str, float]] = {}
    for run_id, metric, value in result.frame[["run_id", "metric", "value"]].itertuples(index=False):
        values.setdefault(run_id, {})[metric] = value
    remarks = cell_remarks(section.spec["cells"])
    return [
        {
            **{key: cell[key] for key in ("cell_id", "role", "label", "levels")},
            "page": f"../runs/{section.slug}/{cell['cell_id']}.html",
            "remarks": [words for _, words in remarks[str(cell["cell_id"])]],
            "metrics": summaries[str(cell["label"])],
            "runs": [
                {
                    **{key: run[key] for key in ("run_id", "seed", "state", "outcome", "command")},
                    "page": f"../runs/{section.slug}/{cell['cell_id']}.html#{run['run_id']}",
                    "values": values.get(run["run_id"], {}),
                }
                for run in cell["runs"]
            ],
        }
        for cell in section.spec["cells"]
    ]
