"""The registry of recipes: by name, and by method and scale."""

from __future__ import annotations

from collections.abc import Callable

from formats.names import nearest
from simclr_core.config.options import ConfigError
from simclr_core.config.schema import RunConfig

Build = Callable[[], RunConfig]

RECIPES: dict[str, Build] = {}
"""All recipes by name, in the order of registration."""

BY_METHOD: dict[str, dict[str, str]] = {}
"""Method -> scale -> name of the recipe without a variant, which grids start from."""


def register(method: str, scale: str, variant: str = "") -> Callable[[Build], Build]:
    """Register a function as the recipe of a method at a scale, or as a variant of that recipe."""

    def named(build: Build) -> Build:
        name = "_".join(filter(None, (method, scale, variant)))
        assert name not in RECIPES, f"two recipes are called {name}"
        RECIPES[name] = build
        if not variant:
            BY_METHOD.setdefault(method, {})[scale] = name
        return build

    return named


def recipe(name: str) -> RunConfig:
    """Return a new configuration; raises ConfigError with the nearest names for an unknown recipe."""
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise ConfigError([f"recipe = {name!r}: no such recipe{nearest(name, list(RECIPES))}; known: {known}"])
    return RECIPES[name]()


def recipe_name(method: str, scale: str) -> str:
    """Return the name of the recipe without a variant for a method at a scale; "" if there is none."""
    return BY_METHOD.get(method, {}).get(scale, "")


def scales_of(method: str) -> list[str]:
    """Return the scales at which a method has a recipe; for a method without recipes, the scales of all methods."""
    if method in BY_METHOD:
        return list(BY_METHOD[method])
    return sorted({scale for scales in BY_METHOD.values() for scale in scales})
