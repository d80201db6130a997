"""Images by formula, in classes: training images without photographs.

A class is a formula with its own parameters (`classes`): a shape (`shapes`), a texture
(`textures`), or a shape with one texture in front of another. Each of its images moves, rotates,
bends and lights it in a new way (`painting`).

References
----------
H. Kataoka et al., "Pre-training without Natural Images", 2020, https://arxiv.org/abs/2101.08515.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sktransfer.base import Interval, validate_params
from sktransfer.training.formulas import painting
from sktransfer.training.formulas.classes import FAMILIES, TURNS, FormulaClass, draw_class


class FormulaImages:
    """Generator of labelled images: each class has its own formula.

    Call it with a label, a random number generator and a size to draw one image. You can pass it,
    or any function of these three arguments, to :func:`~sktransfer.pretrain` as the formula.

    Parameters
    ----------
    n_classes : int, default=400
        Number of classes, at least 2.
    families : sequence of str or None, default=None
        Families of the classes, used in turn. None means all ten, with strokes, fields and
        compositions most often.
    seed : int, default=0
        Seed of the formulas' parameters. Class `i` depends only on the seed, `i` and `families`,
        so that a larger `n_classes` does not change the first classes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, 0 to `n_classes` - 1.
    families_ : list of str
        The family of each class.

    See Also
    --------
    make_formula_images : Make a data set of such images.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.training.formulas import FormulaImages
    >>> formula = FormulaImages(n_classes=25)
    >>> image = formula(3, np.random.default_rng(0), size=32)
    >>> image.shape, image.dtype
    ((32, 32, 3), dtype('uint8'))
    >>> formula.families_[3]
    'blobs'
    """

    n_classes: int
    families: Sequence[str] | None
    seed: int

    def __init__(
        self, n_classes: int = 400, *, families: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        if isinstance(n_classes, bool) or not isinstance(n_classes, Integral) or n_classes < 2:
            raise ValueError(
                "The 'n_classes' parameter of FormulaImages must be a whole number of classes, 2 "
                f"at least. Got {n_classes!r} instead."
            )
        if families is not None:
            unknown = [name for name in families if name not in FAMILIES]
            if unknown or not len(families) or isinstance(families, str):
                raise ValueError(
                    "The 'families' parameter of FormulaImages must be a list of families out of "
                    f"{', '.join(FAMILIES)}, or None for all. Got {families!r} instead."
                )
        self.n_classes = int(n_classes)
        self.families = families
        self.seed = seed

    @cached_property
    def families_(self) -> list[str]:
        """The family of each class."""
        turns = self.families
        if turns is None:
            turns = TURNS
        return list(itertools.islice(itertools.cycle(turns), self.n_classes))

    @property
    def classes_(self) -> np.ndarray:
        """The labels."""
        return np.arange(self.n_classes)

    @cached_property
    def _formulas(self) -> list[FormulaClass]:
        return [
            draw_class(family, np.random.default_rng([self.seed, label]))
            for label, family in enumerate(self.families_)
        ]

    def __call__(self, label: int, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw one image of a class.

        Parameters
        ----------
        label : int
            The class, from 0 to `n_classes` - 1.
        rng : Generator
            Random number generator of the variation within the class.
        size : int
            Side in pixels.

        Returns
        -------
        ndarray of shape (size, size, 3), uint8
            Red, green and blue, from 0 to 255.
        """
        return painting.photograph(self._formulas[label].picture(rng, size), rng)

    def describe(self) -> dict[str, Any]:
        """Return everything that determines the classes, in a form for JSON.

        Returns
        -------
        dict
            The parameters, and a format that changes with the formulas.
        """
        families = None if self.families is None else list(self.families)
        return {
            "formula": "sktransfer.FormulaImages",
            "format": 2,
            "n_classes": self.n_classes,
            "families": families,
            "seed": self.seed,
        }

    def __repr__(self) -> str:
        return (
            f"FormulaImages(n_classes={self.n_classes}, families={self.families!r}, "
            f"seed={self.seed})"
        )


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "size": [Interval(Integral, 8, None, closed="left")],
        "random_state": ["random_state"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_formula_images(
    n_samples: int = 100,
    *,
    n_classes: int = 10,
    families: Sequence[str] | None = None,
    size: int = 32,
    seed: int = 0,
    random_state: int | np.random.RandomState | None = None,
    return_X_y: bool = False,
) -> Any:
    """Make a data set of images by formula.

    Parameters
    ----------
    n_samples : int, default=100
        Number of images.
    n_classes : int, default=10
        Number of classes.
    families : sequence of str or None, default=None
        Families of the classes: see :class:`FormulaImages`.
    size : int, default=32
        Side in pixels, at least 8.
    seed : int, default=0
        Seed of the classes.
    random_state : int, RandomState instance or None, default=None
        Determines the images of these classes. Pass an int for reproducible images.
    return_X_y : bool, default=False
        Whether to return `(images, target)` alone.

    Returns
    -------
    data : Bunch
        With these attributes:

        images : ndarray of shape (n_samples, size, size, 3), uint8
            The images.
        target : ndarray of shape (n_samples,)
            The class of each image. The classes have equal numbers of images, plus or minus one.
        families : list of str
            The family of each class.
    (images, target) : tuple
        With ``return_X_y=True``.

    Examples
    --------
    >>> from sktransfer import make_formula_images
    >>> data = make_formula_images(12, n_classes=6, random_state=0)
    >>> data.images.shape, data.target[:6]
    ((12, 32, 32, 3), array([0, 1, 2, 3, 4, 5]))
    """
    formula = FormulaImages(n_classes, families=families, seed=seed)
    target = np.arange(n_samples) % n_classes
    start = check_random_state(random_state).randint(2**31)
    images = np.stack(
        [
            formula(int(label), np.random.default_rng([start, number]), size)
            for number, label in enumerate(target)
        ]
    )
    if return_X_y:
        return images, target
    return Bunch(images=images, target=target, families=formula.families_)
