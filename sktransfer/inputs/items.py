"""Images given one by one: each a path, the content of a file, a PIL image or an array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.inputs.containers import cure, describe, is_missing, is_pil, list_some
from sktransfer.inputs.decoding import describe_long_side
from sktransfer.inputs.encoded import Encoded, encoded_or_path, is_encoded, is_reference
from sktransfer.inputs.forms.tensors import is_tensor, to_array, widen
from sktransfer.inputs.layout import check_image_shape, image_layout
from sktransfer.inputs.on_demand import OnDemand
from sktransfer.inputs.remote import Remote, hide_query, is_remote


@dataclass(frozen=True)
class ItemReader:
    """Tells what each image of a container is given as.

    `image_shape` is what the user gave, paths may be URLs where `allow_remote`, and errors call
    the list by `container` and the caller by `who`.
    """

    container: str
    image_shape: Sequence[int] | None
    allow_remote: bool
    who: str

    def read_all(self, items: list[Any] | OnDemand) -> list[Any] | OnDemand:
        """Read all items, or say how each is read when a source is asked for it."""
        if len(items) == 0:
            raise ValueError(f"{self.who} needs at least one image. Got an empty {self.container}.")
        if isinstance(items, OnDemand):

            def read(row: int) -> Any:
                item = items[row]
                if _is_missing(item):
                    raise ValueError("it is missing: leave it out, and its label too")
                return self._read(item, row)

            return OnDemand(read, range(len(items)))
        missing = [i for i, item in enumerate(items) if _is_missing(item)]
        if missing:
            raise ValueError(
                f"{self.who} needs an image at every position. Got missing values (None or NaN) at "
                f"positions {list_some(missing)}: leave them out, and their labels too, as pandas' "
                "dropna does."
            )
        return [self._read(item, position) for position, item in enumerate(items)]

    def _read(self, item: Any, position: int) -> Any:
        if is_encoded(item):
            item = encoded_or_path(item)
        if isinstance(item, str | os.PathLike):
            path = str(os.fsdecode(item))  # str: NumPy's strings would be named as such
            if not is_remote(path):
                return path
            if not self.allow_remote:
                raise ValueError(
                    f"{self.who} fetches nothing unless it is asked to. Got {hide_query(path)!r} "
                    f"as image {position} of the {self.container}: set allow_remote=True, or pass "
                    "the file itself."
                )
            return Remote(path)
        if isinstance(item, Encoded) or is_pil(item):
            return item
        return self._read_array(item, position)

    def _read_array(self, item: Any, position: int) -> Any:
        place = f"image {position} of the {self.container}"
        where = f"{self.who} cannot read image {position} of the {self.container}"
        if np.ma.is_masked(item):
            raise ValueError(
                f"{self.who} needs a value for every pixel. Got {place} as a masked array with "
                f"{item.mask.sum()} masked values: fill them, as in image.filled(0)."
            )
        try:
            array = to_array(item) if is_tensor(item) else widen(np.asarray(item))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: {error}") from error
        if isinstance(array, str | bytes):  # a string of TensorFlow
            return self._read(array, position)
        if isinstance(array, list):
            raise TypeError(f"{where}: Got {describe(item)}, which holds {len(array)} images.")
        if array.dtype.kind == "c":
            raise ValueError(
                f"{where}: Complex data not supported. Got dtype {array.dtype}: pass np.abs(image) "
                "or image.real."
            )
        if array.dtype.kind not in "buif" or array.ndim not in (2, 3):
            raise TypeError(
                f"{where}: it must be a path, a PIL image, or an array of numbers of shape "
                f"(height, width) or (height, width, n_channels). Got {describe(item)}: "
                f"{cure(item)}."
            )
        if self.image_shape is not None:
            check_image_shape(self.image_shape, array.shape, place, self.who)
        _, channels_first = image_layout(array.shape, f"I{place[1:]} given to {self.who}")
        if array.ndim == 2:
            array = array[..., None]
        if 0 in array.shape:
            raise ValueError(
                f"{where}: an image needs at least one pixel. Got shape {array.shape}."
            )
        array = np.moveaxis(array, 0, -1) if channels_first else array
        if fault := describe_long_side(*array.shape[:2]):
            raise ValueError(f"{where}: {fault}.")
        return array


def _is_missing(item: Any) -> bool:
    return is_missing(item) or (is_reference(item) and encoded_or_path(item) is None)
