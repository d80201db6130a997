"""Every form in which people hold images gives the same features, or one clear error."""

from __future__ import annotations

import base64
import io
import pickle
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from PIL import Image, features as pil_features
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits

from sktransfer import ImageWarning, VGGFeatureExtractor

N = 3
GREY = np.random.default_rng(0).integers(0, 256, (N, 12, 12), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (N, 12, 12, 3), dtype=np.uint8)


def _extractor(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "avg", "input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


def _save(folder: Path, images: np.ndarray, extension: str = "png", **options: Any) -> list[str]:
    paths = [str(folder / f"{i}.{extension}") for i in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path, **options)
    return paths


def _assert_same(features: np.ndarray, reference: np.ndarray, bound: float = 1e-3) -> None:
    assert features.shape == reference.shape
    error = np.linalg.norm(features - reference, axis=1) / np.linalg.norm(reference, axis=1)
    assert error.max() < bound


def _object_column(items: list[Any]) -> np.ndarray:
    column = np.empty((len(items), 1), dtype=object)
    column[:, 0] = items
    return column


# -- arrays and tables

GREY_FORMS: dict[str, Callable[[], Any]] = {
    "rows": lambda: GREY.reshape(N, -1),
    "one channel last": lambda: GREY[..., None],
    "one channel first": lambda: GREY[:, None],
    "rgb copy": lambda: np.repeat(GREY[..., None], 3, axis=3),
    "opaque rgba": lambda: np.dstack(
        [*[GREY.reshape(N, -1)] * 3, np.full((N, 144), 255, np.uint8)]
    ).reshape(N, 12, 12, 4),
    "nested lists of rows": lambda: GREY.reshape(N, -1).tolist(),
    "nested lists": lambda: GREY.tolist(),
    "list of arrays": lambda: list(GREY),
    "object column": lambda: _object_column(list(GREY)),
    "series of arrays": lambda: pd.Series(list(GREY)),
    "pandas": lambda: pd.DataFrame(GREY.reshape(N, -1)).add_prefix("pixel"),
    "polars": lambda: pl.DataFrame(GREY.reshape(N, -1)),
    "fortran order": lambda: np.asfortranarray(GREY),
    "negative strides": lambda: GREY[:, ::-1][:, ::-1],
    "big endian": lambda: GREY.astype(">i4"),
    "pil images": lambda: [Image.fromarray(image) for image in GREY],
    "pil object column": lambda: _object_column([Image.fromarray(image) for image in GREY]),
    "pil rgb": lambda: [Image.fromarray(image).convert("RGB") for image in GREY],
    **{
        dtype: lambda dtype=dtype: GREY.astype(dtype)
        for dtype in ["int16", "int32", "int64", "uint32", "float16", "float32", "float64"]
    },
    "0 to 1": lambda: GREY / 255,
    "16 bits": lambda: GREY.astype(np.uint16) * 257,
    "16 bits, pil": lambda: [Image.fromarray(image) for image in GREY.astype(np.uint16) * 257],
}


@pytest.mark.parametrize("form", GREY_FORMS)
def test_grey_images_are_the_same_in_every_form(form: str) -> None:
    reference = _extractor().fit_transform(GREY)
    X = GREY_FORMS[form]()
    _assert_same(_extractor().fit_transform(X), reference)


COLOUR_FORMS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "rows": lambda: (COLOUR.reshape(N, -1), {"image_shape": (12, 12, 3)}),
    "rows, channels first": lambda: (
        np.moveaxis(COLOUR, 3, 1).reshape(N, -1),
        {"image_shape": (3, 12, 12)},
    ),
    "channels first": lambda: (np.moveaxis(COLOUR, 3, 1), {}),
    "nested lists": lambda: (COLOUR.tolist(), {}),
    "list of arrays": lambda: (list(COLOUR), {}),
    "pil images": lambda: ([Image.fromarray(image) for image in COLOUR], {}),
    "0 to 1": lambda: (COLOUR / 255, {}),
    "data frame": lambda: (pd.DataFrame(COLOUR.reshape(N, -1)), {"image_shape": (12, 12, 3)}),
}


@pytest.mark.parametrize("form", COLOUR_FORMS)
def test_colour_images_are_the_same_in_every_form(form: str) -> None:
    reference = _extractor().fit_transform(COLOUR)
    X, params = COLOUR_FORMS[form]()
    _assert_same(_extractor(**params).fit_transform(X), reference)


def test_rgb_rows_are_guessed_with_a_warning() -> None:
    rows = np.moveaxis(COLOUR, 3, 1).reshape(N, -1)
    with pytest.warns(ImageWarning, match=r"channels last.*image_shape=\(3, 12, 12\)"):
        guessed = _extractor().fit_transform(rows)
    said = _extractor(image_shape=(12, 12, 3)).fit_transform(rows)
    np.testing.assert_array_equal(guessed, said)


