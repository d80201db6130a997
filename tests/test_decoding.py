"""Image files and PIL images come out as the pixels that went in, or not at all."""

from __future__ import annotations

import gc
import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sktransfer.inputs.decoding import check_header, decode, explain

BYTES, DEEP = (0.0, 255.0), (0.0, 65535.0)
# An image without any symmetry, so that no turn or flip of it looks like another.
GREY = np.arange(0, 240, 12, dtype=np.uint8).reshape(4, 5)
DEEP_GREY = np.linspace(0, 65535, 20).astype(np.uint16).reshape(4, 5)
COLOUR = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
ALPHA = np.linspace(0, 255, 20).astype(np.uint8).reshape(4, 5, 1)

LOSSLESS = {"png": {}, "bmp": {}, "tif": {}, "webp": {"lossless": True, "exact": True}}


def _save(path: Path, image: np.ndarray | Image.Image, **options: object) -> str:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return str(path)


def _write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _png(rows: list[bytes], width: int, depth: int, colour_type: int, *more: bytes) -> bytes:
    """Write by hand the PNG files that Pillow cannot write; `more` are chunks before the data."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [_png_chunk(b"IHDR", header), *more, _png_chunk(b"IDAT", data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _png_chunk(b"IEND", b"")


def _tiff(
    data: bytes, shape: tuple[int, int, int], depth: int, photometric: int, order: str = "<"
) -> bytes:
    """Write by hand the TIFF files that Pillow cannot write."""
    height, width, n_channels = shape
    depths = struct.pack(f"{order}{n_channels}H", *[depth] * n_channels)
    entries = [(256, width), (257, height), (258, depth), (259, 1), (262, photometric)]
    entries += [(273, 8), (277, n_channels), (278, height), (279, len(data))]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in entries:
        if tag == 258 and n_channels > 1:
            directory += struct.pack(f"{order}HHII", tag, 3, n_channels, 8 + len(data))
        else:
            directory += struct.pack(f"{order}HHII", tag, 4, 1, value)
    magic = {"<": b"II", ">": b"MM"}[order]
    start = struct.pack(f"{order}HI", 42, 8 + len(data) + len(depths))
    return magic + start + data + depths + directory + bytes(4)


@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        *[(extension, kind) for extension in LOSSLESS for kind in ("grey", "colour")],
        *[(extension, "with alpha") for extension in ("png", "tif", "webp")],
    ],
)
def test_lossless_formats_give_their_pixels(tmp_path: Path, extension: str, kind: str) -> None:
    image = {"grey": GREY, "colour": COLOUR, "with alpha": np.dstack([COLOUR, ALPHA])}[kind]
    path = _save(tmp_path / f"image.{extension}", image, **LOSSLESS[extension])
    pixels, value_range = decode(path)
    expected = image.reshape(4, 5, -1)
    if extension == "webp" and kind == "grey":
        expected = expected.repeat(3, axis=2)  # WebP knows no grey
    np.testing.assert_array_equal(pixels, expected, strict=True)
    assert value_range == BYTES


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_jpeg_is_close_to_what_was_saved(tmp_path: Path, kind: str) -> None:
    ramp = np.add.outer(np.arange(32), 2 * np.arange(40)).astype(np.uint8)
    image = ramp if kind == "grey" else np.dstack([ramp, 255 - ramp, ramp // 2])
    path = _save(tmp_path / "image.jpg", image, quality=95, subsampling=0)
    pixels, value_range = decode(path)
    assert pixels.dtype == np.uint8
    assert value_range == BYTES
    np.testing.assert_allclose(pixels.astype(int), image.reshape(32, 40, -1), atol=6)


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    image = np.full((16, 16, 3), (200, 120, 40), dtype=np.uint8)
    image[:8] = (20, 60, 220)
    path = _save(tmp_path / "image.jpg", Image.fromarray(image).convert("CMYK"), quality=95)
    pixels, _ = decode(path)
    np.testing.assert_allclose(pixels[[2, 13]].astype(int), image[[2, 13]], atol=6)


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "gif"])
def test_palette_becomes_its_colours(tmp_path: Path, extension: str) -> None:
    image = Image.fromarray(COLOUR).quantize(16)
    path = _save(tmp_path / f"image.{extension}", image)
    np.testing.assert_array_equal(decode(path)[0], np.asarray(image.convert("RGB")), strict=True)


def test_palette_with_a_transparent_entry_has_alpha(tmp_path: Path) -> None:
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    path = _save(tmp_path / "image.png", image, transparency=1)
    expected = [[[10, 20, 30, 255], [40, 50, 60, 0], [70, 80, 90, 255]]]
    np.testing.assert_array_equal(decode(path)[0], expected)


def test_grey_with_alpha_has_alpha(tmp_path: Path) -> None:
    both = np.dstack([GREY, ALPHA])
    path = _save(tmp_path / "image.png", Image.fromarray(both))
    expected = np.dstack([GREY, GREY, GREY, ALPHA])
    np.testing.assert_array_equal(decode(path)[0], expected, strict=True)


@pytest.mark.parametrize(
    ("colour_type", "transparent", "row", "alpha"),
    [
        (0, [10], [0, 10, 100], [255, 0, 255]),
        (2, [0, 10, 100], [0, 10, 100, 1, 1, 1], [0, 255]),
    ],
    ids=["grey", "colour"],
)
def test_transparent_colour_has_alpha(
    tmp_path: Path, colour_type: int, transparent: list[int], row: list[int], alpha: list[int]
) -> None:
    chunk = _png_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    content = _png([bytes(row)], len(alpha), 8, colour_type, chunk)
    pixels, _ = decode(_write(tmp_path / "image.png", content))
    assert pixels.shape == (1, len(alpha), 4)
    assert pixels[0, :, 3].tolist() == alpha


def test_transparent_value_of_16_bit_grey_is_not_forgotten(tmp_path: Path) -> None:
    chunk = _png_chunk(b"tRNS", struct.pack(">H", 0))
    path = _write(tmp_path / "image.png", _png([b"\x00\x00\x30\x39"], 2, 16, 0, chunk))
    pixels, value_range = decode(path)
    assert pixels.ravel().tolist() == [65535, 0x3039]
    assert value_range == DEEP
    assert decode(path, (0.0, 20000.0))[0].ravel().tolist() == [20000, 0x3039]


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
def test_one_bit_becomes_black_and_white(tmp_path: Path, extension: str) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (4, 9)).astype(bool)
    path = _save(tmp_path / f"image.{extension}", Image.fromarray(bits))
    pixels, value_range = decode(path)
    np.testing.assert_array_equal(pixels[..., 0], bits * 255)
    assert value_range == BYTES


@pytest.mark.parametrize(("depth", "white"), [(2, 3), (4, 15)])
def test_few_bits_fill_the_range(tmp_path: Path, depth: int, white: int) -> None:
    content = _png([bytes([white])], 8 // depth, depth, 0)
    pixels, value_range = decode(_write(tmp_path / "image.png", content))
    assert pixels.ravel().tolist() == [0] * (8 // depth - 1) + [255]
    assert value_range == BYTES


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_grey_keeps_its_depth(tmp_path: Path, extension: str) -> None:
    path = _save(tmp_path / f"image.{extension}", DEEP_GREY)
    pixels, value_range = decode(path)
    np.testing.assert_array_equal(pixels, DEEP_GREY[..., None], strict=True)
    assert value_range == DEEP


def test_big_endian_16_bit_tiff_keeps_its_depth(tmp_path: Path) -> None:
    content = _tiff(DEEP_GREY.astype(">u2").tobytes(), (4, 5, 1), 16, photometric=1, order=">")
    pixels, value_range = decode(_write(tmp_path / "image.tif", content))
    np.testing.assert_array_equal(pixels, DEEP_GREY[..., None])
    assert pixels.dtype == np.uint16
    assert value_range == DEEP


def test_12_bit_tiff_has_its_own_white(tmp_path: Path) -> None:
    # Two pixels in three bytes: 0 and 4095.
    content = _tiff(b"\x00\x0f\xff", (1, 2, 1), 12, photometric=1)
    pixels, (black, white) = decode(_write(tmp_path / "image.tif", content))
    np.testing.assert_allclose((pixels.ravel() - black) / (white - black), [0, 1])


@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_whose_zero_is_white_is_not_read_inverted(tmp_path: Path, depth: int) -> None:
    dark_and_light = np.array([200, 5], dtype=f"<u{depth // 8}")
    content = _tiff(dark_and_light.tobytes(), (1, 2, 1), depth, photometric=0)
    pixels, (black, white) = decode(_write(tmp_path / "image.tif", content))
    dark, light = (pixels.ravel() - black) / (white - black)
    full = 2**depth - 1
    assert (dark, light) == pytest.approx((1 - 200 / full, 1 - 5 / full))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rgb.png", _png([b"\1\2\3\4\5\6"], 1, 16, 2)),
        ("rgba.png", _png([b"\1\2\3\4\5\6\7\x08"], 1, 16, 6)),
        ("grey-alpha.png", _png([b"\1\2\3\4"], 1, 16, 4)),
        ("rgb-little.tif", _tiff(b"\1\2\3\4\5\6", (1, 1, 3), 16, photometric=2)),
        ("rgb-big.tif", _tiff(b"\1\2\3\4\5\6", (1, 1, 3), 16, photometric=2, order=">")),
        ("cmyk.tif", _tiff(b"\1\2\3\4\5\6\7\x08", (1, 1, 4), 16, photometric=5)),
        ("binary.ppm", b"P6\n1 1\n65535\n\1\2\3\4\5\6"),
        ("text.ppm", b"P3\n1 1\n65535\n258 772 1286\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_16_bit_colour_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = _write(tmp_path / name, content)
    with pytest.raises(ValueError, match=r"its 16 bits per channel would be cut to 8: read it"):
        decode(path)
    with Image.open(path) as image:
        with pytest.raises(ValueError, match="its 16 bits per channel"):
            decode(image)
        image.load()  # the depth now stands nowhere but in the file
        with pytest.raises(ValueError, match="its 16 bits per channel"):
            decode(image)


def test_a_header_alone_tells_of_depth_that_would_be_lost(tmp_path: Path) -> None:
    header = b"P6\n9 9\n65535\n"  # and no pixels, which nobody asks for
    with pytest.raises(ValueError, match="its 16 bits per channel"):
        check_header(_write(tmp_path / "deep.ppm", header))
    check_header(_write(tmp_path / "bytes.ppm", header.replace(b"65535", b"255")))


@pytest.mark.parametrize(("depth", "white"), [(4, 15), (8, 255)])
def test_ppm_of_up_to_8_bits_is_read(tmp_path: Path, depth: int, white: int) -> None:
    path = _write(tmp_path / "image.ppm", b"P6\n1 1\n%d\n" % white + bytes([0, white, 0]))
    pixels, value_range = decode(path)
    assert pixels.ravel().tolist() == [0, 255, 0]
    assert value_range == BYTES


@pytest.mark.parametrize(("dtype", "word"), [(np.int32, "integers"), (np.float32, "floats")])
def test_32_bit_needs_a_value_range(tmp_path: Path, dtype: type, word: str) -> None:
    image = DEEP_GREY.astype(dtype) * 2
    path = _save(tmp_path / "image.tif", image)
    with pytest.raises(ValueError, match=rf"32-bit {word}.*set value_range=\(black, white\)"):
        decode(path)
    pixels, value_range = decode(path, (0.0, 131070.0))
    np.testing.assert_array_equal(pixels, image[..., None], strict=True)
    assert value_range == (0.0, 131070.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    image = DEEP_GREY.astype(np.float32)
    image[1, 2:4] = value
    kind = "NaN" if np.isnan(value) else "infinity"
    for source in (_save(tmp_path / "image.tif", image), Image.fromarray(image)):
        with pytest.raises(ValueError, match=rf"2 of its 20 pixels are {kind}$"):
            decode(source, (0.0, 65535.0))


@pytest.mark.parametrize("image", [GREY, COLOUR, DEEP_GREY], ids=["grey", "colour", "deep"])
def test_a_given_range_goes_before_the_bit_depth(tmp_path: Path, image: np.ndarray) -> None:
    path = _save(tmp_path / "image.png", image)
    pixels, value_range = decode(path, (0.0, 4095.0))
    np.testing.assert_array_equal(pixels, image.reshape(4, 5, -1), strict=True)
    assert value_range == (0.0, 4095.0)


# What a viewer does for each EXIF orientation, as the standard defines them.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
def test_images_are_turned_as_exif_says(tmp_path: Path, orientation: int, extension: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / f"image.{extension}", COLOUR, exif=exif, **LOSSLESS[extension])
    np.testing.assert_array_equal(decode(path)[0], TURNS[orientation](COLOUR))


@pytest.mark.parametrize("orientation", TURNS)
def test_photographs_are_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    image = np.zeros((16, 32), dtype=np.uint8)
    image[:8, :8] = 255  # white in one corner of a landscape format
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / "image.jpg", image, exif=exif, quality=95)
    expected = TURNS[orientation](image)
    pixels, _ = decode(path)
    assert pixels.shape == (*expected.shape, 1)
    np.testing.assert_allclose(pixels[..., 0].astype(int), expected, atol=10)


@pytest.mark.parametrize("image", [GREY, DEEP_GREY], ids=["8-bit", "16-bit"])
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_grey_is_turned_too(
    tmp_path: Path, extension: str, orientation: int, image: np.ndarray
) -> None:
    # Grey TIFF without compression is the one case that Pillow maps into memory, unturned.
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / f"image.{extension}", image, exif=exif)
    np.testing.assert_array_equal(decode(path)[0][..., 0], TURNS[orientation](image), strict=True)


@pytest.mark.parametrize("extension", ["gif", "tif", "webp", "png"])
def test_the_first_of_several_frames_is_read(tmp_path: Path, extension: str) -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "lime", "blue")]
    options = LOSSLESS.get(extension, {})
    path = _save(
        tmp_path / f"image.{extension}", frames[0], save_all=True, append_images=frames[1:],
        **options,
    )  # fmt: skip
    with Image.open(path) as image:
        assert image.n_frames == 3
    np.testing.assert_array_equal(decode(path)[0], np.full((4, 5, 3), (255, 0, 0)))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1", "I;16", "HSV", "La"])
def test_pil_images_are_read_and_left_alone(mode: str) -> None:
    image = Image.fromarray(DEEP_GREY) if mode == "I;16" else Image.fromarray(COLOUR)
    if mode == "La":  # grey whose values are multiplied by their alpha
        image = image.convert("LA")
    if mode != "I;16":
        image = image.convert(mode)
    image.info["note"] = "kept"
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    pixels, value_range = decode(image)
    assert pixels.shape[:2] == (4, 5)
    assert value_range == (DEEP if mode == "I;16" else BYTES)
    assert (image.mode, image.size, image.tobytes(), dict(image.info)) == before


def test_a_turned_pil_image_keeps_its_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _save(tmp_path / "image.png", COLOUR, exif=exif)
    with Image.open(path) as image:
        for _ in range(2):
            np.testing.assert_array_equal(decode(image)[0], TURNS[6](COLOUR))
        assert image.size == (5, 4)
        assert image.getexif()[0x0112] == 6


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="it has no pixels: 0 x 3"):
        decode(Image.new("L", (0, 3)))


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif", "webp"])
def test_truncated_files_are_errors(tmp_path: Path, extension: str) -> None:
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path = Path(_save(tmp_path / f"image.{extension}", image))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of some cut files before it fails
        with pytest.raises((OSError, ValueError)):
            decode(str(path))


def test_a_damaged_png_is_an_error_like_others(tmp_path: Path) -> None:
    content = _png([bytes(4)] * 4, 4, 8, 0)
    start = content.index(b"IDAT")
    # Half of the data, then a chunk whose name is no name: Pillow raises a SyntaxError.
    half = _png_chunk(b"IDAT", zlib.compress(bytes(20), 0)[:9])
    damaged = content[: start - 4] + half + struct.pack(">I", 4) + b"\xff\xfe\xfd\xfc" + bytes(8)
    with pytest.raises((OSError, ValueError)):
        decode(_write(tmp_path / "image.png", damaged))


def test_damaged_exif_is_no_foreign_exception(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = Path(_save(tmp_path / "image.webp", COLOUR, lossless=True, exif=exif))
    content = path.read_bytes()
    start = content.index(b"MM\0*") if b"MM\0*" in content else content.index(b"II*\0")
    path.write_bytes(content[:start] + b"??" + content[start + 2 :])
    try:
        pixels, _ = decode(str(path))
    except (OSError, ValueError):
        return
    np.testing.assert_array_equal(pixels, COLOUR)


def test_unreadable_paths_are_explained(tmp_path: Path) -> None:
    text = _write(tmp_path / "text.png", b"hello")
    reasons = {
        str(tmp_path / "none.png"): "no such file",
        str(tmp_path): "it is a folder, not an image file",
        text: "not an image that Pillow can read",
        "nul\0.png": "embedded null byte",
    }
    for path, reason in reasons.items():
        for read in (decode, check_header):
            with pytest.raises((OSError, ValueError)) as caught:
                read(path)
            assert reason in explain(caught.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    for read in (decode, check_header):
        with pytest.raises(OSError, match="it is a pipe or a device, not an image file"):
            read(str(path))


def test_a_length_in_a_damaged_header_costs_no_memory(tmp_path: Path) -> None:
    signature = b"\0\0\0\x0cjP  \r\n\x87\n"
    path = _write(tmp_path / "box.jp2", signature + struct.pack(">I4s", 0x7FFFFFFF, b"jp2h"))
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="Expected to read"):
            check_header(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_explain_knows_permissions_and_passes_on_the_rest() -> None:
    assert explain(PermissionError(13, "x")) == "no permission to read it"
    assert explain(ValueError("its depth")) == "its depth"


def _blank_png(width: int, height: int) -> bytes:
    """A file that promises so many pixels and holds none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("width", "height"), [(13_300, 13_300), (9_460, 9_460), (1, 170_000_000), (200_000, 1)]
)
def test_more_pixels_than_pillows_limit_are_refused_by_the_header(
    width: int, height: int, tmp_path: Path
) -> None:
    path = _write(tmp_path / "large.png", _blank_png(width, height))
    limits = r"PIL\.Image\.MAX_IMAGE_PIXELS allows 89,478,485, and no side above 89,478\. Make it"
    for read in (check_header, decode):
        with pytest.raises(OSError, match=rf"its {width:,} x {height:,} pixels .*: {limits}"):
            read(path)


