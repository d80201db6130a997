"""Whatever people hold images in is read as what it is, or refused with a cure."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from PIL import Image

from sktransfer.inputs import images as images_module
from sktransfer.inputs.decoding import decode
from sktransfer.inputs.images import ArrayImages, ImageList, ImageWarning, read_images

RANGE = (0.0, 255.0)


def _pixels(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def _load(images: ArrayImages | ImageList, start: int = 0, stop: int | None = None) -> list:
    stop = len(images) if stop is None else stop
    return [pixels for pixels, _ in images.load(start, stop, RANGE)]


# Arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "image_shape", "expected"),
    [
        # Rows: square grey, or as told.
        ((5, 1), None, (1, 1, 1)),
        ((5, 784), None, (28, 28, 1)),
        ((5, 56), (7, 8), (7, 8, 1)),
        ((5, 56), (8, 7), (8, 7, 1)),
        ((5, 56), [8, 7, 1], (8, 7, 1)),
        ((5, 56), (1, 8, 7), (8, 7, 1)),
        ((5, 12), (2, 2, 3), (2, 2, 3)),
        ((5, 60), (3, 4, 5), (4, 5, 3)),
        ((5, 48), (3, 4, 4), (3, 4, 4)),
        ((5, 64), (4, 4, 4), (4, 4, 4)),
        ((5, 80), (4, 4, 5), (4, 5, 4)),
        ((5, 20), (np.int64(4), np.int64(5)), (4, 5, 1)),
        # Grey images.
        ((5, 7, 8), None, (7, 8, 1)),
        ((5, 7, 8), (7, 8), (7, 8, 1)),
        ((5, 7, 8), (7, 8, 1), (7, 8, 1)),
        ((5, 3, 3), None, (3, 3, 1)),
        # Channels last, or first; last where both fit.
        ((5, 7, 8, 1), None, (7, 8, 1)),
        ((5, 7, 8, 3), None, (7, 8, 3)),
        ((5, 7, 8, 4), None, (7, 8, 4)),
        ((5, 1, 7, 8), None, (7, 8, 1)),
        ((5, 3, 7, 8), None, (7, 8, 3)),
        ((5, 4, 7, 8), None, (7, 8, 4)),
        ((5, 3, 7, 3), None, (3, 7, 3)),
        ((5, 3, 7, 4), None, (3, 7, 4)),
        ((5, 1, 7, 3), None, (1, 7, 3)),
        ((5, 4, 7, 1), None, (4, 7, 1)),
        ((5, 3, 7, 8), (3, 7, 8), (7, 8, 3)),
        ((5, 7, 8, 3), (7, 8, 3), (7, 8, 3)),
        # What was said of rows holds for arrays of the same images, wherever their channels stand.
        ((5, 7, 8, 1), (7, 8), (7, 8, 1)),
        ((5, 1, 7, 8), (7, 8), (7, 8, 1)),
        ((5, 7, 8), (1, 7, 8), (7, 8, 1)),
        ((5, 7, 8, 3), (3, 7, 8), (7, 8, 3)),
        ((5, 3, 7, 8), (7, 8, 3), (7, 8, 3)),
    ],
)
def test_layout(
    shape: tuple[int, ...], image_shape: tuple[int, ...] | None, expected: tuple[int, int, int]
) -> None:
    images = read_images(_pixels(*shape), image_shape=image_shape)
    assert images.image_shape == expected
    assert len(images) == 5
    (loaded,) = _load(images, 1, 4)
    assert loaded.shape == (3, *expected)


@pytest.mark.parametrize("n_columns", [3, 12, 27, 3072])
def test_rows_of_square_rgb_are_guessed_with_a_warning(n_columns: int) -> None:
    side = int((n_columns / 3) ** 0.5)
    problem = (
        rf"Reader reads rows of {n_columns} columns as RGB images of {side} x {side} pixels with "
        rf"the channels last, .* as CIFAR's files do, set image_shape=\(3, {side}, {side}\)"
    )
    with pytest.warns(ImageWarning, match=problem) as caught:
        images = read_images(_pixels(2, n_columns), who="Reader")
    assert images.image_shape == (side, side, 3)
    assert len(caught) == 1


@pytest.mark.parametrize("n_columns", [2, 5, 28, 63])
def test_short_rows_are_strips_with_a_warning(n_columns: int) -> None:
    problem = f"{n_columns} columns, which do not form a square, as strips of 1 x {n_columns} pix"
    with pytest.warns(ImageWarning, match=problem):
        assert read_images(_pixels(2, n_columns)).image_shape == (1, n_columns, 1)


def test_a_single_colour_image_looks_like_grey_ones_and_is_warned_of() -> None:
    with pytest.warns(ImageWarning, match=r"32 grey images of 30 x 3 pixels\..* pass X\[None\]"):
        assert len(read_images(_pixels(32, 30, 3))) == 32


def test_channel_last_rows_and_channel_first_rows_are_told_apart() -> None:
    colour = _pixels(2, 4, 5, 3)
    last = read_images(colour.reshape(2, -1), image_shape=(4, 5, 3))
    first = read_images(np.moveaxis(colour, 3, 1).reshape(2, -1), image_shape=(3, 4, 5))
    four_d = read_images(np.ascontiguousarray(np.moveaxis(colour, 3, 1)))
    for images in (last, first, four_d):
        np.testing.assert_array_equal(_load(images)[0], colour, strict=True)


@pytest.mark.parametrize(
    ("X", "image_shape", "problem"),
    [
        (np.ones((2, 1000)), None, r"rows of 1000 columns.*grey 25 x 40, 20 x 50.*, 1 x 1000\."),
        (np.ones((2, 101)), None, r"Set image_shape=\(height, width\) or .* grey 1 x 101\."),
        (np.ones((2, 150)), None, r"grey 10 x 15, .*; RGB 5 x 10, 2 x 25, 1 x 50\."),
        (np.ones((2, 65)), None, r"cannot determine the shape of images from rows of 65 columns"),
        (np.ones((2, 6)), (2, 2), r"multiply to the number of columns\. .*=\(2, 2\), 4 values"),
        (np.ones((2, 30)), (5, 3, 2), r"'image_shape' parameter of Reader .* shape \(5, 3, 2\)"),
        (np.ones((2, 7, 8)), (8, 7), r"must be the shape of each image\. Got image_shape=\(8, 7\)"),
        (np.ones((2, 7, 8, 3)), (7, 8), r"images of shape \(7, 8, 3\) .* or set it to \(7, 8, 3\)"),
        (np.ones((2, 7, 4, 3)), (3, 7, 4), r"Got image_shape=\(3, 7, 4\) and .* \(7, 4, 3\)"),
        (np.ones((2, 8, 8, 2)), None, r"must have 1 \(grey\), 3 \(RGB\) or 4 .* shape \(8, 8, 2\)"),
        (np.ones((2, 8, 8, 5)), None, r"images of shape \(8, 8, 5\)\. Select or combine"),
        (np.ones((1, 2, 3, 4, 5)), None, r"Got 5-D data of shape \(1, 2, 3, 4, 5\)\. Reshape your"),
        (np.ones(9), None, r"Got 1-D data of shape \(9,\)\. Reshape your data: X\.reshape"),
        (np.array(3.0), None, r"Got 0-D data"),
        (np.empty((0, 784)), None, r"at least one image\. Got X of shape \(0, 784\)"),
        (np.empty((0, 8, 8, 3)), None, r"at least one image\. Got X of shape \(0, 8, 8, 3\)"),
        ([], None, r"at least one image\. Got X of shape \(0,\)"),
        (np.empty((3, 0)), None, r"at least one pixel\. Got X with 0 feature\(s\)"),
        (np.empty((3, 0, 5, 1)), None, r"at least one pixel\. .*shape=\(3, 0, 5, 1\)"),
        (np.empty((3, 5, 0)), None, r"at least one pixel"),
        (np.ones((2, 4), complex), None, r"Complex data not supported\. Got dtype complex128"),
        (np.array([["a", "b"]]), None, r"arrays of numbers, or .* shape \(1, 2\) and dtype <U1"),
        (np.array([[b"ab", b"c"]]), None, r"arrays of numbers, or .* dtype \|S2: select the"),
        (np.array([["2020-01-01"]], "M8[D]"), None, r"arrays of numbers, or .* dtype datetime64"),
        ([[1, 2], [3]], None, r"Got list, which is neither: its rows differ in length, 1, 2"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), None, r"Got DataFrame, which is neither"),
        (pl.DataFrame({"a": ["x", "y"], "b": [1, 2]}), None, r"needs images as arrays of numbers"),
    ],
    ids=lambda value: "",
)  # fmt: skip
def test_what_is_no_set_of_images_is_refused(
    X: object, image_shape: tuple[int, ...] | None, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        read_images(X, image_shape=image_shape, who="Reader")
    assert "Reader" in str(caught.value)


@pytest.mark.parametrize("form", ["csr_matrix", "csr_array", "coo_array"])
def test_sparse_is_refused(form: str) -> None:
    X = getattr(scipy.sparse, form)(np.eye(4))
    with pytest.raises(TypeError, match=rf"dense.* Got a sparse {form} of shape \(4, 4\).*toarray"):
        read_images(X)


@pytest.mark.parametrize(
    "item", ["one.png", b"one.png", Path("one.png"), Image.new("L", (2, 2))], ids=type
)
def test_a_single_image_is_refused(item: object) -> None:
    with pytest.raises(TypeError, match=r"needs a list of images\. Got a single one, .*\[image\]"):
        read_images(item)


@pytest.mark.parametrize("make", [lambda x: (i for i in x), iter, lambda x: map(str, x)])
def test_what_can_be_read_once_only_is_refused(make) -> None:
    with pytest.raises(TypeError, match=r"reads its input more than once\. Got .*: pass list\(X\)"):
        read_images(make(["one.png", "two.png"]))


def test_a_dictionary_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"Got dict with the keys 'image', which is neither: .*X\['image'\]"
    ):
        read_images({"image": 1})


# Tables, lists and other forms of arrays -------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_frames_of_pixels(make, dtype: str) -> None:
    rows = (_pixels(3, 9) % 2).astype(dtype)
    frame = make(rows)
    images = read_images(frame)
    (loaded,) = _load(images)
    np.testing.assert_array_equal(loaded[..., 0], rows.reshape(3, 3, 3), strict=True)
    assert images.table is frame


def test_a_pandas_frame_of_nullable_pixels() -> None:
    frame = pd.DataFrame(_pixels(2, 4).astype(int)).astype("Int64")
    np.testing.assert_array_equal(_load(read_images(frame))[0].ravel(), range(8))
    frame.iloc[1, 2] = pd.NA
    assert np.isnan(_load(read_images(frame))[0]).sum() == 1


def test_an_arrow_table_of_pixels_is_an_array() -> None:
    table = pa.table({name: [1.0, 2.0] for name in "abcd"})
    assert read_images(table).image_shape == (2, 2, 1)


def test_nested_lists() -> None:
    pixels = _pixels(2, 4, 4, 3).astype(int)
    for nested in (pixels.tolist(), tuple(pixels.tolist()), pixels[..., 0].tolist()):
        expected = np.asarray(nested).reshape(2, 4, 4, -1)
        np.testing.assert_array_equal(_load(read_images(nested))[0], expected)
    rows = read_images(pixels[..., 0].reshape(2, 16).tolist())
    np.testing.assert_array_equal(_load(rows)[0], pixels[..., :1])


def test_an_object_array_of_numbers_is_an_array() -> None:
    rows = _pixels(2, 4)
    np.testing.assert_array_equal(_load(read_images(rows.astype(object)))[0].ravel(), rows.ravel())


def test_large_arrays_are_loaded_in_slices() -> None:
    images = read_images(np.zeros((5, 1500, 1500), dtype=np.uint8))
    groups = [pixels for pixels, _ in images.load(0, 5, (0.0, 255.0))]
    assert [len(pixels) for pixels in groups] == [1, 1, 1, 1, 1]


def test_rows_in_a_list_are_rows() -> None:
    assert read_images(list(_pixels(3, 16))).image_shape == (4, 4, 1)


# Images one by one -----------------------------------------------------------------------------


def test_arrays_of_differing_sizes() -> None:
    items = [_pixels(4, 5), _pixels(6, 7, 3), _pixels(3, 6, 7), _pixels(2, 2, 4), _pixels(9, 9, 1)]
    images = read_images(items)
    assert isinstance(images, ImageList)
    assert images.image_shape is None
    assert images.table is None
    shapes = [(1, 4, 5, 1), (1, 6, 7, 3), (1, 6, 7, 3), (1, 2, 2, 4), (1, 9, 9, 1)]
    loaded = _load(images)
    assert [pixels.shape for pixels in loaded] == shapes
    np.testing.assert_array_equal(loaded[2][0], np.moveaxis(items[2], 0, -1))
    assert [pixels.shape for pixels in _load(images, 1, 3)] == shapes[1:3]


def test_nested_lists_of_differing_sizes() -> None:
    loaded = _load(read_images([[[1, 2], [3, 4]], [[5, 6, 7]]]))
    assert [pixels[0, ..., 0].tolist() for pixels in loaded] == [[[1, 2], [3, 4]], [[5, 6, 7]]]


PATHS = ["one.png", "two.png", "three.png"]
# NumPy's own strings of any length came with its version 2.
STRING_DTYPES = [np.dtypes.StringDType] if hasattr(np.dtypes, "StringDType") else []


@pytest.mark.parametrize(
    ("X", "has_columns"),
    [
        (PATHS, False),
        (tuple(PATHS), False),
        ([Path(path) for path in PATHS], False),
        (np.array(PATHS), False),
        (np.array(PATHS)[:, None], True),
        (np.array(PATHS, dtype=object), False),
        (np.array(PATHS, dtype=object)[:, None], True),
        *[(np.array(PATHS, dtype=dtype()), False) for dtype in STRING_DTYPES],
        (pd.Series(PATHS), False),
        (pd.Series(PATHS, dtype=object), False),
        (pd.Series(PATHS, dtype="category"), False),
        (pd.Series(PATHS, dtype="string"), False),
        (pd.Series([Path(path) for path in PATHS]), False),
        (pd.Index(PATHS), False),
        (pd.DataFrame({"path": PATHS}), True),
        (pl.Series(PATHS), False),
        (pl.DataFrame({"path": PATHS}), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_paths(X: object, has_columns: bool) -> None:
    images = read_images(X)  # none of the files is there: nothing is opened
    assert isinstance(images, ImageList)
    assert images.items == PATHS
    assert (images.table is X) if has_columns else (images.table is None)
    assert images.arrays == []


def test_object_columns_of_images() -> None:
    items = [_pixels(4, 5), "one.png", Image.new("L", (2, 3)), _pixels(2, 2, 3)]
    column = np.empty(4, dtype=object)
    column[:] = items
    for X in (column, column[:, None], pd.Series(items), pd.DataFrame({"image": column}), items):
        images = read_images(X)
        assert images.items[1:3] == items[1:3]
        assert [array.shape for array in images.arrays] == [(4, 5, 1), (2, 2, 3)]


@pytest.mark.parametrize(
    ("item", "got"),
    [
        (3.5, r"Got 3\.5 \(float\)"),
        (_pixels(4), r"Got ndarray of shape \(4,\) and dtype float32: reshape it"),
        (np.array([["a", "b"]]), r"dtype <U1"),
        (_pixels(2, 2, 2, 2), r"Got ndarray of shape \(2, 2, 2, 2\)"),
    ],
    ids=lambda value: "",
)
def test_an_item_that_is_no_image_is_named(item: object, got: str) -> None:
    problem = rf"Reader cannot read image 1 of the list: it must be a path, a PIL image, or .*{got}"
    with pytest.raises(TypeError, match=problem):
        read_images(["one.png", item], who="Reader")


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (_pixels(5, 5, 2), r"Image 1 of the list .* must have 1 \(grey\).* shape \(5, 5, 2\)"),
        (_pixels(0, 5), r"image 1 of the list: an image needs at least one pixel"),
        ([[1, 2], [3]], r"image 1 of the list: .*inhomogeneous"),
    ],
    ids=["channels", "empty", "ragged"],
)
def test_an_item_of_an_impossible_shape_is_named(item: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_images(["one.png", item])


# What holds no images ---------------------------------------------------------------------------

BYTES = b"\x89PNG" + bytes(5000)
DATE = datetime.date(2020, 1, 1)


def _objects(*items: object) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _struct_array(*items: object) -> pd.Series:
    kind = pa.struct([("a", pa.binary())])
    return pd.Series(items, dtype=pd.ArrowDtype(kind))


COLUMNS = [
    pd.Series,
    lambda items: pd.DataFrame({"image": items}),
    pl.Series,
    lambda items: pl.DataFrame({"image": items}),
    lambda items: pa.table({"image": pa.array(items)}),
    lambda items: _objects(*items),
    lambda items: _objects(*items)[:, None],
    list,
    tuple,
]


@pytest.mark.parametrize("make", COLUMNS)
@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (
            {"a": 1, "b": 2},
            r"Got dict with the keys 'a', 'b': pass the path or image that",
        ),
        (
            {"bytes": BYTES, "label": "cat"},
            r"Got dict with the keys 'bytes', 'label': .*, such as item\['bytes'\]",
        ),
    ],
    ids=["numbers", "labelled"],
)
def test_columns_of_no_images_are_named_by_item(make: Any, item: object, problem: str) -> None:
    X = make([item] * 6)
    container = "list" if isinstance(X, list | tuple) else type(X).__name__
    where = f"Reader cannot read image 0 of the {container}: it must be a path, a PIL image, or .*"
    with pytest.raises(TypeError, match=where + problem) as caught:
        read_images(X, who="Reader")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("make", [list, pd.Series, lambda items: _objects(*items)])
@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (DATE, "Got date: select the column"),
        (object(), "Got object: select the column"),
        ({1, 2}, "Got set: select the column"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_that_are_no_images_are_named(make: Any, item: object, problem: str) -> None:
    for items in ([item, item], ["one.png", item]):
        with pytest.raises(TypeError, match=rf"cannot read image {items.index(item)} .*{problem}"):
            read_images(make(items))


@pytest.mark.parametrize("make", COLUMNS)
def test_columns_of_nothing_are_missing_images(make: Any) -> None:
    with pytest.raises(ValueError, match=r"an image at every pos.* Got .* at positions 0, 1: leav"):
        read_images(make([None, None]))


@pytest.mark.parametrize("make", [list, pd.Series, pl.Series, pd.Index, np.array])
@pytest.mark.parametrize("values", [[1, 2, 3], [0.5, 1, 2]])
def test_a_column_of_numbers_is_no_set_of_images(make: Any, values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"Got 1-D data of shape \(3,\).*\. Reshape your data"):
        read_images(make(values))


def test_a_series_of_numbers_is_named_by_dtype() -> None:
    with pytest.raises(ValueError, match=r"of shape \(2,\), Series of dtype int64\. Reshape"):
        read_images(pd.Series([1, 2]))


@pytest.mark.parametrize(
    "X",
    [
        pd.Series([DATE, DATE], dtype="datetime64[ns]"),
        pd.DataFrame({"a": pd.to_datetime([DATE] * 2)}),
        pd.DataFrame({"a": pd.to_datetime([DATE] * 2), "b": [1, 2]}),
        pl.Series([DATE, DATE]),
        pl.DataFrame({"a": [DATE, DATE]}),
        pl.DataFrame({"a": [DATE, DATE], "b": [1, 2]}),
        pl.DataFrame({"a": [DATE - DATE] * 2, "b": [1, 2]}),
    ],
    ids=range(7),
)
def test_dates_are_no_pixels(X: object) -> None:
    problem = r"(date|Date|Duration|timedelta).*: select the column of paths or the columns of pix"
    with pytest.raises((TypeError, ValueError), match=problem):
        read_images(X)


@pytest.mark.parametrize("nested", [{"a": 1, "b": 2}, [1, 2]], ids=["struct", "list"])
def test_nested_columns_beside_others_are_no_pixels(nested: object) -> None:
    with pytest.raises(ValueError, match=r"Got DataFrame, which is neither: its column 'a' holds"):
        read_images(pl.DataFrame({"a": [nested] * 6, "b": [1] * 6}))


@pytest.mark.parametrize(
    "X", [_struct_array({"a": BYTES}, {"a": BYTES}), pl.LazyFrame({"a": [1]}), {"a": BYTES}]
)
def test_other_containers_have_one_error(X: object) -> None:
    with pytest.raises(
        TypeError, match=r"^Reader (cannot read image 0|needs images) .*Got"
    ) as caught:
        read_images(X, who="Reader")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "X",
    [
        np.array([[BYTES, BYTES]], dtype=object),
        pd.DataFrame({"a": [BYTES], "b": [1]}),
        np.array(BYTES, dtype=object),
        [[BYTES, 1], [BYTES, 2]],
        BYTES,
    ],
    ids=range(5),
)
def test_the_content_of_files_is_never_printed(X: object) -> None:
    with pytest.raises((TypeError, ValueError), match="Reader needs") as caught:
        read_images(X, who="Reader")
    assert "x00" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("make", [pl.Series, lambda items: pl.DataFrame({"image": items})])
def test_structs_are_not_flattened(make: Any) -> None:
    """Six rows of two paths are not twelve images."""
    X = make([{"image": "one.png", "mask": "two.png"}] * 6)
    with pytest.raises(TypeError, match=r"Got dict with the keys 'image', 'mask': .*item\['image'"):
        read_images(X)


class _Flattened:
    """A container of six entries whose values come out as twelve."""

    shape = (6,)

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __len__(self) -> int:
        return 6

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._values


@pytest.mark.parametrize("values", [np.array(["one.png"] * 12), np.ones((12, 4, 4))])
def test_each_entry_is_one_image(values: np.ndarray) -> None:
    problem = (
        r"Reader needs one image for each entry of its input\. Got _Flattened of 6 .* as 12 im"
    )
    with pytest.raises(ValueError, match=problem):
        read_images(_Flattened(values), who="Reader")


def test_arrow_arrays_of_paths_are_paths() -> None:
    for X in (pa.array(PATHS), pa.table({"path": PATHS})):
        assert read_images(X).items == PATHS


# Laziness --------------------------------------------------------------------------------------


def test_nothing_is_decoded_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for value, path in enumerate(paths):
        Image.new("L", (2, 2), value).save(path)
    decoded = []
    real = images_module.decode
    monkeypatch.setattr(
        images_module, "decode", lambda item, *rest: decoded.append(item) or real(item, *rest)
    )
    images = read_images(paths)
    images.check_files()
    assert decoded == []
    stream = images.load(1, 3, None)
    assert decoded == []
    pixels, value_range = next(stream)
    assert decoded == paths[1:2]
    assert (pixels.tolist(), value_range) == ([[[[1], [1]], [[1], [1]]]], (0, 255))


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((6, 16), None), ((6, 4, 4), None), ((6, 4, 4, 3), None), ((6, 3, 5, 5), None),
     ((6, 75), (3, 5, 5))],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["uint8", "float64", "bool"])
def test_arrays_are_not_copied(
    shape: tuple[int, ...], image_shape: tuple[int, ...] | None, dtype: str
) -> None:
    X = _pixels(*shape).astype(dtype)
    (loaded,) = _load(read_images(X, image_shape=image_shape), 2, 5)
    assert loaded.dtype == dtype
    assert np.shares_memory(loaded, X)


def test_images_of_a_list_are_not_copied() -> None:
    items = [_pixels(4, 5), _pixels(3, 6, 7)]
    for loaded, item in zip(_load(read_images(items)), items, strict=True):
        assert np.shares_memory(loaded, item)


def test_memory_maps_are_read_where_they_lie(tmp_path: Path) -> None:
    pixels = _pixels(6, 4, 4)
    np.save(tmp_path / "images.npy", pixels)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    (loaded,) = _load(read_images(mapped), 2, 4)
    assert np.shares_memory(loaded, mapped)
    assert not loaded.flags.writeable
    np.testing.assert_array_equal(loaded[..., 0], pixels[2:4])


# Files that cannot be read ---------------------------------------------------------------------


@pytest.fixture
def broken_files(tmp_path: Path) -> dict[str, str]:
    """Files that are fine, cut, no image, and missing."""
    paths = {name: str(tmp_path / f"{name}.png") for name in ("good", "cut", "text", "missing")}
    noise = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    Image.fromarray(noise).save(paths["good"])
    Path(paths["cut"]).write_bytes(Path(paths["good"]).read_bytes()[:300])
    Path(paths["text"]).write_text("hello")
    return paths


def test_all_missing_files_are_named(broken_files: dict[str, str], tmp_path: Path) -> None:
    missing = [broken_files["missing"], str(tmp_path / "other.png")]
    with pytest.raises(FileNotFoundError, match=r"2 of 3 cannot:") as caught:
        read_images([missing[0], broken_files["good"], missing[1]]).check_files()
    for path in missing:
        assert f"{path!r}: no such file" in str(caught.value)
    assert "none is replaced by an empty image" in str(caught.value)
    assert broken_files["good"] not in str(caught.value)


def test_missing_and_unreadable_files_are_named_together(
    broken_files: dict[str, str], tmp_path: Path
) -> None:
    items = [broken_files["missing"], broken_files["text"], str(tmp_path), broken_files["good"]]
    with pytest.raises(OSError, match=r"Reader needs image files .* 3 of 4 cannot:") as caught:
        read_images(items, who="Reader").check_files()
    message = str(caught.value)
    assert f"{items[0]!r}: no such file" in message
    assert f"{items[1]!r}: not an image that Pillow can read" in message
    assert f"{items[2]!r}: it is a folder, not an image file" in message
    assert not isinstance(caught.value, FileNotFoundError)


def test_what_headers_tell_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    path = str(tmp_path / "floats.tif")
    floats = Image.fromarray(np.ones((2, 2), np.float32))
    floats.save(path)
    problem = "its pixels are 32-bit floats, .* set value_range"
    with pytest.raises(OSError, match=rf"(?s)1 of 1 cannot:.*floats\.tif': {problem}"):
        read_images([path]).check_files()
    with pytest.raises(OSError, match=rf"cannot read image 1, <PIL.*: {problem}"):
        read_images([Image.new("L", (2, 2)), floats]).check_files()
    read_images([path, floats], value_range=(0, 1)).check_files()


def test_numpy_strings_are_named_like_others(broken_files: dict[str, str]) -> None:
    path = broken_files["missing"]
    with pytest.raises(FileNotFoundError) as caught:
        read_images(np.array([path])).check_files()
    assert f"  {path!r}: no such file" in str(caught.value)


def test_files_that_fail_on_decoding_are_all_named(broken_files: dict[str, str]) -> None:
    second = broken_files["cut"].replace("cut", "also-cut")
    Path(second).write_bytes(Path(broken_files["cut"]).read_bytes())
    good = broken_files["good"]
    images = read_images([good, broken_files["cut"], good, _pixels(3, 3), second])
    images.check_files()  # their headers are fine
    with pytest.raises(OSError, match="2 of 5 cannot:") as caught:
        _load(images, 0, 3)
    assert f"{broken_files['cut']!r}: " in str(caught.value)
    assert f"{second!r}: " in str(caught.value)
    assert good not in str(caught.value)


def test_a_pil_image_that_fails_is_named_by_position(broken_files: dict[str, str]) -> None:
    with (
        Image.open(broken_files["cut"]) as image,
        pytest.raises(OSError, match=r"cannot read image 1, <PIL.*truncated"),
    ):
        _load(read_images([broken_files["good"], image]))
    with pytest.raises(OSError, match=r"cannot read image 0, <PIL.*it has no pixels: 0 x 3"):
        _load(read_images([Image.new("L", (0, 3))]))


def test_whatever_a_pil_image_raises_names_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    images = read_images([_pixels(3, 3), Image.new("L", (2, 2))], who="Reader")

    def fail(self: object) -> None:
        raise IndexError("bytearray index out of range")

    problem = r"Reader cannot read image 1, <PIL.*: Pillow fails with IndexError: bytearray index"
    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(OSError, match=problem):
        _load(images)
    monkeypatch.setattr(images_module, "check_header", lambda *_: decode(images.items[1]))
    with pytest.raises(OSError, match=problem):
        images.check_files()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_of_too_many_pixels_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "large.png")
    large = Image.new("L", (30, 20))
    large.save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(
        OSError, match=r"(?s)1 of 1 cannot:.*large\.png': its 30 x 20 pixels are too"
    ):
        read_images([path]).check_files()
    with pytest.raises(OSError, match=r"cannot read image 0, <PIL.*: its 30 x 20 pixels are too"):
        read_images([large]).check_files()


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1, 3), (3, 1, 100_000)])
def test_no_side_in_memory_is_longer_than_one_in_files(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.zeros(shape, np.uint8)
    problem = r"x .* pixels are too many: PIL\.Image\.MAX_IMAGE_PIXELS .* no side above 89,478"
    for images in (image[None], [image, image[..., :50_000]]):
        with pytest.raises(ValueError, match=problem):
            read_images(images, who="test")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert len(read_images([image], who="test")) == 1