def test_white_of_the_embedded_digits_is_white() -> None:
    digits = load_digits().images[:20]
    extractor = _extractor()
    features = extractor.fit_transform(digits)
    assert extractor.value_range_ == (0, 16)
    _assert_same(features, _extractor(value_range=(0, 255)).fit_transform(digits * (255 / 16)))


def test_bool_is_black_and_white() -> None:
    mask = GREY > 127
    _assert_same(_extractor().fit_transform(mask), _extractor().fit_transform(mask * np.uint8(255)))


def test_memory_maps_are_read_in_place(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", GREY)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    features = _extractor().fit_transform(mapped)
    np.testing.assert_array_equal(features, _extractor().fit_transform(GREY))


# -- files

PATH_FORMS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "list of Path": lambda paths: [Path(path) for path in paths],
    "array": np.array,
    "object array": lambda paths: np.array(paths, dtype=object),
    "object column": _object_column,
    "pandas series": pd.Series,
    "pandas column": lambda paths: pd.DataFrame({"path": paths}),
    "polars series": pl.Series,
    "polars column": lambda paths: pl.DataFrame({"path": paths}),
}


@pytest.mark.parametrize("form", PATH_FORMS)
def test_paths_in_every_form(form: str, tmp_path: Path) -> None:
    paths = _save(tmp_path, COLOUR)
    features = _extractor().fit_transform(PATH_FORMS[form](paths))
    np.testing.assert_array_equal(features, _extractor().fit_transform(COLOUR))


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("column", ["path", ["path"]])
def test_a_column_of_paths_in_a_column_transformer(
    container: type, column: Any, tmp_path: Path
) -> None:
    paths = _save(tmp_path, GREY)
    table = container({"path": paths, "weight": [1.0, 2.0, 3.0]})
    transformer = ColumnTransformer([("image", _extractor(), column)])
    features = transformer.fit_transform(table)
    np.testing.assert_array_equal(features, _extractor().fit_transform(GREY))
    np.testing.assert_array_equal(transformer.transform(table[:2]), features[:2])


@pytest.mark.parametrize(
    ("extension", "options", "bound"),
    [
        ("png", {}, 1e-6),
        ("bmp", {}, 1e-6),
        ("tiff", {}, 1e-6),
        ("tiff", {"compression": "tiff_lzw"}, 1e-6),
        ("webp", {"lossless": True}, 1e-6),
        ("jpg", {"quality": 100, "subsampling": 0}, 0.02),
    ],
)
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_file_formats(
    extension: str, options: dict[str, Any], bound: float, images: np.ndarray, tmp_path: Path
) -> None:
    paths = _save(tmp_path, images, extension, **options)
    reference = _extractor().fit_transform(images)
    _assert_same(_extractor().fit_transform(paths), reference, bound)


