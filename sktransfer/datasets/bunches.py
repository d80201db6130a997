"""Shared parts of the data set loaders: the choice of images, and the returned `Bunch`.

Digits are picked by one rule, :func:`select`: of two, the first one named is 1 and the second 0.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sktransfer.base import Interval, validate_parameter_constraints

# Names that an error lists.
_MAX_NAMES = 10
_CONSTRAINTS: dict[str, list[Any]] = {
    "path": [str, os.PathLike],
    "folder": [str, os.PathLike],
    "source": [str, os.PathLike],
    "data_home": [str, os.PathLike, None],
    "return_X_y": ["boolean"],
    "as_frame": ["boolean"],
    "n_retries": [Interval(Integral, 1, None, closed="left")],
    "delay": [Interval(Real, 0.0, None, closed="neither")],
}


def check_parameters(who: str, **parameters: Any) -> None:
    """Check what is not `digits`, as scikit-learn checks parameters."""
    constraints = {name: _CONSTRAINTS[name] for name in parameters}
    validate_parameter_constraints(constraints, parameters, caller_name=who)


def spell(name: str) -> str:
    r"""Write a name of a file as text that every terminal and file format can hold.

    Bytes that are no UTF-8, as in names that an older system wrote in Latin-1, become ``\xe9``.
    """
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def list_names(names: Any) -> str:
    """List some names, not thousands."""
    shown = list(map(repr, itertools.islice(names, _MAX_NAMES)))
    n_more = len(names) - _MAX_NAMES
    return ", ".join(shown) + f" and {n_more} more" * (n_more > 0)


def spell_label(label: Any) -> str:
    """Spell a label so that 8, 8.0, '8' and b'8' are the same one."""
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return spell(str(label))


def check_digits(digits: Any, who: str) -> tuple[str, ...]:
    """Return the spelled labels, or say why `digits` are not two or more different ones."""
    rule = (
        f"The 'digits' parameter of {who} must be a tuple of two or more different labels, such as "
        "(8, 6)."
    )
    if not isinstance(digits, list | tuple | range | np.ndarray):
        raise TypeError(f"{rule} Got {digits!r} instead.")
    wanted = tuple(map(spell_label, digits))
    if len(wanted) < 2:
        raise ValueError(f"{rule} Got {digits!r}: name a second digit to compare with.")
    twice = [label for label, n in Counter(wanted).items() if n > 1]
    if twice:
        raise ValueError(f"{rule} Got {digits!r}, which names {', '.join(twice)} more than once.")
    return wanted


def check_pair(digits: Any, who: str, cure: str) -> tuple[str, ...]:
    """Return two spelled labels; where more are named, the error ends with the cure."""
    wanted = check_digits(digits, who)
    if len(wanted) > 2:
        raise ValueError(
            f"The 'digits' parameter of {who} must be a tuple of two different digits, such as "
            f"(8, 6). Got {digits!r}: {len(wanted)} of them. {cure}"
        )
    return wanted


def is_wanted(labels: np.ndarray, wanted: tuple[str, ...] | None) -> np.ndarray:
    """Tell for each label whether it was asked for; all were, where nothing was named."""
    if wanted is None:
        return np.ones(len(labels), dtype=bool)
    known, codes = np.unique(labels, return_inverse=True)
    return np.isin(codes, [i for i, label in enumerate(known) if spell_label(label) in wanted])


def select(
    labels: np.ndarray, wanted: tuple[str, ...] | None, who: str, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pick the images of some labels: the one rule by which all loaders do so.

    Gives which rows are kept, their target, and the names of its classes. Of two wanted labels the
    first is 1 and the second 0, so that the target numbers the names; else the target is the labels
    as they are, and the names are sorted. None keeps all.
    """
    known = np.unique(labels)
    by_key = {spell_label(label): label for label in known}
    missing = [key for key in wanted or () if key not in by_key]
    if missing:
        shown = [key[:50] for key in list(by_key)[:20]] + ["..."] * (len(by_key) > 20)
        raise ValueError(
            f"The 'digits' parameter of {who} must name labels that are in {where}. Got "
            f"({', '.join(wanted or ())}), of which {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not. It has: {', '.join(shown)}."
        )
    rows = is_wanted(labels, wanted)
    if wanted is None:
        return rows, labels, known
    if len(wanted) == 2:
        negative_to_positive = np.array([by_key[key] for key in wanted[::-1]])
        target = (labels[rows] == by_key[wanted[0]]).astype(np.int64)
        return rows, target, negative_to_positive
    return rows, labels[rows], np.unique(labels[rows])


def to_uint8(values: np.ndarray) -> np.ndarray | None:
    """Return the same values as uint8, or None where that would change one."""
    if values.dtype == np.uint8:
        return values
    with np.errstate(invalid="ignore"):
        small = values.astype(np.uint8)
    return small if np.array_equal(small, values) else None


def describe(n_images: int, wanted: tuple[str, ...] | None, source: str) -> str:
    """Say what was taken from a file or folder."""
    if wanted is None:
        which = ""
    elif len(wanted) == 2:
        which = f", labels {wanted[0]} (target 1) and {wanted[1]} (target 0) only"
    else:
        which = f", labels {', '.join(wanted)} only"
    return f"{n_images:,} images of {spell(source)}{which}."


def require_pandas(who: str) -> Any:
    """Return pandas, or say that ``as_frame=True`` needs it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{who} needs pandas for as_frame=True, which cannot be imported: {error}. Install it "
            "(pip install pandas), or leave as_frame at False."
        ) from error
    return pandas


def pack(
    data: np.ndarray,
    target: np.ndarray,
    *,
    who: str,
    feature_names: list[str],
    target_column: str,
    return_X_y: bool,
    as_frame: bool,
    **others: Any,
) -> Any:
    """Hand rows of pixels over in the form that was asked for."""
    side = round(data.shape[1] ** 0.5)
    images = data.reshape(len(data), side, side) if side * side == data.shape[1] else None
    table: Any = data
    labels: Any = target
    frame = None
    if as_frame:
        pd = require_pandas(who)
        table = pd.DataFrame(data, columns=feature_names)
        labels = pd.Series(target, name=target_column)
        frame = pd.concat([table, labels], axis=1)
    if return_X_y:
        return table, labels
    return Bunch(
        data=table, target=labels, images=images, feature_names=feature_names, frame=frame, **others
    )


def pack_pair(
    pixels: np.ndarray,
    labels: np.ndarray,
    wanted: tuple[str, ...],
    source: Bunch,
    *,
    where: str,
    who: str,
    **form: Any,
) -> Any:
    """Hand over two digits of a data set that has all ten."""
    rows, target, target_names = select(labels, wanted, who, where)
    which = f"Digits {wanted[0]} (target 1) and {wanted[1]} (target 0) of the following data set."
    return pack(
        pixels[rows],
        target,
        who=who,
        feature_names=list(source.feature_names),
        target_names=target_names,
        DESCR=f"{which}\n\n{source.DESCR}",
        **form,
    )
