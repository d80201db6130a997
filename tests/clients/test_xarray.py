"""Arrays of xarray."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, assert_same, extractor, features

xarray = pytest.importorskip("xarray", reason="xarray is not installed")
LIBRARY = "xarray"
TRIED = "`DataArray` with dimensions in any order, also on Dask"


@pytest.mark.parametrize(
    ("axes", "dims"),
    [
        ((0, 1, 2, 3), ("sample", "y", "x", "channel")),
        ((0, 3, 1, 2), ("time", "band", "y", "x")),
        ((3, 2, 0, 1), ("channel", "x", "n", "y")),
        ((1, 2, 3, 0), ("Height", "width", "color", "image")),
        ((0, 1, 2, 3), ("dim_0", "dim_1", "dim_2", "dim_3")),
    ],
)
def test_dimensions_by_name(axes: tuple[int, ...], dims: tuple[str, ...]) -> None:
    assert_same(xarray.DataArray(COLOUR.transpose(axes), dims=dims))


def test_grey_images_whose_channels_look_like_columns() -> None:
    narrow = COLOUR[:, :, :3, :1]  # 12 x 3 pixels
    array = xarray.DataArray(np.moveaxis(narrow, 3, 1), dims=("n", "channel", "y", "x"))
    assert_same(array, narrow)


def test_lazy_arrays_of_dask() -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")
    array = xarray.DataArray(np.moveaxis(COLOUR, 3, 1), dims=("n", "channel", "y", "x"))
    lazy = extractor().fit(array).transform(array.chunk({"n": 2}))
    np.testing.assert_array_equal(lazy.compute(), features(COLOUR))


def test_a_data_set_of_several_arrays_is_refused() -> None:
    both = xarray.Dataset({"image": ("n", [1]), "label": ("n", [2])})
    with pytest.raises(TypeError, match=r"xarray\.Dataset of the variables \['image', 'label'\]"):
        extractor().fit(both)