def test_files_of_16_bits_palettes_and_alpha(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 257
    reference = _extractor().fit_transform(GREY)
    for extension in ("png", "tif"):
        paths = _save(tmp_path, deep, extension)
        _assert_same(_extractor().fit_transform(paths), reference)
    palette = [Image.fromarray(image).convert("P") for image in GREY]
    for i, image in enumerate(palette):
        image.save(tmp_path / f"p{i}.png")
    _assert_same(_extractor().fit_transform([tmp_path / f"p{i}.png" for i in range(N)]), reference)
    clear = np.concatenate([COLOUR, np.zeros((N, 12, 12, 1), np.uint8)], axis=3)
    white = _extractor().fit_transform(np.full_like(COLOUR, 255))
    np.testing.assert_array_equal(_extractor().fit_transform(_save(tmp_path, clear)), white)


def test_16_bits_are_not_cut_to_8(tmp_path: Path) -> None:
    """Two images that 8 bits could not tell apart."""
    images = np.full((2, 12, 12), 25700, dtype=np.uint16)
    images[1] += 120
    features = _extractor().fit_transform(_save(tmp_path, images))
    assert (features[0] != features[1]).any()


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _save(tmp_path, COLOUR[:1], exif=exif)
    upright = np.rot90(COLOUR[:1], -1, axes=(1, 2))
    np.testing.assert_array_equal(
        _extractor().fit_transform(path), _extractor().fit_transform(upright)
    )


def test_differing_sizes_grey_and_colour_mixed(tmp_path: Path) -> None:
    images = [GREY[0], COLOUR[1, :7], COLOUR[2, :, :5], GREY[1, :6, :9]]
    extractor = _extractor().fit(images)
    features = extractor.transform(images)
    assert not hasattr(extractor, "image_shape_")
    for position, image in enumerate(images):
        alone = _extractor().fit_transform(image[None, ..., None] if image.ndim == 2 else [image])
        np.testing.assert_array_equal(alone[0], features[position])
    as_files = [str(tmp_path / f"{i}.png") for i in range(len(images))]
    for image, path in zip(images, as_files, strict=True):
        Image.fromarray(image).save(path)
    mixed = [as_files[0], images[1], Image.fromarray(images[2]), Path(as_files[3])]
    for form in (as_files, mixed):
        np.testing.assert_array_equal(_extractor().fit_transform(form), features)


# -- fit on one form, transform another


@pytest.mark.parametrize("first", [GREY, load_digits().images[:N]], ids=["bytes", "0 to 16"])
def test_files_have_their_own_range_whatever_was_fitted(first: np.ndarray, tmp_path: Path) -> None:
    reference = _extractor().fit_transform(GREY)
    extractor = _extractor().fit(first)
    deep = [Image.fromarray(image) for image in GREY.astype(np.uint16) * 257]
    for form in (_save(tmp_path, GREY), [Image.fromarray(image) for image in GREY], deep):
        _assert_same(extractor.transform(form), reference)


def test_arrays_of_a_telling_dtype_after_a_fit_on_files(tmp_path: Path) -> None:
    extractor = _extractor().fit(_save(tmp_path, GREY))
    assert extractor.value_range_ is None
    reference = extractor.transform(_save(tmp_path, GREY))
    np.testing.assert_array_equal(extractor.transform(GREY), reference)
    _assert_same(extractor.transform(GREY.astype(np.uint16) * 257), reference)
    with pytest.raises(ValueError, match="fitted on files and cannot determine black and white"):
        extractor.transform(GREY.astype(float))


def test_bytes_and_16_bit_files_in_one_list(tmp_path: Path) -> None:
    deep = _save(tmp_path, GREY.astype(np.uint16) * 257)
    features = _extractor().fit_transform([GREY[0], deep[1], Image.fromarray(GREY[2])])
    _assert_same(features, _extractor().fit_transform(GREY))


def test_a_given_range_holds_for_files_too(tmp_path: Path) -> None:
    paths = _save(tmp_path, GREY // 2)
    features = _extractor(value_range=(0, 127)).fit_transform(paths)
    arrays = _extractor(value_range=(0, 127)).fit_transform(GREY // 2)
    np.testing.assert_array_equal(features, arrays)


# -- nothing is changed


@pytest.mark.parametrize("form", GREY_FORMS)
def test_input_stays_as_it_was(form: str) -> None:
    X = GREY_FORMS[form]()
    if isinstance(X, np.ndarray):
        X.flags.writeable = False
    before = pickle.dumps(X)
    _extractor().fit(X).transform(X)
    assert pickle.dumps(X) == before


# -- what cannot be read


def _png_of_16_bit_colour() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0\1\2\3\4\5\6")
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _with(value: Any) -> np.ndarray:
    X = GREY.astype(complex if isinstance(value, complex) else float)
    X[1, 2, 3] = value
    return X


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "nan": (_with(np.nan), ValueError, r"finite pixel values.*1 of 3 images, at positions \[1\]"),
    "infinity": (_with(-np.inf), ValueError, r"Got infinity in .*at positions \[1\]"),
    "complex": (_with(1j), ValueError, "[Cc]omplex data"),
    "sparse": (scipy.sparse.csr_matrix(np.eye(4)), TypeError, r"dense .*pass X\.toarray\(\)"),
    "masked": (np.ma.masked_greater(GREY, 250), ValueError, r"masked values: fill them"),
    "words": (["cat", "dog"], FileNotFoundError, "(?s)2 of 2 cannot.*'cat': no such file.*'dog'"),
    "no images": (GREY[:0], ValueError, "at least one image"),
    "no rows": (np.empty((0, 64)), ValueError, r"at least one image\. Got X of shape \(0, 64\)"),
    "empty list": ([], ValueError, "VGGFeatureExtractor"),
    "no height": (GREY[:, :0], ValueError, r"at least one pixel|0 feature"),
    "two channels": (np.repeat(GREY[..., None], 2, 3), ValueError, "1 .grey., 3 .RGB. or 4"),
    "five channels": (np.repeat(GREY[..., None], 5, 3), ValueError, "1 .grey., 3 .RGB. or 4"),
    "five dimensions": (GREY[None, None], ValueError, "VGGFeatureExtractor"),
    "one dimension": (GREY[0, 0], ValueError, r"Reshape your data|1D array"),
    "rows of unlikely length": (np.ones((2, 65)), ValueError, "5 x 13"),
    "iterator": (iter(GREY), TypeError, r"pass list\(X\)"),
    "one path": ("image.png", TypeError, r"put it into a list, \[image\]"),
    "one pil image": (Image.fromarray(GREY[0]), TypeError, r"put it into a list, \[image\]"),
    "rows of differing length": ([[1.0, 2.0], [3.0]], ValueError, "neither"),
    "text and pixels": ([GREY[0], 3], TypeError, "cannot read image 1 of the list"),
    "mixed depths": ([GREY[0], GREY[1, :5].astype("uint16")], ValueError, "ranges differ"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name: str) -> None:
    X, error, message = BAD[name]
    with pytest.raises(error, match=message):
        _extractor().fit(X)


def test_all_unreadable_files_are_named(tmp_path: Path) -> None:
    good = _save(tmp_path, GREY[:1])[0]
    text = tmp_path / "text.png"
    text.write_text("no image")
    deep = tmp_path / "deep.png"
    deep.write_bytes(_png_of_16_bit_colour())
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(good).read_bytes()[:80])
    paths = [good, str(text), str(tmp_path / "missing.png"), str(tmp_path), str(deep)]
    with pytest.raises(OSError, match=r"(?s)4 of 5 cannot.*none is replaced") as caught:
        _extractor().fit(paths)
    for path in paths[1:]:
        assert repr(path) in str(caught.value)
    assert "its 16 bits per channel would be cut to 8" in str(caught.value)
    assert repr(good) not in str(caught.value)
    # What the header does not tell comes out when the pixels are read, again all at once.
    also_cut = shutil.copy(cut, tmp_path / "also-cut.png")
    extractor = _extractor().fit([good, cut, also_cut])
    with pytest.raises(OSError, match=r"(?s)2 of 4 cannot") as caught:
        extractor.transform([good, cut, good, also_cut])
    for path in (cut, also_cut):
        assert repr(str(path)) in str(caught.value)


def test_only_missing_files_are_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="1 of 1"):
        _extractor().fit([tmp_path / "missing.png"])


def test_another_shape_than_the_fitted_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 7), dtype=np.uint8)
    extractor = _extractor().fit(images)
    with pytest.raises(ValueError, match=r"images of shape \(8, 7, 1\).*Got .*\(7, 8, 1\)"):
        extractor.transform(images.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"Got images of shape \(8, 7, 3\)|expecting 56 features"):
        extractor.transform(np.repeat(images[..., None], 3, axis=3))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"layer": "block3pool"}, "Did you mean 'block3_pool'"),
        ({"layer": ["flatten", "blok1_conv1"], "pooling": None}, "Did you mean 'block1_conv1'"),
        ({"layer": "fc1", "pooling": None}, "exists at an input size of 224 pixels only"),
        ({"layer": "fc1", "pooling": "avg", "input_size": 224}, "pools feature maps.*'fc1'"),
        ({"layer": "flatten"}, "pools feature maps.*'flatten'"),
        ({"layer": []}, "must name at least one layer"),
        ({"layer": ["flatten", "flatten"], "pooling": None}, "must name each layer once"),
        ({"image_shape": (5, 5)}, r"'image_shape' parameter .* must be the shape of each image"),
        ({"image_shape": (0, 5)}, r"'image_shape' parameter .* positive ints"),
        ({"value_range": (1, 1)}, r"'value_range' parameter .* two different finite numbers"),
        ({"value_range": (0, np.inf)}, r"'value_range' parameter .* finite"),
        ({"value_range": (0, 10**400)}, r"'value_range' parameter .* finite"),
        ({"value_range": np.array([np.nan, 1])}, r"finite numbers, .* Got array\(\[nan,  1\.\]\)"),
        ({"value_range": np.array([[0, 1]])}, r"numbers, .* Got array\(\[\[0, 1\]\]\)"),
        ({"value_range": [np.float32("nan"), np.float32(1)]}, r"'value_range' parameter .* finite"),
        ({"value_range": np.array(5)}, r"numbers, .* Got array\(5\)"),
        ({"value_range": np.array(["a", "b"])}, r"'value_range' parameter .* numbers"),
    ],
)
def test_parameters_that_do_not_fit(params: dict[str, Any], message: str) -> None:
    params = {"layer": "block1_pool"} | params
    with pytest.raises(ValueError, match=message):
        _extractor(**params).fit(GREY)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_the_same_error_at_transform(name: str) -> None:
    X, error, message = BAD[name]
    extractor = _extractor().fit([GREY[0], GREY[1, :5]])  # after which any shape will do
    before = pickle.dumps(extractor)
    with pytest.raises(error, match=message):
        extractor.transform(X)
    assert pickle.dumps(extractor) == before


