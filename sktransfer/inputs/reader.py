"""The reader of an extractor's images: the user's settings, and what `fit` found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sktransfer.inputs import value_range as _value_range
from sktransfer.inputs.forms.streams import read_pieces
from sktransfer.inputs.images import Images, read_images
from sktransfer.inputs.lazy import stand_in
from sktransfer.inputs.scale import ValueRange, ends, opaque_alpha


@dataclass(frozen=True)
class Reader:
    """The facts known about the images of an extractor.

    Attributes
    ----------
    image_shape : tuple of int or None
        Shape of one image as the user gave it.
    value_range : 'auto' or array-like of two floats
        The values of black and white as the user gave them.
    who : str
        The class named in errors.
    fitted_shape : tuple of int or None
        Shape of the images that `fit` saw; None if their sizes may differ.
    fitted_range : tuple of float or None
        The values of black and white in arrays; None after files only.
    pixel_dtype : str
        Of the arrays that `fit` saw. Files with alpha are read as uint8.
    allow_remote : bool
        Whether files may be fetched from elsewhere.
    """

    image_shape: Sequence[int] | None
    value_range: str | Iterable[float]
    who: str
    fitted_shape: tuple[int, int, int] | None = None
    fitted_range: ValueRange | None = None
    pixel_dtype: str = "uint8"
    allow_remote: bool = False

    def read(self, X: Any) -> Images:
        """Decide what an input holds, without decoding it."""
        return read_images(
            X,
            image_shape=self.image_shape,
            value_range=self.value_range,
            allow_remote=self.allow_remote,
            who=self.who,
        )

    def fit(self, X: Any) -> tuple[Images, Reader]:
        """Read the images of `fit`, and choose what is black and white in arrays."""
        images = self.read(X)
        extents = _value_range.measure(images)
        images.check_files()
        value_range = _value_range.choose(images, extents, self.value_range)
        _value_range.check_alpha(images, value_range)
        return images, self._fitted(images, value_range)

    def fit_stream(self, X: Any) -> tuple[Images, Reader]:
        """Do the same with a data set that is read in passes, in one of them.

        No more than a piece of it is in memory. Of the images the first ones are returned.
        """
        first: Images | None = None
        extents: list[tuple[float, float]] = []
        for piece in read_pieces(X, self.who):
            images = self.read(piece)
            if first is None:
                first = images
            elif first.image_shape not in (None, images.image_shape):
                first = self.read(list(first.arrays[0]))  # a list, whose sizes may differ
            extents += _value_range.measure(images)
            images.check_files()
        if first is None:
            raise ValueError(f"{self.who} needs at least one image. Got an empty data set.")
        value_range = _value_range.choose(first, extents, self.value_range)
        return first, self._fitted(first, value_range)

    def fit_lazy(self, X: Any) -> tuple[Images, Reader]:
        """Do the same with a Dask collection, by shape and dtype alone."""
        images = self.read(stand_in(X, self.who))
        return images, self._fitted(images, _value_range.choose_unseen(images, self.value_range))

    def _fitted(self, images: Images, value_range: ValueRange | None) -> Reader:
        dtype = str(images.arrays[0].dtype) if images.arrays else "uint8"
        return replace(
            self, fitted_shape=images.image_shape, fitted_range=value_range, pixel_dtype=dtype
        )

    def read_fitted(self, X: Any) -> tuple[Images, ValueRange | None]:
        """Read images that come after `fit`, and say what is black and white in arrays."""
        images = self.read(X)
        return images, self.check(images)

    def check(self, images: Images) -> ValueRange | None:
        """Check images that come after `fit`, and say what is black and white in arrays."""
        self.check_shape(images)
        value_range = self.settle_range(images)
        images.check_files()
        return value_range

    def check_lazy(self, images: Images) -> None:
        """Check what stands for images that come later, as far as shape and dtype tell."""
        self.check_shape(images)
        if self.fitted_range is None:
            _value_range.by_dtype(images)

    def check_shape(self, images: Images) -> None:
        """Check that images have the shape of those that `fit` saw."""
        if self.fitted_shape is None:
            return
        shapes = [images.image_shape] if images.image_shape else [a.shape for a in images.arrays]
        for shape in shapes:
            if shape != self.fitted_shape:
                raise ValueError(
                    f"{self.who} was fitted on images of shape {self.fitted_shape} (height, "
                    f"width, channels). Got images of shape {shape}: resize or turn them, or fit "
                    "on a list of images, whose sizes may differ."
                )

    def settle_range(self, images: Images) -> ValueRange | None:
        """Return the values of black and white in arrays that come after `fit`."""
        extents = _value_range.measure(images)
        value_range = self.fitted_range
        if value_range is None:
            value_range = _value_range.by_dtype(images)
        else:
            _value_range.warn_outside(images, extents, value_range)
        _value_range.check_alpha(images, value_range)
        return value_range

    @property
    def scale(self) -> tuple[Any, Any, float]:
        """Black, white and opaque in arrays like those of `fit`; files count as uint8."""
        black, white = self.fitted_range or (0.0, 255.0)
        return black, white, opaque_alpha(np.dtype(self.pixel_dtype), ends((black, white)))
