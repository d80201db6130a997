"""One image file or PIL image, decoded without loss.

Pillow reads the common formats; where it would drop depth without a word, as with colour of 16 bits
per channel, the image is refused instead.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.inputs.encoded import Encoded
from sktransfer.inputs.scale import ValueRange, name_not_finite

if TYPE_CHECKING:
    from PIL import Image

# Tags of TIFF 6.0, section 8.
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262
_ORIENTATION = 274
# The longest side that a JPEG file can have; Pillow itself limits the pixels alone.
_LONGEST_SIDE = 65_535
_NO_CONTENT = (
    "bytes are the content of a file: pass paths as str, os.fsdecode(path), and base64 by "
    "sktransfer.from_base64"
)


def decode(
    image: str | Encoded | Image.Image, value_range: ValueRange | None = None
) -> tuple[np.ndarray, ValueRange]:
    """Decode a file or a PIL image without loss."""
    with _foreign_errors():
        if isinstance(image, str | Encoded):
            with open_header(image) as opened:
                return _decode(opened, value_range)
        return _decode(image, value_range)


def _decode(image: Image.Image, value_range: ValueRange | None) -> tuple[np.ndarray, ValueRange]:
    from PIL import ImageOps

    _check_header(image, value_range)
    image.load()  # some files tell their orientation behind their pixels
    # It would copy an upright image.
    is_upright = image.getexif().get(_ORIENTATION, 1) == 1
    turned = image if is_upright else ImageOps.exif_transpose(image)
    if 0 in turned.size:
        raise ValueError(f"it has no pixels: {turned.width} x {turned.height}")
    mode = turned.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return _deep_grey(image, turned, value_range)
    if mode in ("I", "F"):
        assert value_range is not None  # or it was refused above
        pixels = np.asarray(turned)[..., None]
        n_bad = pixels.size - np.count_nonzero(np.isfinite(pixels))
        if n_bad:
            kinds = " and ".join(sorted(name_not_finite(pixels)))
            raise ValueError(f"{n_bad} of its {pixels.size} pixels are {kinds}")
        return pixels, value_range
    if "transparency" in turned.info or mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        turned = _to_mode(turned, "RGBA")
    elif mode in ("1", "L"):
        turned = _to_mode(turned, "L")
    else:
        turned = _to_mode(turned, "RGB")
    pixels = np.asarray(turned)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return pixels, value_range or (0.0, 255.0)


def check_header(image: str | Encoded | Image.Image, value_range: ValueRange | None = None) -> None:
    """Find out from the header alone whether a file or PIL image can be decoded without loss."""
    with _foreign_errors():
        if isinstance(image, str | Encoded):
            with open_header(image) as opened:
                _check_header(opened, value_range)
        else:
            _check_header(image, value_range)


def _check_header(image: Image.Image, value_range: ValueRange | None) -> None:
    _refuse_size(image)
    _refuse_loss(image)
    mode = image.mode
    if value_range is None and (mode == "F" or (mode == "I" and image.format != "PNG")):
        raise ValueError(
            f"its pixels are 32-bit {'integers' if mode == 'I' else 'floats'}, and the file does "
            "not say which values mean black and white: set value_range=(black, white)"
        )


def _deep_grey(
    image: Image.Image, turned: Image.Image, value_range: ValueRange | None
) -> tuple[np.ndarray, ValueRange]:
    """Take 16-bit grey as it is: Pillow clips it to 255 when it converts."""
    # Older versions of Pillow read 16-bit PNG as 32-bit integers.
    pixels = np.array(turned).astype(np.uint16)[..., None]
    tags = getattr(image, "tag_v2", {})
    largest = 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow minds up to 8 bits only
        pixels = largest - pixels
    value_range = value_range or (0.0, float(largest))
    if "transparency" in turned.info:
        # One value stands for "nothing here", which lies over white as alpha does.
        pixels = np.where(pixels == turned.info["transparency"], value_range[1], pixels)
    return pixels, value_range


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    return image.convert(mode)


@contextmanager
def open_header(path: str | Encoded) -> Iterator[Image.Image]:
    """Open a file and read its header, not its pixels."""
    from PIL import Image

    if isinstance(path, Encoded):
        content = path.open()
        try:
            with _foreign_errors():
                image = Image.open(content)
        except OSError as error:
            if _is_text(content.getvalue()):
                raise OSError(_NO_CONTENT) from error
            raise
        with image:
            yield image
        return
    # Paths are str here: a Path for each costs more.
    if not os.path.isfile(path):  # noqa: PTH113
        if os.path.isdir(path):  # noqa: PTH112
            raise OSError("it is a folder, not an image file")
        if os.path.exists(path):  # noqa: PTH110
            raise OSError("it is a pipe or a device, not an image file")  # opened, it may block
    # By its name, Pillow maps some TIFF files into memory, and then forgets to turn them as their
    # orientation says.
    with _File(path) as file:
        with _foreign_errors():
            image = Image.open(file)
        with image:
            yield image


class _File(io.BufferedReader):
    """A file that is asked for no more bytes than it has.

    Damaged headers say absurd lengths, and Python takes memory for them before it reads.
    """

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))
        self._n_bytes = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes."""
        return super().read(size if size is None else min(size, self._n_bytes))


