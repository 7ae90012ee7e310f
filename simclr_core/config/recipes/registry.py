"""The recipes by method, scale and variant, and by name."""

from __future__ import annotations

from collections.abc import Callable

from formats.names import nearest
from simclr_core.config.options import ConfigError
from simclr_core.config.schema import RunConfig

Build = Callable[[], RunConfig]

RECIPES: dict[str, Build] = {}
"""By name, in the order in which they were registered."""

BY_METHOD: dict[str, dict[str, str]] = {}
"""Method -> scale -> name of the paper's recipe, which grids start from."""


def register(method: str, scale: str, variant: str = "") -> Callable[[Build], Build]:
    """Make a function the recipe of a method at a scale, or a variant of that recipe."""

    def named(build: Build) -> Build:
        name = "_".join(filter(None, (method, scale, variant)))
        assert name not in RECIPES, f"two recipes are called {name}"
        RECIPES[name] = build
        if not variant:
            BY_METHOD.setdefault(method, {})[scale] = name
        return build

    return named


def recipe(name: str) -> RunConfig:
    """A fresh configuration; raises ConfigError with the nearest names for one that does not exist."""
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise ConfigError([f"recipe = {name!r}: no such recipe{nearest(name, list(RECIPES))}; known: {known}"])
    return RECIPES[name]()


def recipe_name(method: str, scale: str) -> str:
    """The name of the paper's recipe for a method at a scale; "" where there is none."""
    return BY_METHOD.get(method, {}).get(scale, "")


def scales_of(method: str) -> list[str]:
    """The scales that a method has a recipe at; those of all methods for a method that has no recipe."""
    if method in BY_METHOD:
        return list(BY_METHOD[method])
    return sorted({scale for scales in BY_METHOD.values() for scale in scales})