def test_a_decompression_bomb_is_an_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _save(tmp_path / "image.png", GREY)
    # Pillow warns up to twice its limit, and raises above; warnings are errors here.
    for limit in (GREY.size - 1, 5):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for read in (check_header, decode):
            problem = rf"too many: PIL\.Image\.MAX_IMAGE_PIXELS allows {limit}, and no side above"
            with pytest.raises(OSError, match=problem):
                read(path)
        assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("limit", [None, 300_000_000])
def test_a_raised_limit_allows_longer_sides(
    limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _save(tmp_path / "long.png", np.full((1, 100_000), 7, np.uint8))
    with pytest.raises(OSError, match="its 100,000 x 1 pixels are too many"):
        decode(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    pixels, _ = decode(path)
    assert pixels.shape == (1, 100_000, 1)


def test_a_lowered_limit_is_one_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    pixels, _ = decode(Image.new("L", (2000, 1)))
    assert pixels.shape == (1, 2000, 1)
    with pytest.raises(OSError, match="its 2,001 x 1 pixels are too many"):
        decode(Image.new("L", (2001, 1)))


FOREIGN = [SyntaxError("broken"), struct.error("short"), IndexError("4"), KeyError("a"),
           AttributeError("seek"), ZeroDivisionError("0"), TypeError("None"), SystemError("tile"),
           RecursionError("deep")]  # fmt: skip


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["load", "getexif"])
def test_whatever_a_pil_image_raises_is_one_error(
    error: Exception, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise error

    image = Image.new("L", (3, 3))
    monkeypatch.setattr(Image.Image, method, fail)
    with pytest.raises(OSError, match=f"Pillow fails with {type(error).__name__}: ") as caught:
        decode(image)
    assert caught.value.__cause__ is error


def test_a_lack_of_memory_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _save(tmp_path / "image.png", GREY)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.core, "new", fail)
    with pytest.raises(MemoryError):
        decode(path)


def test_an_import_that_fails_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _save(tmp_path / "image.png", GREY)

    def fail(*_: object) -> None:
        raise ImportError("cannot import name 'PngImagePlugin'")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(ImportError, match="PngImagePlugin"):
        decode(path)


def test_files_are_closed(tmp_path: Path) -> None:
    good = _save(tmp_path / "image.png", GREY)
    frames = [Image.new("L", (4, 4), value) for value in (0, 255)]
    several = _save(tmp_path / "image.tif", frames[0], save_all=True, append_images=frames[1:])
    refused = _write(tmp_path / "deep.png", _png([b"\1\2\3\4\5\6"], 1, 16, 2))
    cut = _write(tmp_path / "cut.png", Path(good).read_bytes()[:60])
    text = _write(tmp_path / "text.png", b"hello")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for path in (good, several, refused, cut, text):
            try:
                decode(path)
            except (OSError, ValueError):
                assert path in (refused, cut, text)
        check_header(good)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