# -- one form after the other

ANY_FORM: dict[str, Callable[[list[str], list[str]], Any]] = {
    "images": lambda paths, deep: GREY,
    "rows": lambda paths, deep: GREY.reshape(N, -1),
    "list of paths": lambda paths, deep: paths,
    "object column of paths": lambda paths, deep: _object_column(paths),
    "pandas column of paths": lambda paths, deep: pd.DataFrame({"path": paths}),
    "polars column of paths": lambda paths, deep: pl.DataFrame({"path": paths}),
    "16-bit paths": lambda paths, deep: deep,
    "pil images": lambda paths, deep: [Image.fromarray(image) for image in GREY],
    "pil column": lambda paths, deep: _object_column([Image.fromarray(image) for image in GREY]),
    "everything": lambda paths, deep: [GREY[0], deep[1], Image.fromarray(GREY[2])],
}


# That names of columns are new or gone is scikit-learn's to say.
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
@pytest.mark.parametrize("fitted", ANY_FORM)
def test_any_form_may_follow_any_other(fitted: str, tmp_path: Path) -> None:
    paths = _save(tmp_path, GREY)
    (tmp_path / "deep").mkdir()
    deep = _save(tmp_path / "deep", GREY.astype(np.uint16) * 257)
    reference = _extractor().fit_transform(GREY)
    extractor = _extractor().fit(ANY_FORM[fitted](paths, deep))
    failures = []
    for form, make in ANY_FORM.items():
        try:
            _assert_same(extractor.transform(make(paths, deep)), reference)
        except ValueError as error:
            failures.append(f"{form}: {error}")
    assert not failures