def _is_text(content: bytes) -> bool:
    """Tell whether bytes are a path, or an image in base64, rather than a damaged file."""
    return content.isascii() and content.decode("ascii").isprintable()


@contextmanager
def _foreign_errors() -> Iterator[None]:
    """Pass on the usual errors, and make one of whatever else damaged bytes set off in Pillow."""
    try:
        yield
    except (OSError, ValueError, MemoryError, ImportError):
        raise  # an import that fails says nothing of the image
    except Exception as error:
        if type(error).__name__.startswith("DecompressionBomb"):
            from PIL import Image

            raise OSError(_too_large("frame's", Image.MAX_IMAGE_PIXELS or 0)) from error
        raise OSError(f"Pillow fails with {type(error).__name__}: {error}") from error


def _refuse_size(image: Image.Image) -> None:
    """Refuse more pixels than Pillow's limit, before memory is asked for."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is None:
        return
    width, height = image.size
    if width * height > limit or max(width, height) > _longest_side(limit):
        raise OSError(_too_large(f"{width:,} x {height:,}", limit))


def describe_long_side(height: int, width: int) -> str:
    """Say what is wrong with an image in memory whose resizing would take minutes, or nothing."""
    if max(height, width) <= _LONGEST_SIDE:
        return ""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or max(height, width) <= _longest_side(limit):
        return ""
    return _too_large(f"{width:,} x {height:,}", limit)


def _longest_side(limit: int) -> int:
    return max(_LONGEST_SIDE, limit // 1000)


def _too_large(size: str, limit: int) -> str:
    return (
        f"its {size} pixels are too many: PIL.Image.MAX_IMAGE_PIXELS allows {limit:,}, and no side "
        f"above {_longest_side(limit):,}. Make it smaller, or raise that limit if you trust it"
    )


def _refuse_loss(image: Image.Image) -> None:
    """Refuse colour of more than 8 bits per channel, which Pillow cuts to 8 without a word."""
    if image.mode[:1] in ("I", "F"):
        return
    depth = 8
    tiles = getattr(image, "tile", None)
    path = getattr(image, "filename", "")
    if not tiles and path and os.path.isfile(path):  # noqa: PTH113 - may be a PIL-like object's str
        # Loaded by the user: only the file that it came from says its depth.
        with open_header(os.fspath(path)) as header:
            return _refuse_loss(header)
    if tiles:
        args = tiles[0][3] if isinstance(tiles[0][3], tuple) else (tiles[0][3],)
        # With the order of bytes, as in "RGB;16B"; "BGR;16" is 16 bits for a whole pixel.
        if any(isinstance(arg, str) and re.search(";16[BLN]", arg) for arg in args):
            depth = 16
        if image.format == "PPM":
            depth = max([8, *(n.bit_length() for n in args if isinstance(n, int))])
    bits_per_sample = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    depth = max(depth, _coded_depth(image), *bits_per_sample)
    if depth > 8:
        raise ValueError(
            f"its {depth} bits per channel would be cut to 8: read it with a library that keeps "
            "them (imageio, tifffile, OpenCV) and pass the array, or save it with 8 bits"
        )


def _coded_depth(image: Image.Image) -> int:
    """Bits per channel in JPEG 2000 and AVIF, which Pillow decodes to 8 and does not tell."""
    file = getattr(image, "fp", None)
    if image.format not in ("JPEG2000", "AVIF") or file is None:
        return 8
    position = file.tell()
    file.seek(0)
    head = file.read(1 << 16)
    file.seek(position)
    if image.format == "JPEG2000":
        # The marker SIZ: the number of components, and 3 bytes for each, the first its depth.
        start = head.find(b"\xff\x4f\xff\x51")
        n_channels = int.from_bytes(head[start + 40 : start + 42], "big")
        depths = head[start + 42 : start + 42 + 3 * n_channels : 3]
        return max((byte & 0x7F) + 1 for byte in depths) if start >= 0 and depths else 8
    start = head.find(b"av1C")
    flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
    return 8 + 2 * (flags >> 6 & 1) + 2 * (flags >> 5 & 1)


def raise_if_exhausted(error: Exception) -> None:
    """Raise the error again where not the image is at fault, but a system without resources."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error


def explain(error: Exception) -> str:
    """Say in a few words why an image could not be read."""
    if isinstance(error, FileNotFoundError):
        is_address = re.match(r"[a-z][a-z0-9+]+:/", str(error.filename))
        return "an address, not a file: download it first" if is_address else "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image that Pillow can read"
    return str(error) or type(error).__name__
