"""Files of PyTorch's tensors, read without PyTorch, and without running what they hold.

A ``.safetensors`` file is a table of names and the bytes of tensors. A ``.pth`` file of PyTorch is
a pickle beside such bytes: in an archive, or in older files one after the other. A pickle can name
any function to be called. Here it may name only the few that put a tensor's description together,
which functions of this module replace; any other name is an error.

References
----------
https://huggingface.co/docs/safetensors (the format);
https://docs.pytorch.org/docs/stable/notes/serialization.html (that of PyTorch).
"""

from __future__ import annotations

import json
import math
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sktransfer.files.hdf5 import RefusedError
from sktransfer.files.regular import open_regular

#: What such files are called.
SUFFIXES = (".pth", ".pt", ".safetensors")
# What the description of all tensors may take: a network of a thousand tensors needs 0.1 MB.
_HEADER_BYTES = 16 << 20
# How older files begin: a number that PyTorch writes first, as a pickle.
_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = pickle.dumps(_MAGIC, protocol=2)
# bfloat16, which NumPy does not have, is the upper half of float32.
_BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_SAFETENSORS = {
    "F32": "float32",
    "F64": "float64",
    "F16": "float16",
    "BF16": _BFLOAT16,
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class Storage:
    """Some bytes of a file that are values of one type.

    Attributes
    ----------
    key : str
        What the file calls them.
    dtype : str
        The type of the values.
    n_values : int
        How many there are.
    """

    key: str
    dtype: str
    n_values: int

    @property
    def n_bytes(self) -> int:
        """How many bytes they take."""
        return self.n_values * (2 if self.dtype == _BFLOAT16 else np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class Tensor:
    """The description of one tensor.

    Attributes
    ----------
    storage : Storage
        What holds its values.
    offset : int
        The place of its first value there.
    shape : tuple of int
        Its shape.
    strides : tuple of int
        By how many values neighbours along each axis lie apart.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        """Whether its values are floating-point numbers."""
        return "float" in self.storage.dtype


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Their descriptions, by name.
    read_bytes : callable
        Reads the bytes of a storage.
    """

    tensors: Mapping[str, Tensor]
    read_bytes: Callable[[Storage], bytes]

    def read(self, name: str) -> np.ndarray:
        """Read one tensor of floats, as float32."""
        tensor = self.tensors[name]
        storage = tensor.storage
        data = self.read_bytes(storage)
        if len(data) != storage.n_bytes:
            raise RefusedError(f"it ends within its tensor {name}")
        if storage.dtype == _BFLOAT16:
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, np.dtype(storage.dtype).newbyteorder("<"))
        size = values.itemsize
        strides = tuple(size * step for step in tensor.strides)
        # NumPy checks that the tensor lies within its bytes.
        view = np.ndarray(tensor.shape, values.dtype, values, size * tensor.offset, strides)
        return np.ascontiguousarray(view, np.float32)


def open_tensors(file: BinaryIO, path: Path) -> TensorFile:
    """Read what tensors an open file holds; a ValueError or another error says what is wrong."""
    if path.suffix.lower() == ".safetensors":
        return _open_safetensors(file)
    start = file.read(len(_LEGACY_START))
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return _open_archive(file)
    if start == _LEGACY_START:
        return _open_legacy(file)
    raise ValueError("no file of PyTorch begins like this")


# -- safetensors


def _open_safetensors(file: BinaryIO) -> TensorFile:
    n_header = int.from_bytes(file.read(8), "little")
    if not 2 <= n_header <= _HEADER_BYTES:
        raise ValueError("no .safetensors file begins like this")
    header = json.loads(_read_exactly(file, n_header))
    tensors: dict[str, Tensor] = {}
    places: dict[str, int] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = _SAFETENSORS.get(entry["dtype"])
        if dtype is None:
            continue  # a type that no weights of VGG have
        shape = tuple(int(side) for side in entry["shape"])
        start, end = map(int, entry["data_offsets"])
        storage = Storage(name, dtype, math.prod(shape))
        if min(shape, default=0) < 0 or start < 0 or end - start != storage.n_bytes:
            raise RefusedError(f"its table is wrong about the tensor {name}")
        tensors[name] = Tensor(storage, 0, shape, _contiguous(shape))
        places[name] = 8 + n_header + start
        _check_end(file, 8 + n_header + end)

    def read_bytes(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.n_bytes)

    return TensorFile(tensors, read_bytes)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


# -- PyTorch's own files


def _open_archive(file: BinaryIO) -> TensorFile:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1:
        raise RefusedError("it is an archive, but not one of PyTorch's tensors")
    folder = pickles[0].removesuffix("data.pkl")
    if archive.getinfo(pickles[0]).file_size > _HEADER_BYTES:
        raise RefusedError("the description of its tensors is too long")
    order = f"{folder}byteorder"
    if order in names and archive.read(order) != b"little":
        raise RefusedError("it was written on a machine of another byte order")
    with archive.open(pickles[0]) as described:
        found = _Reader(described).load()

    def read_bytes(storage: Storage) -> bytes:
        member = archive.getinfo(f"{folder}data/{storage.key}")
        if member.file_size != storage.n_bytes:
            raise RefusedError(f"its member {member.filename} is of another size than described")
        return archive.read(member)

    return TensorFile(_list_tensors(found), read_bytes)


def _open_legacy(file: BinaryIO) -> TensorFile:
    for _ in range(3):  # the magic number, the version, and the machine's sizes of numbers
        _Reader(file).load()
    reader = _Reader(file)
    found = reader.load()
    keys = _Reader(file).load()
    places: dict[str, int] = {}
    place = file.tell()
    for key in keys:
        storage = reader.storages[key]
        file.seek(place)
        if int.from_bytes(_read_exactly(file, 8), "little") != storage.n_values:
            raise RefusedError(f"its storage {key} is of another size than described")
        places[key] = place + 8
        place += 8 + storage.n_bytes
    _check_end(file, place)

    def read_bytes(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.n_bytes)

    return TensorFile(_list_tensors(found), read_bytes)


def _read_exactly(file: BinaryIO, n_bytes: int) -> bytes:
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise RefusedError("it is truncated")
    return data


def _check_end(file: BinaryIO, end: int) -> None:
    """Check that a file is as long as its description says."""
    if file.seek(0, os.SEEK_END) < end:
        raise RefusedError("it is truncated")


def _list_tensors(found: Any) -> dict[str, Tensor]:
    """List the tensors of a state, which may stand in a training checkpoint."""
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise RefusedError("it holds no table of tensors: save model.state_dict()")
    return {
        name: tensor
        for name, tensor in found.items()
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }


class _Reader(pickle.Unpickler):
    """Reads the description of tensors, and calls nothing that a file names."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for the few names that tensors need."""
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _describe_tensor,
            ("torch._utils", "_rebuild_parameter"): _describe_parameter,
        }
        if (module, name) not in known:
            raise RefusedError(
                f"it holds code, which is not run: it names {module}.{name}. Load it where you "
                "trust it, and save model.state_dict()"
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """Describe the storage that the file names."""
        kind, storage_type, key, _, n_values, *_ = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or n_values < 0:
            raise RefusedError("the description of its tensors is damaged")
        storage = Storage(str(key), storage_type.dtype, int(n_values))
        self.storages[storage.key] = storage
        return storage


@dataclass(frozen=True)
class _StorageType:
    """What stands for a class of storages."""

    dtype: str


def _describe_tensor(storage: Storage, offset: int, shape: Any, strides: Any, *_: Any) -> Tensor:
    return Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _describe_parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def is_tensor_file(path: Any) -> bool:
    """Tell by its ending whether a file is one of PyTorch's tensors."""
    return Path(path).suffix.lower() in SUFFIXES


def read_file(path: Path, use: Callable[[TensorFile], Any]) -> Any:
    """Open a file of tensors, and return what a function makes of it."""
    with closing(open_regular(path)) as file:
        return use(open_tensors(file, path))
