"""The recipe of a pretrained network: checked, recorded, and compared with an earlier run's."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer._version import __version__
from sktransfer.base import Interval, StrOptions, validate_parameter_constraints
from sktransfer.files.parts import name_part
from sktransfer.files.paths import expand
from sktransfer.networks import MIN_SIZE
from sktransfer.training.pretraining.network import ARCHITECTURE, HEADS
from sktransfer.training.pretraining.stream import Formula, Stream

WHO = "pretrain"
# A change of how the network is trained must change it.
_FORMAT = 2
_WARM_UP_STEPS = 200
#: Of the optimizer, in Nesterov's form.
MOMENTUM = 0.9
# Held-out images are a tenth as many as those trained on, and never more than this.
_MAX_HELD_OUT = 2048


@dataclass(frozen=True)
class Recipe:
    """All that decides a run, checked.

    Attributes
    ----------
    stream : Stream
        The images.
    n_images : int
        How many of them are trained on: whole batches.
    learning_rate : float
        The highest.
    weight_decay : float
        Share that kernels lose per step, times the learning rate.
    precision : {'float32', 'bfloat16'}
        What convolutions compute in.
    """

    stream: Stream
    n_images: int
    learning_rate: float
    weight_decay: float
    precision: str

    @property
    def n_steps(self) -> int:
        """Steps of the optimizer."""
        return self.n_images // self.stream.batch_size

    @property
    def n_warm_up(self) -> int:
        """Steps in which the learning rate rises."""
        return max(1, min(_WARM_UP_STEPS, self.n_steps // 10))

    @property
    def n_held_out(self) -> int:
        """Batches on which accuracy is measured."""
        wanted = min(_MAX_HELD_OUT, self.n_images // 10)
        return max(1, math.ceil(wanted / self.stream.batch_size))

    @property
    def momentum(self) -> float:
        """What BatchNorm's moving statistics keep: a hundred batches count, or of few a tenth."""
        return 1 - max(0.01, min(0.5, 10 / self.n_steps))

    @property
    def input_size(self) -> int:
        """The size of most images; of several, the first."""
        sizes = self.stream.sizes
        return max(sizes, key=sizes.count)

    def describe(self) -> dict[str, Any]:
        """Return what tells this run from every other, as JSON can hold it.

        Returns
        -------
        dict
            Everything that decides the result, but for versions and devices.
        """
        import keras

        stream = self.stream
        return {
            "format": _FORMAT,
            "architecture": ARCHITECTURE,
            "formula": describe_formula(stream.formula),
            "first_images_sha256": stream.fingerprint(),
            "n_classes": stream.n_classes,
            "n_images": self.n_images,
            "sizes": list(stream.sizes),
            "batch_size": stream.batch_size,
            "supervised": HEADS,
            "optimizer": "SGD",
            "momentum": MOMENTUM,
            "learning_rate": self.learning_rate,
            "n_warm_up_steps": self.n_warm_up,
            "schedule": "cosine",
            "weight_decay": self.weight_decay,
            "precision": self.precision,
            "random_state": stream.seed,
            "backend": keras.config.backend(),
        }


