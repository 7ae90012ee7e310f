"""The curves that a training writes: metrics.jsonl, timing.jsonl and, on request, TensorBoard scalars."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from simclr_core.config.options import ConfigError
from simclr_core.records import append_jsonl, write_text

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"


class Curves:
    """Writes the curves of a run directory from a step on; later lines, and a damaged last line, are removed.

    metrics.jsonl holds functions of the run alone; timing.jsonl holds what depends on the machine.
    """

    def __init__(self, run_dir: Path, step: int, *, tensorboard: bool) -> None:
        self._run_dir = run_dir
        for name in (METRICS, TIMING):
            _cut(run_dir / name, step)
        self._writer = _tensorboard_writer(run_dir, step) if tensorboard else None

    def add(self, metrics: dict[str, Any], images_per_s: float) -> None:
        """Append one line to each file; ``metrics`` contains ``step``."""
        step = metrics["step"]
        append_jsonl(self._run_dir / METRICS, metrics)
        timing = {"step": step, "time": time.time(), "images_per_s": images_per_s, "host": socket.gethostname()}
        append_jsonl(self._run_dir / TIMING, timing)
        if self._writer is not None:
            for name in ("loss", "lr", "z_std", "knn_top1"):
                if metrics.get(name) is not None:
                    self._writer.add_scalar(name, metrics[name], step)
            self._writer.add_scalar("images_per_s", images_per_s, step)
            self._writer.flush()


def late_mean(run_dir: Path, name: str, num_lines: int = 5) -> float | None:
    """Return the mean of a logged value over the last lines of metrics.jsonl; None if no line has the value.

    A single batch is a small sample: contrastive accuracy over 256 candidates has a standard error of 3 points.
    """
    path = run_dir / METRICS
    lines = path.read_text(encoding="utf-8").splitlines()[-num_lines:] if path.exists() else []
    values = [content[name] for line in lines if name in (content := json.loads(line))]
    return sum(values) / len(values) if values else None


def _cut(path: Path, step: int) -> None:
    if not step:
        path.unlink(missing_ok=True)
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []:
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    write_text(path, "".join(kept))


def _tensorboard_writer(run_dir: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError(
            ["runtime.tensorboard = true: needs the package tensorboard (pip install simclr-ablations[tensorboard])"]
        ) from None
    return SummaryWriter(run_dir / "tensorboard", purge_step=step + 1)
