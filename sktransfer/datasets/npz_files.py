"""Archives of images and labels, as :func:`numpy.savez` writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sktransfer.datasets.bunches import list_names
from sktransfer.files.archives import Header, NpzReader

# Under which names archives hold images and labels; the first that is there counts.
_IMAGE_ARRAYS = ("images", "X", "x", "data")
_LABEL_ARRAYS = ("digit", "label", "labels", "y", "target")


def read_labelled_archive(path: Path, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and the labels of an .npz file."""
    name = str(path)
    if not path.exists():
        raise FileNotFoundError(f"{who} needs a file that exists. Got {name!r}: no such file.")
    cure = "Copy or download it again, or save it again with numpy.savez."
    with NpzReader(path, f"{who} cannot read {name!r}", cure) as archive:
        image_array = _find_array(archive, _IMAGE_ARRAYS, "images", name, who)
        label_array = _find_array(archive, _LABEL_ARRAYS, "labels", name, who)
        # What cannot be used is not read: a small archive may unpack to much.
        _check_headers(archive.header(image_array), archive.header(label_array), name, who)
        images, labels = archive.read(image_array), archive.read(label_array)
    return images, _check_labels(labels.reshape(-1), name, who)


def _find_array(archive: NpzReader, names: tuple[str, ...], what: str, path: str, who: str) -> str:
    """Return the name under which an archive has images or labels."""
    found = next((name for name in names if name in archive.names), None)
    if found is None:
        raise ValueError(
            f"{who} needs an .npz archive with {what} in an array called "
            f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}. Got {path!r}, which holds "
            f"{list_names(archive.names) or 'no array at all'}."
        )
    if archive.header(found).dtype.hasobject:
        raise ValueError(
            f"{who} needs plain arrays of numbers or text, and does not load pickled objects. The "
            f"array {found!r} of {path!r} holds Python objects. Save it with another dtype than "
            "object."
        )
    return found


def _check_headers(images: Header, labels: Header, name: str, who: str) -> None:
    """Refuse arrays that are not images and one label for each."""
    if len(images.shape) < 2 or images.dtype.kind not in "buif":
        raise ValueError(
            f"{who} needs images as an array of numbers, rows or more dimensions. Got one of shape "
            f"{images.shape} and dtype {images.dtype} in {name!r}."
        )
    if len(labels.shape) != 1 and (len(labels.shape) != 2 or labels.shape[1] != 1):
        cure = " For one-hot labels, save labels.argmax(axis=1)." if len(labels.shape) == 2 else ""
        raise ValueError(
            f"{who} needs one label per image. Got labels of shape {labels.shape} in {name!r}."
            f"{cure}"
        )
    if labels.shape[0] != images.shape[0] or not labels.shape[0]:
        raise ValueError(
            f"{who} needs one label per image, and at least one image. Got {images.shape[0]} "
            f"images and {labels.shape[0]} labels in {name!r}."
        )
    if labels.dtype.kind not in "buifUS":
        raise ValueError(
            f"{who} needs labels that are numbers or text. Got dtype {labels.dtype} in {name!r}."
        )


def _check_labels(labels: np.ndarray, name: str, who: str) -> np.ndarray:
    """Return labels that are numbers or text in the machine's own form."""
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        position = int(np.argmin(np.isfinite(labels)))
        raise ValueError(
            f"{who} needs a label for every image. Got {labels[position]} for image {position} in "
            f"{name!r}."
        )
    if labels.dtype.kind not in "US":
        return labels
    try:
        if labels.dtype.kind == "S":
            return np.char.decode(labels, "utf-8")
        labels = labels.astype(labels.dtype.newbyteorder("="))
        # NumPy's text is numbers, four bytes each, which it does not check.
        codes = labels.view(np.uint32)
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise ValueError("they hold invalid character codes")
    except ValueError as error:
        raise ValueError(
            f"{who} needs labels that are numbers or text in UTF-8. Got {name!r}, whose labels are "
            f"neither: {error}. Save it again with numpy.savez."
        ) from error
    return labels
