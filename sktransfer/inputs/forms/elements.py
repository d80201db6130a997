"""Elements of data sets that hold an image with its label: tuples, and mappings by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Names of images and of labels, in the order in which they are looked for.
IMAGE_NAMES = ("image", "img", "images", "pixel_values", "x", "X")
LABEL_NAMES = ("label", "labels", "target", "y", "fine_label", "class")


def image_of(element: Any, name: str, who: str, key: Any = None) -> Any:
    """Take the image out of an element."""
    return _part(element, 0 if key is None else key, key, IMAGE_NAMES, "image", name, who)


def label_of(element: Any, name: str, who: str, key: Any = None) -> Any:
    """Take the label out of an element."""
    if key is None and not isinstance(element, Mapping | tuple | list):
        raise ValueError(
            f"{who} needs elements of an image and its label. Got a {name} of "
            f"{type(element).__name__}, which has no label: pass the labels separately."
        )
    return _part(element, 1 if key is None else key, key, LABEL_NAMES, "label", name, who)


def _part(
    element: Any, position: Any, key: Any, names: tuple[str, ...], what: str, name: str, who: str
) -> Any:
    if isinstance(element, Mapping):
        found = key if key is not None else find_name(element, names)
        if found is None and what == "image" and len(element) == 1:
            found = next(iter(element))
        if found in element:
            return element[found]
        raise ValueError(
            f"{who} needs the {what} of every element of a {name}. Got elements with the keys "
            f"{list(element)}, of which none is {key or ' or '.join(names[:2])!r}: make elements "
            "(image, label), or name it in sktransfer.with_labels."
        )
    if isinstance(element, tuple | list):
        if not isinstance(position, int) or position >= len(element):
            raise ValueError(
                f"{who} needs the {what} of every element of a {name} at position {position!r}. "
                f"Got elements of {len(element)} parts."
            )
        return element[position]
    return element


def find_name(names: Any, usual: tuple[str, ...]) -> Any:
    """Return the first of the usual names that is there."""
    return next((name for name in usual if name in names), None)