def test_nested_lists_of_single_paths_are_a_column(tmp_path: Path) -> None:
    paths = _save(tmp_path, GREY)
    features_of_column = _extractor().fit_transform([[path] for path in paths])
    np.testing.assert_array_equal(features_of_column, _extractor().fit_transform(GREY))


def test_another_number_of_columns_than_the_fitted_one() -> None:
    extractor = _extractor(image_shape=(8, 7)).fit(np.ones((2, 56), dtype=bool))
    with pytest.raises(ValueError, match=r"must multiply to the number of columns\..*\(2, 72\)"):
        extractor.transform(np.ones((2, 72), dtype=bool))
    extractor = _extractor().fit(GREY.reshape(N, -1))
    with pytest.raises(ValueError, match=r"X has 121 features, but .* is expecting 144 "):
        extractor.transform(np.ones((2, 121), dtype=np.uint8))


# -- values


def test_white_is_white_in_every_form(tmp_path: Path) -> None:
    """Black and white, which no rounding touches, seen by an extractor fitted on 0 to 16."""
    images = load_digits().images[:N]
    extractor = _extractor().fit(images)
    black_and_white = (images > 8) * 16.0
    reference = extractor.transform(black_and_white)
    as_bytes = (images > 8) * np.uint8(255)
    _assert_same(_extractor().fit_transform(as_bytes), reference, 1e-6)
    _assert_same(extractor.transform(_save(tmp_path, as_bytes)), reference, 1e-6)
    _assert_same(extractor.transform([Image.fromarray(i > 8) for i in images]), reference, 1e-6)
    as_columns = pd.DataFrame(black_and_white.reshape(N, -1))
    _assert_same(extractor.transform(as_columns), reference, 1e-6)


ALPHA = np.random.default_rng(2).integers(0, 256, (N, 12, 12, 1), dtype=np.uint8)
CLEAR = np.concatenate([COLOUR, ALPHA], axis=3)
ALPHA_FORMS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda folder: CLEAR,
    "channels first": lambda folder: np.moveaxis(CLEAR, 3, 1),
    "0 to 1": lambda folder: CLEAR / 255,
    "integers": lambda folder: CLEAR.astype(np.int64),
    "16 bits": lambda folder: CLEAR.astype(np.uint16) * 257,
    "rows": lambda folder: CLEAR.reshape(N, -1),
    "pil images": lambda folder: [Image.fromarray(image) for image in CLEAR],
    "png": lambda folder: _save(folder, CLEAR),
    "tiff": lambda folder: _save(folder, CLEAR, "tif"),
    "webp": lambda folder: _save(folder, CLEAR, "webp", lossless=True, exact=True),
    "differing sizes": lambda folder: [*CLEAR, CLEAR[0, :5]],
}


@pytest.mark.parametrize("form", ALPHA_FORMS)
def test_half_transparent_images_lie_over_white_in_every_form(form: str, tmp_path: Path) -> None:
    opacity = ALPHA / 255
    composed = np.minimum(COLOUR * opacity + 255 * (1 - opacity), 255)
    reference = _extractor(value_range=(0, 255)).fit_transform(composed)
    shape = (12, 12, 4) if form == "rows" else None
    found = _extractor(image_shape=shape).fit_transform(ALPHA_FORMS[form](tmp_path))
    _assert_same(found[:N], reference)


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (1, 0), (-1, 0), (0, -1)])
def test_opaque_floats_are_opaque_in_every_range(value_range: tuple[float, float]) -> None:
    black, white = value_range
    scaled = black + COLOUR / 255 * (white - black)
    opaque = np.concatenate([scaled, np.ones((N, 12, 12, 1))], axis=3)
    extractor = _extractor(value_range=value_range)
    reference = extractor.fit_transform(scaled)
    with warnings.catch_warnings():
        # Alpha of 1 may lie outside the range of the colours.
        warnings.simplefilter("ignore", ImageWarning)
        _assert_same(extractor.fit(opaque).transform(opaque), reference)