def plan_recipe(
    formula: Formula | None,
    n_classes: Any,
    n_images: int,
    sizes: Any,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    precision: str,
    random_state: int,
) -> Recipe:
    """Check the parameters of :func:`~sktransfer.pretrain`, which have the same names.

    Returns
    -------
    Recipe
        What they say together.

    Raises
    ------
    TypeError
        If the formula cannot be called.
    ValueError
        If anything else is wrong with them.
    """
    if formula is not None and not callable(formula):
        raise TypeError(
            f"The 'formula' parameter of {WHO} must be a function (label, rng, size) that draws an "
            f"image, or None for the package's own. Got {formula!r} instead."
        )
    validate_parameter_constraints(
        {
            "n_classes": [Interval(Integral, 2, None, closed="left"), None],
            "n_images": [Interval(Integral, 1, None, closed="left")],
            "batch_size": [Interval(Integral, 2, None, closed="left")],
            "learning_rate": [Interval(Real, 0, None, closed="neither")],
            "weight_decay": [Interval(Real, 0, None, closed="left")],
            "precision": [StrOptions({"float32", "bfloat16"})],
            "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        },
        {
            "n_classes": n_classes,
            "n_images": n_images,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "precision": precision,
            "random_state": random_state,
        },
        caller_name=WHO,
    )
    several = _check_sizes(sizes)
    formula, n_classes = _settle_formula(formula, n_classes)
    n_batches = math.ceil(n_images / batch_size)
    stream = Stream(
        formula=formula,
        n_classes=n_classes,
        sizes=several,
        batch_size=int(batch_size),
        seed=int(random_state),
    )
    return Recipe(
        stream=stream,
        n_images=n_batches * stream.batch_size,
        learning_rate=float(learning_rate),
        weight_decay=float(weight_decay),
        precision=precision,
    )


def describe_formula(formula: Formula) -> Any:
    """Say what draws the images, as JSON can hold it."""
    if hasattr(formula, "describe"):
        return json.loads(json.dumps(formula.describe()))
    named = formula if hasattr(formula, "__qualname__") else type(formula)
    return f"{named.__module__}:{named.__qualname__}"


def surroundings() -> dict[str, Any]:
    """Return what runs the training: part of the record, not of what must agree."""
    import keras

    backend = keras.config.backend()
    module = __import__("jax" if backend == "jax" else backend)
    return {
        "sktransfer": __version__,
        "keras": keras.__version__,
        backend: str(module.__version__),
    }


def check_out(out: str | os.PathLike) -> Path:
    """Check that the file can be written, before hours are spent on it.

    Parameters
    ----------
    out : path-like
        The file.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    OSError
        If it cannot.
    ValueError
        If its name says that it is something else.
    """
    path = expand(out, f"The 'out' parameter of {WHO} must name a file that can be written.")
    if path.suffix not in (".h5", ".hdf5"):
        raise ValueError(
            f"The 'out' parameter of {WHO} must end with .h5 or .hdf5, the form of Keras' own "
            f"weights. Got {os.fspath(out)!r} instead."
        )
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        probe = name_part(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"The 'out' parameter of {WHO} must name a file that can be written. Got "
            f"{os.fspath(out)!r}: {error.strerror}. Create its folder, or choose another path."
        ) from error
    return path


def differences(former: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name what differs between two recipes, with both values where these are short."""
    named = []
    for name in dict.fromkeys([*former, *wanted]):
        old, new = former.get(name), wanted.get(name)
        if old == new:
            continue
        values = f"{old!r} there, {new!r} here"
        named.append(f"{name} ({values})" if len(values) < 60 else name)
    return ", ".join(named)


def _check_sizes(sizes: Any) -> tuple[int, ...]:
    several = tuple(np.atleast_1d(sizes).tolist())
    if not several or not all(isinstance(size, int) and size >= MIN_SIZE for size in several):
        raise ValueError(
            f"The 'sizes' parameter of {WHO} must be one or several whole numbers of pixels from "
            f"{MIN_SIZE} up, because VGG16 leaves no pixel of smaller images. Got {sizes!r} "
            "instead."
        )
    return several


def _settle_formula(formula: Formula | None, n_classes: Any) -> tuple[Formula, int]:
    """Return the formula and the number of its labels, the package's own where none is given."""
    if formula is None:
        from sktransfer.training.formulas import FormulaImages

        formula = FormulaImages() if n_classes is None else FormulaImages(n_classes)
    found: Any = getattr(formula, "n_classes", None)
    if n_classes is None and not (isinstance(found, int | np.integer) and found >= 2):
        raise ValueError(
            f"The 'n_classes' parameter of {WHO} must be the number of labels that the formula "
            "has, 2 at least, unless the formula has an attribute of that name. Got None, and the "
            f"attribute is {found!r}."
        )
    return formula, int(found if n_classes is None else n_classes)
