"""The result of a run: one file that records how it was made."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sktransfer.training.pretraining.recipe import WHO, differences, surroundings
from sktransfer.training.pretraining.storage import write_weights
from sktransfer.weights import Weights, hash_weights
from sktransfer.weights.files import read_contents

# No photograph was used, so that no other license applies: weights are licensed as the package is.
_LICENSE = "BSD-3-Clause"
_MADE_WITH = "made_with"


@dataclass(frozen=True)
class Pretraining:
    """The result of :func:`pretrain`; ``print`` shows a sentence.

    Attributes
    ----------
    path : Path
        The weights file.
    accuracy : float
        Share of the held-out images that the network, as it is written, classifies correctly.
    n_images : int
        How many images it was trained on.
    history : list of dict
        A row for each twentieth of the run: ``step``, ``images``, ``loss`` and ``accuracy`` on the
        images trained on since the row before, ``held_out_accuracy``, ``learning_rate``,
        ``seconds`` and ``images_per_second``.
    recipe : dict
        Everything that determined the weights, with the versions of the libraries.
    weights_sha256 : str
        Hash of the weights, as the extractor's `weights_sha256_` has it.
    """

    path: Path
    accuracy: float
    n_images: int
    history: list[dict[str, Any]]
    recipe: dict[str, Any]
    weights_sha256: str

    def __str__(self) -> str:
        """Say what there is."""
        return (
            f"{self.path}: VGG16 trained on {self.n_images:,} images of "
            f"{self.recipe['n_classes']:,} classes; accuracy on others {self.accuracy:.3f}"
        )


def write_result(
    path: Path,
    weights: Weights,
    identity: dict[str, Any],
    input_size: int,
    accuracy: float,
    history: list[dict[str, Any]],
) -> Pretraining:
    """Write the weights with all that is known of them."""
    attributes = {
        "input_size": input_size,
        "license": _LICENSE,
        "recipe": json.dumps(identity | {_MADE_WITH: surroundings()}),
        "accuracy": accuracy,
        "history": json.dumps(history),
        "sha256": hash_weights(weights),
    }
    try:
        write_weights(path, weights, attributes)
    except FileExistsError as error:
        raise FileExistsError(
            f"{WHO} cannot write {os.fspath(path)!r}: a file of this name has appeared during the "
            "training, and is never replaced. The training is kept in the checkpoint beside it: "
            "move that file away and make the same call again."
        ) from error
    return _read_result(path)


def find_result(path: Path, identity: dict[str, Any]) -> Pretraining | None:
    """Find what an earlier run of the same recipe wrote.

    Parameters
    ----------
    path : Path
        The file.
    identity : dict
        What decides the weights.

    Returns
    -------
    Pretraining or None
        None where there is no file.

    Raises
    ------
    OSError
        If the file is another.
    """
    if not os.path.lexists(path):
        return None
    rule = (
        f"The 'out' parameter of {WHO} must name a file that does not exist, or one that the same "
        f"call wrote. Got {os.fspath(path)!r}"
    )
    cure = "choose another name, or remove it."
    try:
        found = _read_result(path)
    except (OSError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise FileExistsError(
            f"{rule}, which exists without a record of its recipe: {cure}"
        ) from error
    unlike = differences(
        {name: value for name, value in found.recipe.items() if name != _MADE_WITH}, identity
    )
    if unlike:
        raise FileExistsError(f"{rule}, which differs in {unlike}: {cure}")
    return found


def _read_result(path: Path) -> Pretraining:
    names = ["recipe", "accuracy", "history", "sha256"]
    facts = read_contents(path, attributes=names, who=WHO).attributes
    recipe, history = json.loads(facts["recipe"]), json.loads(facts["history"])
    accuracy = float(facts["accuracy"])
    if not 0 <= accuracy <= 1:
        raise ValueError(f"its accuracy is {accuracy}")
    return Pretraining(
        path=path,
        accuracy=accuracy,
        n_images=int(recipe["n_images"]),
        history=[dict(row) for row in history],
        recipe=recipe,
        weights_sha256=str(facts["sha256"]),
    )