def test_the_largest_floats_are_no_reason_to_crash() -> None:
    X = np.zeros((1, 4, 4))
    X[0, 0, 0] = np.finfo(float).max
    with pytest.warns(ImageWarning, match="above every usual range"):
        extractor = _extractor().fit(X)
    assert np.isfinite(extractor.value_range_).all()


# -- files that are special


def _bmp_of_16_bit_pixels(masks: tuple[int, int, int], pixels: np.ndarray) -> bytes:
    """Write 16 bits per pixel, that is 5 or 6 per channel: no depth is lost in 8."""
    height, width = pixels.shape
    content = pixels[::-1].astype("<u2").tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, len(content), 0, 0, 0, 0)
    header += struct.pack("<3I", *masks)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start) + header + content


@pytest.mark.parametrize(
    "masks", [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)], ids=["5-6-5", "5-5-5"]
)
def test_bmp_of_16_bits_per_pixel(masks: tuple[int, int, int], tmp_path: Path) -> None:
    is_full = np.random.default_rng(0).integers(0, 2, (12, 12, 3))
    path = tmp_path / "image.bmp"
    path.write_bytes(_bmp_of_16_bit_pixels(masks, is_full @ np.array(masks)))
    expected = _extractor().fit_transform((is_full * 255).astype(np.uint8)[None])
    np.testing.assert_array_equal(_extractor().fit_transform([path]), expected)


def _tiff_of_16_bit_colour(order: str) -> bytes:
    data = bytes(range(6))
    entries = [(256, 1), (257, 1), (258, 8 + len(data)), (259, 1), (262, 2), (273, 8), (277, 3)]
    entries += [(278, 1), (279, len(data))]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in entries:
        kind, count = (3, 3) if tag == 258 else (4, 1)
        directory += struct.pack(f"{order}HHII", tag, kind, count, value)
    depths = struct.pack(f"{order}3H", 16, 16, 16)
    magic = b"II" if order == "<" else b"MM"
    header = magic + struct.pack(f"{order}HI", 42, 8 + len(data) + len(depths))
    return header + data + depths + directory + bytes(4)


# Pillow reads these formats and cannot write them this deep: 2 x 2 pixels of one colour, in JPEG
# 2000 of 16 and in AVIF of 10 bits per channel.
_JPEG_2000 = (
    "/0//UQAvAAAAAAACAAAAAgAAAAAAAAAAAAAAAgAAAAIAAAAAAAAAAAADDwEBDwEBDwEB/1IADAAAAAEBAAQEAAH/"
    "XAAEQID/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAyAAH/k8H+AcAIj57b"
    "HwPoz/wwJAHJeP7S7rfgb8/8MCAIgY6xHwPowf/Z"
)
_AVIF = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAA"
    "AAAAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAAIQAAAChpaW5mAAAA"
    "AAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAAgAAAAIA"
    "AAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2NvbHJuY2x4AAIAAgAAgAAAABdpcG1hAAAAAAAAAAEAAQQB"
    "AoMEAAAAKW1kYXQSAAoHOAA+cCAgCTIUEAAAAA/6P+HmMdcICs62r8Bq5UA="
)


