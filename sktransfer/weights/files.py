"""Reading weights files: known ones directly, all others in a separate process.

The HDF5 library may hang or crash on a damaged file. Known are the file that comes with the
package, Keras' official files, by their MD5, and files that such a process has read and that have
not changed since. Files of PyTorch's tensors need no library, and no other process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sktransfer.files import hdf5, isolated
from sktransfer.files.hdf5 import ArrayFacts, RefusedError
from sktransfer.files.pytorch import is_tensor_file
from sktransfer.files.regular import open_regular
from sktransfer.networks import ARCHITECTURES, Cut, list_layers
from sktransfer.weights.arrays import wanted_shapes
from sktransfer.weights.contents import Contents
from sktransfer.weights.official import is_official
from sktransfer.weights.pytorch import read_pytorch
from sktransfer.weights.synthetic import is_packaged

_CHANGED = "it changed while it was read; wait until it is complete"
_LFS = b"version https://git-lfs"
# By identity of file, the layers that a process has read without harm.
_read_before: dict[tuple[Any, ...], set[str]] = {}


def read_contents(
    path: str | os.PathLike,
    cut: Cut | None = None,
    *,
    attributes: Sequence[str] = (),
    everything: bool = False,
    who: str,
) -> Contents:
    """Read the weights of a network, attributes of the root, or both; None as cut for no weights.

    `everything` reads all else too, only to see whether it can be read.
    """
    if is_tensor_file(path):
        with _one_error(path, who):
            identity = _identify(path)
            contents = read_pytorch(path, cut)
            if _identify(path) != identity:
                raise RefusedError(_CHANGED)
            return contents
    layers = cut.weighted_layers if cut is not None else ()
    request: dict[str, Any] = {
        "file": os.fspath(path),
        "attributes": list(attributes),
        "architecture": cut.architecture if cut is not None else None,
        "tables": {name: _table(name) for name in ARCHITECTURES if layers},
        "wanted": {layer.name: wanted_shapes(layer) for layer in layers},
        "everything": everything,
    }
    # Never empty: attributes alone, too, are first read in another process.
    names = {"attributes", *(layer.name for layer in layers)}
    names |= {"everything"} if everything else set()
    with _one_error(path, who):
        identity = _identify(path)
        is_known = is_packaged(path) or is_official(path)
    is_known = is_known or names <= _read_before.get(identity, set())
    with _one_error(path, who):
        facts, *arrays = hdf5.answer(request) if is_known else isolated.ask(request)
        if _identify(path) != identity:
            raise RefusedError(_CHANGED)
    _read_before.setdefault(identity, set()).update(names)
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    return Contents(
        names=facts["content"],
        attributes=facts["attributes"],
        found={
            name: [ArrayFacts(tuple(shape), dtype, is_float) for shape, dtype, is_float in listed]
            for name, listed in facts["found"].items()
        },
        arrays=dict(zip(request["wanted"], pairs, strict=False)),
    )


def _table(architecture: str) -> list[tuple[str, str, tuple[int, ...]]]:
    return [
        (layer.name, layer.kind, layer.kernel_shape)
        for layer in list_layers(architecture)
        if layer.kernel_shape is not None
    ]


def _identify(path: str | os.PathLike) -> tuple[Any, ...]:
    """Tell one state of a file from every other; the time of change cannot be set by hand."""
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times


# -- errors


@contextmanager
def _one_error(path: str | os.PathLike, who: str) -> Iterator[None]:
    """Turn whatever a library finds wrong with a file into one OSError."""
    lead = f"{who} cannot read the weights file {os.fspath(path)!r}"
    try:
        yield
    except RefusedError as error:
        makers = "PyTorch" if is_tensor_file(path) else "Keras"
        raise OSError(f"{lead}: {error}. Pass a file that {makers} wrote.") from error
    # h5py and pickle raise most kinds of errors for files that are damaged.
    except Exception as error:
        raise OSError(f"{lead}: {_diagnose(path, error)}") from error


def _diagnose(path: str | os.PathLike, error: Exception) -> str:
    """Tell by its first bytes what a file is that cannot be read."""
    try:
        with open_regular(path) as file:
            head = file.read(64)
    except OSError as reason:
        return f"{reason.strerror}. Name a file that exists and may be read."
    if is_tensor_file(path) and head and not _is_text(head):
        return f"it is truncated or damaged ({error}). Fetch or save it again."
    if head.startswith(b"PK\x03\x04"):
        return (
            "it is an archive, such as a .keras file, and must be an HDF5 file. Load it with "
            "keras.saving.load_model, save its weights with "
            "model.save_weights('x.weights.h5'), and pass that file."
        )
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return f"it is an HDF5 file, but truncated or damaged ({error}). Fetch or save it again."
    wanted = "a .h5 or .weights.h5 file that Keras wrote"
    kind = "an HDF5 file"
    if is_tensor_file(path):
        wanted = kind = "a file of PyTorch's tensors"
    if not head:
        wrote = "" if is_tensor_file(path) else " that Keras wrote"
        return f"it is empty, and must be {kind}{wrote}. Fetch or save it again."
    hint = ""
    if head.lstrip().startswith(b"<"):
        hint = ", but looks like a web page: fetch the file itself, not the page about it"
    elif head.startswith(_LFS):
        hint = ", but is a Git LFS pointer: fetch what it points to with 'git lfs pull'"
    return f"it is not {kind}{hint}. Pass {wanted}."


def _is_text(head: bytes) -> bool:
    return head.lstrip().startswith(b"<") or head.startswith(_LFS)
