"""Which values are black and white, and what is said where that is doubtful."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from sktransfer.features.preprocessing import to_255
from sktransfer.inputs.images import ImageWarning, read_images
from sktransfer.inputs.value_range import by_dtype, check_alpha, choose, measure, warn_outside


def _choose(X: object, value_range: object = "auto") -> tuple[float, float] | None:
    images = read_images(X, who="Reader")
    return choose(images, measure(images), value_range)


def _row(*values: float, dtype: type = np.float64) -> np.ndarray:
    """Four pixels, the first of which are given and the others 0."""
    return np.array([[*values, *[0] * (4 - len(values))]], dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "high", "white"),
    [
        (bool, 1, 1),
        (bool, 0, 1),
        (np.uint8, 255, 255),
        (np.uint8, 17, 255),
        (np.uint8, 0, 255),
        (np.uint16, 65535, 65535),
        (np.uint16, 4096, 65535),
        (np.float64, 1, 1),
        (np.float32, 0.5, 1),
        (np.float16, 0.75, 1),
        (np.float64, 16, 16),
        (np.int64, 16, 16),
        (np.int8, 9, 16),
        (np.int32, 128, 255),
        (np.uint32, 4095, 4095),
        (np.uint64, 65535, 65535),
    ],
)
def test_the_range_that_nobody_doubts(dtype: type, high: float, white: float) -> None:
    assert _choose(_row(high, dtype=dtype)) == (0.0, white)


@pytest.mark.parametrize(
    ("dtype", "values", "expected", "why"),
    [
        (np.uint8, [16], (0, 255), "no value exceeds 16, as in data of a smaller depth"),
        (np.uint8, [1], (0, 255), "no value exceeds 1, as in data of a smaller depth"),
        (np.uint16, [4095], (0, 65535), "no value exceeds 4095, as in data of a smaller depth"),
        (np.float64, [0.25], (0, 1), "no value exceeds 0.25"),
        (np.float64, [1.001], (0, 16), "no value exceeds 1.001"),
        (np.float64, [16.5], (0, 255), "no value exceeds 16.5"),
        (np.float64, [256], (0, 4095), "no value exceeds 256"),
        (np.int64, [1], (0, 1), "no value exceeds 1"),
        (np.int64, [0], (0, 1), "all values are 0"),
        (np.float32, [0], (0, 1), "all values are 0"),
        (np.float64, [65536], (0, 65536), "values reach 65536, above every usual range"),
        (np.float64, [65537], (0, 131072), "values reach 65537, above every usual range"),
        (np.float64, [-1, 1], (-1, 1), "values reach from -1 to 1, and pixels are seldom negative"),
        (np.float64, [-0.3, 0.2], (-0.5, 0.5), "values reach from -0.3 to 0.2"),
        (np.int16, [-3, 200], (-256, 256), "values reach from -3 to 200"),
        (np.float64, [-2.5, 0.1], (-4, 4), "values reach from -2.5 to 0.1"),
        (np.int8, [-128, -1], (-128, 128), "values reach from -128 to"),
    ],
)
def test_a_doubtful_range_is_warned_of(
    dtype: type, values: list[float], expected: tuple[float, float], why: str
) -> None:
    cure = r".* \(dtype \w+\)\. If that is wrong, set value_range=\(black, white\)\."
    with pytest.warns(ImageWarning, match=f"Reader uses .* which is doubtful: {why}{cure}"):
        assert _choose(_row(*values, dtype=dtype)) == expected


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.float64, [1.0000001], (0, 1)),
        (np.float32, [np.nextafter(np.float32(1), np.float32(2))], (0, 1)),
        (np.float16, [np.nextafter(np.float16(1), np.float16(2))], (0, 1)),
        (np.float64, [16.000001], (0, 16)),
        (np.float32, [255.0001], (0, 255)),
        (np.float16, [255.25], (0, 255)),
        (np.float64, [4095.0004], (0, 4095)),
        (np.float32, [65535.008], (0, 65535)),
        (np.float64, [-1e-8, 1], (0, 1)),
        (np.float32, [-1e-7, 0.9], (0, 1)),
        (np.float16, [-1e-3, 1], (0, 1)),
        (np.float64, [-1e-5, 255.0001], (0, 255)),
    ],
)
def test_rounding_noise_is_no_reason_for_another_range(
    dtype: type, values: list[float], expected: tuple[float, float]
) -> None:
    X = _row(*values, dtype=dtype)
    assert _choose(X) == expected
    images = read_images(X)
    warn_outside(images, measure(images), (float(expected[0]), float(expected[1])))


@pytest.mark.filterwarnings("ignore:.*doubtful:sktransfer.inputs.images.ImageWarning")
@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.float64, [-1.0000001, 1], (-1, 1)),
        (np.float32, [-0.5, 0.50000006], (-0.5, 0.5)),
        (np.float64, [65536.001], (0, 65536)),
        (np.float64, [1.00001], (0, 16)),
        (np.float32, [-1e-5, 1], (-1, 1)),
        (np.float16, [1.02], (0, 16)),
        (np.float64, [-1e-8, 1e-9], (-(2.0**-26), 2.0**-26)),
        # Whole numbers have no rounding noise.
        (np.int64, [-1, 2_000_000], (-(2**21), 2**21)),
        (np.int64, [2**40 + 1], (0, 2**41)),
    ],
)
def test_what_is_more_than_rounding_noise_counts(
    dtype: type, values: list[float], expected: tuple[float, float]
) -> None:
    assert _choose(_row(*values, dtype=dtype)) == expected


def test_rounding_noise_maps_linearly() -> None:
    X = np.array([[-1e-8, 0, 1, 1.0000001]])
    mapped = to_255(X[..., None, None], _choose(X)).ravel()
    np.testing.assert_array_equal(mapped, (X.ravel() * 255).astype(np.float32))


@pytest.mark.parametrize(
    "given_range", [(0, 1), (255.0, 0.0), [-1, 1], (np.float32(0), np.int8(3))]
)
def test_a_given_range_is_taken_without_a_word(given_range: tuple) -> None:
    chosen = _choose(_row(-7, 1e6), given_range)
    assert chosen == tuple(given_range)
    assert [type(value) for value in chosen] == [float, float]


def test_files_and_pil_images_have_their_own_range() -> None:
    assert _choose(["one.png", "two.png"]) is None
    assert _choose([Image.new("L", (2, 2))]) is None
    assert _choose(["one.png"], (0, 4095)) == (0.0, 4095.0)


def test_arrays_of_one_list_share_a_range() -> None:
    assert _choose([np.full((2, 2), 0.25), np.full((3, 3), 200)]) == (0, 255)
    assert _choose(["one.png", np.full((2, 2), 200, np.uint8)]) == (0, 255)


@pytest.mark.parametrize(
    "dtypes", [("uint8", "uint16"), ("uint8", "float64"), ("bool", "uint8"), ("uint16", "int64")]
)
def test_arrays_of_differing_ranges_are_refused(dtypes: tuple[str, str]) -> None:
    images = read_images([np.ones((i + 2, 2), dtype) for i, dtype in enumerate(dtypes)])
    names = r", ".join(repr(name) for name in sorted(dtypes))
    with pytest.raises(ValueError, match=rf"share a value range\. Got .* dtypes \[{names}\].*conv"):
        measure(images)


def test_measure_gives_the_extent_of_every_array() -> None:
    X = np.arange(12.0).reshape(3, 4)
    assert measure(read_images(X)) == [(0, 11)]
    assert measure(read_images([X, -X[:, :2]])) == [(0, 11), (-9, 0)]
    assert measure(read_images(["one.png"])) == []
    assert measure(read_images(X > 99)) == [(0, 1)]


def test_measure_scans_beyond_its_first_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sktransfer.inputs.value_range._SCAN_VALUES", 8)
    X = np.zeros((9, 4))
    X[4], X[8] = -2, 5
    assert measure(read_images(X)) == [(-2, 5)]
    X[8, 1] = np.nan
    with pytest.raises(ValueError, match=r"in 1 of 9 images, at positions \[8\]"):
        measure(read_images(X))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_that_are_not_finite_are_named_by_position(value: float, dtype: type) -> None:
    X = np.zeros((30, 4, 4), dtype=dtype)
    X[[2, 5]], X[7, 3, 1] = value, value
    kind = "NaN" if np.isnan(value) else "infinity"
    problem = rf"Reader needs finite pixel values\. Got {kind} in 3 of 30 images"
    for form in (X, X.reshape(30, 16), list(X), [*X, np.zeros((2, 3))]):
        with pytest.raises(ValueError, match=problem.replace("30", str(len(form)))) as caught:
            measure(read_images(form, who="Reader"))
        assert "at positions [2, 5, 7]: repair or leave out these images" in str(caught.value)
    X[:] = value
    with pytest.raises(ValueError, match=r"positions \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9\] and more:"):
        measure(read_images(X))


def test_infinities_of_both_signs_are_found() -> None:
    with pytest.raises(ValueError, match=r"1 of 1 images, at positions \[0\]"):
        measure(read_images(np.array([[-np.inf, np.inf, np.nan, 0]])))


@pytest.mark.parametrize(("dtype", "white"), [(bool, 1), (np.uint8, 255), (np.uint16, 65535)])
def test_the_dtype_alone_tells_after_files(dtype: type, white: int) -> None:
    assert by_dtype(read_images(np.ones((2, 4), dtype))) == (0.0, white)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, np.uint32])
def test_other_dtypes_do_not_tell_after_files(dtype: type) -> None:
    images = read_images(np.ones((2, 4), dtype), who="Reader")
    problem = rf"Reader was fitted on files and cannot determine .* dtype {np.dtype(dtype)}\. Pass"
    with pytest.raises(ValueError, match=problem):
        by_dtype(images)


def test_files_after_files_need_no_range() -> None:
    assert by_dtype(read_images(["one.png"])) is None


@pytest.mark.parametrize("fitted", [(0.0, 16.0), (16.0, 0.0)])
@pytest.mark.parametrize("values", [[-0.5, 3], [3, 16.5]])
def test_values_outside_the_fitted_range_are_warned_of(
    fitted: tuple[float, float], values: list[float]
) -> None:
    images = read_images(_row(*values), who="Reader")
    problem = rf"Reader was fitted with value_range_=\({fitted[0]}, .* from .* without clipping"
    with pytest.warns(ImageWarning, match=problem) as caught:
        warn_outside(images, measure(images), fitted)
    assert len(caught) == 1


def test_one_warning_for_many_arrays() -> None:
    images = read_images([np.full((2, 2), 300), np.full((3, 3), -5)])
    with pytest.warns(ImageWarning, match="values from -5 to 300") as caught:
        warn_outside(images, measure(images), (0, 255))
    assert len(caught) == 1


@pytest.mark.parametrize("fitted", [(0.0, 16.0), (16.0, 0.0)])
def test_values_up_to_the_borders_are_not_warned_of(fitted: tuple[float, float]) -> None:
    images = read_images(_row(0, 16))
    warn_outside(images, measure(images), fitted)
    warn_outside(read_images(["one.png"]), [], fitted)


@pytest.mark.parametrize(
    ("X", "fitted", "problem"),
    [
        (
            _row(1, dtype=bool),
            (0.0, 255.0),
            r"\(dtype bool\), a dtype that cannot reach half of it",
        ),
        (
            _row(200, dtype=np.uint8),
            (0.0, 65535.0),
            r"uint8\), a dtype that cannot reach half of it",
        ),
        (_row(0.5), (0.0, 255.0), r"\(dtype float64\), which look like values from 0 to 1"),
        (_row(-1e-8, 1.0000001), (0.0, 255.0), "which look like values from 0 to 1"),
        (_row(1, dtype=np.int64), (255.0, 0.0), "which look like values from 0 to 1"),
    ],
)
def test_values_of_another_range_are_warned_of(
    X: np.ndarray, fitted: tuple[float, float], problem: str
) -> None:
    images = read_images(X, who="Reader")
    with pytest.warns(ImageWarning, match=rf"Reader was fitted with value_range_=.*{problem}"):
        warn_outside(images, measure(images), fitted)


@pytest.mark.parametrize(
    ("X", "fitted"),
    [
        (_row(0), (0.0, 255.0)),
        (_row(255 * (1 + 1e-15)), (0.0, 255.0)),
        (_row(0.5), (0.0, 1.0)),
        (_row(-1, 0.5), (-255.0, 255.0)),
        (_row(9, dtype=np.uint8), (0.0, 16.0)),
    ],
)
def test_values_that_fit_are_not_warned_of(X: np.ndarray, fitted: tuple[float, float]) -> None:
    images = read_images(X)
    warn_outside(images, measure(images), fitted)


@pytest.mark.parametrize("values", [[-5e-324, 0], [-1.7e308, 1.7e308]])
@pytest.mark.filterwarnings("ignore:.*doubtful:sktransfer.inputs.images.ImageWarning")
def test_a_range_that_cannot_be_scaled_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"Reader needs a value range that can be scaled"):
        _choose(_row(*values))
    with pytest.raises(ValueError, match=r"Got black 0 and white 1e-310: rescale the images"):
        _choose(_row(0.5), (0, 1e-310))


def test_alpha_has_no_say_in_the_range() -> None:
    clear = np.zeros((1, 2, 2, 4), dtype=np.uint16)
    clear[..., 0], clear[..., 3] = 4000, 65535
    assert measure(read_images(clear)) == [(0, 4000)]
    assert measure(read_images(np.moveaxis(clear, -1, 1))) == [(0, 4000)]
    rows = read_images(clear.reshape(1, 16), image_shape=(2, 2, 4))
    assert measure(rows) == [(0, 4000)]
    check_alpha(rows, (0, 4095))


@pytest.mark.parametrize("alpha", [-0.5, 1.5, np.nan])
def test_alpha_beyond_opaque_is_refused(alpha: float) -> None:
    images = np.full((2, 3, 3, 4), 0.5)
    images[1, 0, 0, 3] = alpha
    for form in (images, list(images)):
        with pytest.raises(ValueError, match=r"Reader needs alpha, .* to 1 \(opaque, .* rescale"):
            check_alpha(read_images(form, who="Reader"), (0, 1))
    for fine in (1, 1.0000001, -1e-8):
        images[1, 0, 0, 3] = fine
        check_alpha(read_images(images), (0, 1))


@pytest.mark.parametrize(
    ("dtype", "value_range"), [(np.uint8, (0, 255)), (float, (0, 255)), (np.uint16, (0, 65535))]
)
def test_alpha_from_0_to_1_beside_larger_colours_is_warned_of_once(
    dtype: type, value_range: tuple[float, float]
) -> None:
    clear = np.full((2, 3, 3, 4), 200, dtype=dtype)
    clear[..., 3] = 1
    problem = rf"uses {value_range[1]} as opaque .* no alpha exceeds 1 .* multiply alpha by"
    almost = clear * (1 + 2e-7) if clear.dtype.kind == "f" else clear
    for form in (clear, list(clear), almost):
        with pytest.warns(ImageWarning, match=problem) as caught:
            check_alpha(read_images(form), value_range)
        assert len(caught) == 1
    for fine in (0, 2, value_range[1]):  # transparent everywhere is no mistake
        clear[..., 3] = fine
        check_alpha(read_images(clear), value_range)


# Ranges too narrow for float64 are refused, which is tested above.
finite = st.floats(-1e30, 1e30).map(lambda value: value if abs(value) > 1e-200 else 0.0)


@given(values=st.lists(finite, min_size=4, max_size=4))
@settings(max_examples=200, deadline=None)
def test_the_range_always_holds_the_data(values: list[float]) -> None:
    images = read_images(np.array([values]))
    extents = measure(images)
    assert extents == [(min(values), max(values))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        black, white = choose(images, extents, "auto")
    noise = 8 * float(np.finfo(np.float32).eps) * max(map(abs, values))
    assert black - noise <= min(values)
    assert max(values) <= white + noise
    assert white > 0
    assert black == (0 if min(values) >= -noise else -white)
    if white > 65535:
        assert max(map(abs, values)) > white / 2  # the smallest power of two that holds the data
    warn_outside(images, extents, (black, white))  # which are inside, so that nothing is said


@given(
    values=st.lists(st.integers(1, 65535), min_size=4, max_size=4),
    dtype=st.sampled_from(["int32", "int64", "uint32", "uint64", "float32", "float64"]),
)
@settings(max_examples=100, deadline=None)
def test_the_range_does_not_depend_on_which_wide_dtype(values: list[int], dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        black, white = _choose(np.array([values], dtype=dtype))
    assert black == 0
    assert white == min(usual for usual in (1, 16, 255, 4095, 65535) if usual >= max(values))