@pytest.mark.parametrize("as_pil", [False, True], ids=["path", "pil"])
@pytest.mark.parametrize(
    ("make", "depth", "feature"),
    [
        pytest.param(_png_of_16_bit_colour, 16, "zlib", id="png"),
        pytest.param(lambda: _tiff_of_16_bit_colour("<"), 16, "zlib", id="tiff, little endian"),
        pytest.param(lambda: _tiff_of_16_bit_colour(">"), 16, "zlib", id="tiff, big endian"),
        pytest.param(lambda: base64.b64decode(_JPEG_2000), 16, "jpg_2000", id="jpeg 2000"),
        pytest.param(lambda: base64.b64decode(_AVIF), 10, "avif", id="avif"),
    ],
)
def test_deep_colour_is_refused_rather_than_cut(
    make: Callable[[], bytes], depth: int, feature: str, as_pil: bool, tmp_path: Path
) -> None:
    if feature not in pil_features.get_supported():
        pytest.skip(f"this Pillow reads no {feature}")
    path = tmp_path / "deep"
    path.write_bytes(make())
    X = [Image.open(io.BytesIO(make()))] if as_pil else [path]
    extractor = _extractor().fit(GREY)
    for method in (extractor.transform, _extractor().fit):  # before anything is computed
        with pytest.raises(OSError, match=rf"its {depth} bits per channel would be cut to 8: read"):
            method(X)


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_photographs_and_their_pil_images_are_turned_alike(
    orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = np.zeros((16, 32), dtype=np.uint8)
    image[:8, :8] = 255
    (path,) = _save(tmp_path, image[None], "jpg", exif=exif, quality=95)
    turn = {3: lambda a: a[::-1, ::-1], 5: lambda a: a.T, 6: lambda a: a[::-1].T}
    upright = turn.get(orientation, lambda a: a.T[::-1])(image)
    reference = _extractor("block2_pool", pooling=None).fit_transform(upright[None])
    extractor = _extractor("block2_pool", pooling=None).fit([path])
    _assert_same(extractor.transform([path]), reference, 0.05)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(extractor.transform([opened]), extractor.transform([path]))
        assert opened.size == (32, 16)


def test_palettes_and_transparent_entries_are_their_colours(tmp_path: Path) -> None:
    palette = [Image.fromarray(image).quantize(16) for image in COLOUR]
    colours = np.stack([np.asarray(image.convert("RGB")) for image in palette])
    reference = _extractor().fit_transform(colours)
    for extension in ("png", "bmp", "tif"):
        paths = [tmp_path / f"{i}.{extension}" for i in range(N)]
        for image, path in zip(palette, paths, strict=True):
            image.save(path)
        np.testing.assert_array_equal(_extractor().fit_transform(paths), reference)
    palette[0].save(tmp_path / "clear.png", transparency=3)
    is_clear = np.asarray(palette[0]) == 3
    assert is_clear.any()
    whitened = np.where(is_clear[..., None], 255, colours[0]).astype(np.uint8)
    np.testing.assert_array_equal(
        _extractor().fit_transform([tmp_path / "clear.png"]),
        _extractor().fit_transform(whitened[None]),
    )


# -- nothing is changed, whatever it is


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "bool"])
@pytest.mark.parametrize("form", ["rows", "channels last", "channels first"])
def test_memory_maps_of_colour_stay_as_they_are(form: str, dtype: str, tmp_path: Path) -> None:
    X = COLOUR > 127 if dtype == "bool" else COLOUR.astype(dtype)
    X = X * np.uint16(257) if dtype == "uint16" else X
    expected = _extractor().fit_transform(X)
    if form != "channels last":
        X = np.moveaxis(X, 3, 1)
    X = X.reshape(N, -1) if form == "rows" else X
    path = tmp_path / "images.npy"
    np.save(path, X)
    before = path.read_bytes()
    for mode in ("r", "c", "r+"):
        mapped = np.load(path, mmap_mode=mode)
        extractor = _extractor(image_shape=(3, 12, 12) if form == "rows" else None)
        np.testing.assert_array_equal(extractor.fit(mapped).transform(mapped), expected)
        np.testing.assert_array_equal(mapped, X)
        del mapped
    assert path.read_bytes() == before


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


