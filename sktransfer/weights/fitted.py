"""The weights of a fitted network: loaded again where they are needed, and checked to be the same.

Weights are seldom kept: a file, a seed or a mapping gives them again in any process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sktransfer.networks import Cut
from sktransfer.weights.arrays import Weights, draw_weights, hash_weights, take_weights
from sktransfer.weights.locating import locate_weights
from sktransfer.weights.reading import read_weights


def load_weights(
    weights: str | os.PathLike | Mapping | None, cut: Cut, seed: int | None, *, who: str
) -> Weights:
    """Load the weights of a cut from what a parameter `weights` names, or draw them by a seed."""
    if weights is None:
        assert seed is not None
        return draw_weights(cut, seed)
    if isinstance(weights, Mapping):
        return take_weights(weights, cut, who=who)
    return read_weights(locate_weights(weights, cut, who=who), cut, who=who)


class WeightsSource(Protocol):
    """The source of a network's weights, whenever they are needed."""

    def load(self) -> Any:
        """Load the weights, as arrays those of VGG, and others in a network."""


@dataclass(frozen=True)
class FittedWeights:
    """The weights that `fit` saw.

    Attributes
    ----------
    weights : str, path-like, mapping or None
        What the parameter `weights` named.
    seed : int or None
        Seed of random weights.
    cut : Cut
        How far the weights reach.
    sha256 : str
        Their hash.
    who : str
        The class named in errors.
    """

    weights: str | os.PathLike | Mapping | None
    seed: int | None
    cut: Cut
    sha256: str
    who: str

    def load(self) -> Weights:
        """Load the weights that `fit` saw, and no others under their name."""
        try:
            weights = load_weights(self.weights, self.cut, self.seed, who=self.who)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error} {self.who} was fitted with it: if it has moved, say where it is by "
                "set_params(weights=...)."
            ) from error
        sha256 = hash_weights(weights)
        if sha256 != self.sha256:
            given = "the mapping" if isinstance(self.weights, Mapping) else repr(self.weights)
            raise ValueError(
                f"{self.who} was fitted with weights of SHA-256 {self.sha256[:16]}..., and "
                f"weights={given} now gives {sha256[:16]}...: restore the original file, or call "
                "fit again."
            )
        return weights
