"""Recipes: how any configuration is trained or scored, in every arm alike.

A method changes which configuration is trained; a recipe changes how. They are separate switches.
"""

from dataclasses import dataclass

from ohgw.core.errors import UnknownNameError

DEFAULT_RECIPE = "averaged"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`plain` scores the weights as trained; `averaged` scores a running average of them."""

    name: str
    averaged: bool


@dataclass(frozen=True, slots=True)
class PolynomialAveraging:
    """Polynomial-decay averaging (Shamir & Zhang 2013, ICML, section 4).

    average_k = average_{k-1} + (gamma + 1) / (k + gamma) * (theta - average_{k-1}), k = 1, 2, ...
    gamma 8 forgets the early iterates at a rate that fits runs of unknown length; updating every
    tenth step makes it nearly free.
    """

    gamma: float = 8.0
    every: int = 10

    def weight(self, steps: int) -> float:
        """Weight of the newest parameters after `steps` training steps; 0 between updates."""
        if steps == 0 or steps % self.every:
            return 0.0
        return (self.gamma + 1) / (steps // self.every + self.gamma)


RECIPES = {recipe.name: recipe for recipe in (Recipe("plain", False), Recipe("averaged", True))}


def get_recipe(name: str) -> Recipe:
    """The named recipe. Raises `UnknownNameError`."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]
