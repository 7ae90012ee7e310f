"""How a page is made of a template: filters, the one style sheet, its scripts, and a policy that allows no other."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from formats.levels import level_text
from reports.characters import showable
from reports.claims.verdicts import Verdict
from reports.metrics import headed, number, quantity
from reports.page.section import id_prefix
from reports.page.tables import mean_text

_STYLES = ("style.css", "runs.css")


def page(template: str, scripts: Sequence[str] = (), *, fonts: str = "", **context: Any) -> str:
    """A page of the site, whole: the template, which extends ``base.html``, with everything that it needs inlined.

    ``scripts``: files of ``reports/templates`` that run at the end of the body, in this order; the page's
    Content-Security-Policy allows them by their hash, and nothing from outside. ``fonts``: @font-face rules for the
    text of inlined figures. The same arguments give the same text.
    """
    script = "".join(_file(name) for name in scripts)
    policy = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data: 'self'", "font-src data:"]
    if script:
        policy.insert(1, f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'")
    style = "".join(_file(name) for name in _STYLES) + fonts
    inlined = {"style": _raw(style, "style"), "script": _raw(script, "script")}
    return showable(environment().get_template(template).render(policy="; ".join(policy), **inlined, **context))


@cache
def _file(name: str) -> str:
    found = resources.files("reports.page") / "templates" / name
    return found.read_text(encoding="utf-8")


def _raw(text: str, element: str) -> Markup:
    """Our own style or script as the content of its element, which it must not end."""
    assert f"</{element}" not in text.lower()
    return Markup(text)  # noqa: S704 - files of this package


@cache
def environment() -> jinja2.Environment:
    """The templates with their filters; everything that they print is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": number,
        "quantity": quantity,
        "interval": interval,
        "band": band,
        "p_value": p_value,
        "mean_text": mean_text,
        "css_class": lambda verdict: verdict.replace(" ", "-"),
        "duration": duration,
        "id_prefix": id_prefix,
        "setting": setting,
        "capfirst": headed,
        "sentence": lambda text: headed(text) + ("" if text.endswith(".") else "."),
    }
    return made


def interval(verdict: Verdict) -> str:
    """``[+1.2, +3.4]``: the interval of a verdict's estimate; one seed gives none."""
    if verdict.n < 2:
        return "[no interval from one seed]"
    decimals, sign = verdict.decimals, verdict.signed
    return f"[{number(verdict.low, decimals, sign=sign)}, {number(verdict.high, decimals, sign=sign)}]"


def band(verdict: Verdict) -> str:
    """The band of seed noise and reading error around the paper's estimate; empty where the noise is not known."""
    low, high = verdict.trial.low, verdict.trial.high
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    low_text, high_text = (number(bound, verdict.decimals, sign=verdict.signed) for bound in (low, high))
    return f"[{low_text}, {high_text}]"


def p_value(value: float) -> str:
    """A p-value for reading."""
    return "< 0.001" if value < 0.001 else number(value, 3)


def duration(seconds: float | None) -> str:
    """Core-seconds in a unit that a person would choose."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} core-seconds"
    return f"{seconds / 60:.0f} core-minutes" if seconds < 7200 else f"{seconds / 3600:,.1f} core-hours"


def setting(value: object, key: str) -> str:
    """A value of the configuration; a dash where that side does not have the setting."""
    if value is None:
        return "–"
    if value == 0 and key.rpartition(".")[2] in ("train_images", "num_labels"):
        return "all"
    return ", ".join(map(str, value)) if isinstance(value, list) else level_text(value)