OTHER_FORMS: dict[str, Callable[[list[str]], Any]] = {
    "colour": lambda paths: _read_only(COLOUR),
    "colour, channels first": lambda paths: _read_only(np.moveaxis(COLOUR, 3, 1)),
    "colour, floats": lambda paths: _read_only(COLOUR.astype(np.float32)),
    "with alpha": lambda paths: _read_only(CLEAR),
    "with alpha, floats": lambda paths: _read_only(CLEAR / 255),
    "of the network's size": lambda paths: _read_only(np.resize(COLOUR, (2, 32, 32, 3)) * 1.0),
    "bool": lambda paths: _read_only(GREY > 127),
    "differing sizes": lambda paths: [_read_only(GREY[0] * 1.0), _read_only(COLOUR[1, :7] * 1.0)],
    "object column": lambda paths: _read_only(_object_column([GREY[0], COLOUR[1], paths[2]])),
    "paths": lambda paths: list(paths),
    "array of paths": lambda paths: _read_only(np.array(paths)),
    "pandas column of paths": lambda paths: pd.DataFrame({"path": paths}, index=[9, 4, 7]),
    "polars column of paths": lambda paths: pl.DataFrame({"path": paths}),
    "pil images with alpha": lambda paths: [Image.fromarray(image) for image in CLEAR],
    "pandas, floats": lambda paths: pd.DataFrame(GREY.reshape(N, -1) / 255).add_prefix("p"),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_other_input_stays_as_it_was(form: str, tmp_path: Path) -> None:
    paths = _save(tmp_path, GREY)
    contents = [Path(path).read_bytes() for path in paths]
    X = OTHER_FORMS[form](paths)
    before = pickle.dumps(X)
    _extractor().fit(X).transform(X)
    assert pickle.dumps(X) == before
    assert [Path(path).read_bytes() for path in paths] == contents


def test_a_list_of_images_that_are_alike_fixes_no_shape() -> None:
    # As in one fold of images of differing size.
    for alike in (list(GREY), _object_column(list(GREY)), [Image.fromarray(GREY[0])] * 2):
        extractor = _extractor().fit(alike)
        assert not hasattr(extractor, "image_shape_")
        assert extractor.transform([GREY[0], COLOUR[0, :7]]).shape == (2, 64)


def test_masked_values_in_a_list_are_refused() -> None:
    masked = np.ma.masked_array(GREY[0], mask=np.eye(12, dtype=bool))
    with pytest.raises(ValueError, match=r"image 1 of the list as a masked array with 12 masked"):
        _extractor().fit([GREY[0], masked])
    nothing_masked = np.ma.masked_array(GREY[1], mask=False)
    _assert_same(
        _extractor().fit_transform([nothing_masked]), _extractor().fit_transform(GREY[1:2])
    )


def test_image_shape_holds_for_arrays_in_lists() -> None:
    with pytest.raises(ValueError, match=r"image_shape=\(6, 24\) and images of shape \(12, 12\)"):
        _extractor(image_shape=(6, 24)).fit(list(GREY))
    given = _extractor(image_shape=(12, 12)).fit_transform(list(GREY))
    _assert_same(given, _extractor().fit_transform(GREY))


@pytest.mark.parametrize(
    ("given", "image", "problem"),
    [
        ((0, 1), GREY[0], "some of which lie outside it"),
        ((0, 65535), GREY[0], "a dtype that cannot reach half of it"),
        ((0, 255), np.full((4, 4), 9, np.uint16) * 1000, "some of which lie outside it"),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_files_that_do_not_fit_a_given_range_are_warned_of_once(
    given: tuple[int, int], image: np.ndarray, problem: str, as_file: bool, tmp_path: Path
) -> None:
    pil = Image.fromarray(image)
    pil.save(tmp_path / "image.png")
    X = [str(tmp_path / "image.png") if as_file else pil] * 3
    extractor = _extractor(value_range=given).fit(X)
    with pytest.warns(
        ImageWarning, match=rf"given value_range=.* holds for files .*{problem}"
    ) as w:
        extractor.transform(X)
    assert len(w) == 1


def test_a_given_range_that_files_fit_is_not_warned_of(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 16
    paths = _save(tmp_path, deep)
    _assert_same(
        _extractor(value_range=(0, 4080)).fit_transform(paths), _extractor().fit_transform(GREY)
    )


def test_bool_and_unit_floats_after_bytes_are_warned_of() -> None:
    extractor = _extractor().fit(GREY)
    for X in (GREY > 99, GREY / 255):
        with pytest.warns(ImageWarning, match=r"was fitted with value_range_=\(0\.0, 255\.0\)"):
            extractor.transform(X)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["a.png", None, "b.png", float("nan")], ValueError, r"positions 1, 3: leave them out"),
        (pd.Series(["a.png", None]), ValueError, r"positions 1: leave .* as pandas' dropna does"),
        (pl.Series(["a.png", None]), ValueError, r"positions 1: leave them out"),
        (pd.DataFrame(np.ones((2, 4)), columns=list("aabb")), ValueError, r"one of a, b: rename"),
        (pd.DataFrame.sparse.from_spmatrix(scipy.sparse.eye_array(4)), TypeError, "to_dense"),
        ([GREY[0] * 1j], ValueError, r"image 0 .*Complex data not supported.*np\.abs\(image\)"),
        ([[1, 2, 3], [1, 2]], ValueError, r"its rows differ in length, 2, 3"),
        ([b"a.png"], OSError, r"length 5: bytes are the content.*os\.fsdecode\(path\)"),
        (None, TypeError, r"needs images\. Got None"),
        (5, TypeError, r"needs images\. Got 5"),
        (np.array([["2020-01-01"]], "datetime64[D]"), ValueError, "select the column of paths"),
    ],
    ids=range(11),
)
def test_other_mistakes_have_a_cure(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s)VGGFeatureExtractor.*{message}"):
        _extractor().fit(X)


def test_sequences_of_rows_and_of_nested_lists() -> None:
    expected = _extractor().fit_transform(GREY)
    rows = list(GREY.reshape(len(GREY), -1))
    nested = GREY.tolist()
    for X in (
        pd.Series(rows),
        pd.Series([row.tolist() for row in rows]),
        pd.Series(nested),
        tuple(nested),
    ):
        _assert_same(_extractor(value_range=(0, 255)).fit_transform(X), expected)
    mixed = (tuple(map(tuple, nested[0])), tuple(map(tuple, nested[1][:5])))
    assert _extractor(value_range=(0, 255)).fit_transform(mixed).shape == (2, 64)


def test_arrays_as_parameters() -> None:
    rows = GREY.reshape(len(GREY), -1)
    given = _extractor(image_shape=np.array([12, 12]), value_range=np.array([0, 255]))
    _assert_same(given.fit_transform(rows), _extractor().fit_transform(GREY))


def test_other_channels_at_transform_are_named_as_shapes() -> None:
    extractor = _extractor().fit(GREY)
    with pytest.raises(ValueError, match=r"shape \(12, 12, 1\).*Got images of shape \(12, 12, 3\)"):
        extractor.transform(COLOUR)
