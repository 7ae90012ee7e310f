"""Named recipes: each is a function that returns a complete configuration, which grids and command lines override.

A recipe follows the paper for a method at a scale. A variant of a recipe differs from the paper: ``released`` is what
the authors' released code does with the command of its README. The name of a recipe is ``<method>_<scale>`` or
``<method>_<scale>_<variant>``. docs/recipes.md lists where paper and code differ, and which recipe follows which.
Numbers at ``demo`` and ``mini`` can show orders and effects, never the papers' accuracies, because data, network and
length are a fraction of the papers'. The recipes at ``cifar10`` and ``imagenet`` have not been run with this code yet.
"""

from __future__ import annotations

from simclr_core.config.recipes import simclr, simsiam, supervised
from simclr_core.config.recipes.registry import BY_METHOD, RECIPES, recipe, recipe_name, scales_of

__all__ = ["BY_METHOD", "RECIPES", "recipe", "recipe_name", "scales_of", "simclr", "simsiam", "supervised"]
