"""Named recipes: one function each, a complete configuration; grids and command lines override from there.

A recipe is the paper's for a method at a scale, or a variant of that: ``released`` is what the authors' released code
does under the command of its README. Its name is ``<method>_<scale>`` or ``<method>_<scale>_<variant>``. Where paper
and code differ, and who takes what: docs/recipes.md. Numbers at ``demo`` and ``mini`` say something about order and
effect, never about the papers' accuracies: data, network and length are a fraction of theirs. Nobody has run the
recipes at ``cifar10`` and ``imagenet`` with this code yet.
"""

from __future__ import annotations

from simclr_core.config.recipes import simclr, simsiam, supervised
from simclr_core.config.recipes.registry import BY_METHOD, RECIPES, recipe, recipe_name, scales_of

__all__ = ["BY_METHOD", "RECIPES", "recipe", "recipe_name", "scales_of", "simclr", "simsiam", "supervised"]
