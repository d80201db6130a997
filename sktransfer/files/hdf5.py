"""HDF5 files of weights: what they hold, and the arrays of one network in them.

This module imports nothing of the package, and NumPy and h5py inside functions only: it is also the
program that :mod:`sktransfer.files.isolated` runs in a separate process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import h5py

#: Groups and arrays that are looked at. The largest networks of Keras have some thousands.
MAX_ITEMS = 20_000
#: What one attribute may take. Keras writes no more than 64 KiB, the limit of older HDF5 versions.
_ATTRIBUTE_BYTES = 1 << 20
_N_CONTENT = 6

#: Name, kind and kernel shape of each layer with weights, by architecture.
Tables = Mapping[str, list[tuple[str, str, list[int]]]]


class RefusedError(ValueError):
    """A file that may be sound, and has what no file of weights needs."""


class ArrayFacts(NamedTuple):
    """The description of one array in a file."""

    shape: tuple[int, ...]
    dtype: str
    is_float: bool


def answer(request: Mapping[str, Any]) -> Iterator[Any]:
    """Say what is in a file, and then give the arrays that are wanted.

    A request is what JSON can hold: `file`, `attributes` (names), `architecture`, `tables` and
    `wanted` (shapes of the arrays by layer), or `everything`. First comes a dictionary: `content`
    (the first names of the root), `attributes` (those that are there), `found` (`ArrayFacts` by
    layer) and `read`, whether arrays follow: of every wanted layer all of the wanted shapes, or
    none. Then comes each array in float32, in the order of `wanted`.
    """
    import h5py
    import numpy as np

    with h5py.File(request["file"], "r") as file:
        facts = {
            "content": list(itertools.islice(file, _N_CONTENT)),
            "attributes": {
                name: _read_attribute(file, name)
                for name in request["attributes"]
                if name in file.attrs
            },
        }
        if request.get("everything"):
            _read_everything(file)
        found: dict[str, list[h5py.Dataset]] = {}
        if request["wanted"]:
            # Beside the model's weights, `save` keeps the optimizer's, under the same layer names.
            inside = "model_weights" in file
            root = _follow(file, "model_weights") if inside else file
            found = _find_arrays(root, request["tables"], request["architecture"])
        listed = {name: [_describe(each) for each in arrays] for name, arrays in found.items()}
        wanted = {name: list(map(tuple, shapes)) for name, shapes in request["wanted"].items()}
        is_there = all(
            [each.shape for each in listed.get(name, ())] == shapes
            and all(each.is_float for each in listed[name])
            for name, shapes in wanted.items()
        )
        if is_there:
            for name in wanted:
                for array in found[name]:
                    _check_storage(array)
        yield facts | {"found": listed, "read": is_there and bool(wanted)}
        for name in wanted if is_there else ():
            for array in found[name]:
                values = np.empty(array.shape, np.float32)
                array.read_direct(values)
                yield values


def _read_attribute(item: h5py.Group, name: str) -> Any:
    """Read an attribute as what JSON can hold."""
    value = _get_attribute(item, name)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, str) and len(value) <= _ATTRIBUTE_BYTES:
        return str(value)
    return {"repr": repr(value)[:200]}


def _get_attribute(item: h5py.Group, name: str) -> Any:
    attribute = item.attrs.get_id(name)
    n_bytes = math.prod(attribute.shape or ()) * attribute.dtype.itemsize
    if n_bytes > _ATTRIBUTE_BYTES:
        raise RefusedError(
            f"the attribute {name!r} of {item.name} takes {n_bytes:,} bytes, and may take "
            f"{_ATTRIBUTE_BYTES:,}"
        )
    return item.attrs[name]


# -- finding


def _find_arrays(
    root: h5py.Group, tables: Tables, architecture: str
) -> dict[str, list[h5py.Dataset]]:
    """Find the arrays of every VGG layer in a file, kernel first, without reading them.

    The older layouts, with and without the model, list the arrays of a group in its attribute
    ``weight_names``. That of Keras 3 numbers them in groups called ``vars``. Either nests where a
    VGG network is part of another model.
    """
    known = {name for table in tables.values() for name, *_ in table}
    found: dict[str, list[h5py.Dataset]] = {}
    nameless: dict[tuple[str, ...], dict[tuple[str, int], list[h5py.Dataset]]] = {}
    for parents, own_name, group in _walk(root):
        if "weight_names" in group.attrs:
            for entry in _read_names(group):
                # Kernel and bias share a scope. It is the layer's own name in a nested network,
                # while of an outer layer only the group's name is free of counters.
                name = own_name if own_name in known else "/".join(entry.split("/")[-2:-1])
                if name in known:
                    found.setdefault(name, []).append(_follow_to_array(group, entry))
        elif own_name == "vars" and parents and len(group):
            arrays = [_follow_to_array(group, key) for key in sorted(group, key=_counter)]
            name = _get_attribute(group, "name") if "name" in group.attrs else ""
            if isinstance(name, str) and name in known:
                found.setdefault(name, []).extend(arrays)
            kind = re.fullmatch(r"(conv2d|dense)(_\d+)?", parents[-1])
            if kind and not name:
                siblings = nameless.setdefault(parents[:-1], {})
                siblings[kind[1], _counter(parents[-1])] = arrays
    return found or _name_by_order(nameless, tables, architecture)


def _walk(root: h5py.Group) -> Iterator[tuple[tuple[str, ...], str, h5py.Group]]:
    """Visit every group below one, once: names of its parents, its own name, and itself."""
    import h5py

    n_seen, visited = 0, set()
    pending: list[tuple[tuple[str, ...], h5py.Group]] = [((), root)]
    while pending:
        path, group = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:
            continue
        visited.add(address)
        n_seen += len(group)
        if n_seen > MAX_ITEMS:
            raise RefusedError(f"it holds more than {MAX_ITEMS:,} groups and arrays")
        if path:
            yield path[:-1], path[-1], group
        inside = [((*path, name), _follow(group, name)) for name in group if _is_group(group, name)]
        pending.extend(reversed(inside))


def _is_group(group: h5py.Group, name: str) -> bool:
    """Tell what a group holds, without opening it."""
    import h5py

    _check_link(group, name)
    return group.get(name, getclass=True) is h5py.Group


def _follow(group: h5py.Group, path: str) -> Any:
    """Open what a group holds itself: a link may lead to any other file."""
    import h5py

    item = group
    for name in filter(None, path.split("/")):
        if not isinstance(item, h5py.Group):
            raise KeyError(f"{path!r} is not in {group.name!r}")
        _check_link(item, name)
        item = item[name]
    return item


def _check_link(group: h5py.Group, name: str) -> None:
    import h5py

    link = group.id.links.get_info(name.encode("utf-8", "surrogateescape"))
    if link.type != h5py.h5l.TYPE_HARD:
        raise RefusedError(f"its {group.name.rstrip('/')}/{name} is a link to another place")


def _follow_to_array(group: h5py.Group, path: str) -> h5py.Dataset:
    import h5py

    item = _follow(group, path)
    if not isinstance(item, h5py.Dataset):
        raise KeyError(f"{path!r} in {group.name!r} is not an array")
    return item


def _read_names(group: h5py.Group) -> list[str]:
    names: Iterable[Any] = _get_attribute(group, "weight_names")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _counter(name: str) -> int:
    """Return the number at the end of a name, 0 where there is none."""
    digits = re.search(r"\d{1,9}$", name)
    return int(digits[0]) if digits else 0


def _name_by_order(
    nameless: Mapping[Any, Mapping[tuple[str, int], list[h5py.Dataset]]],
    tables: Tables,
    architecture: str,
) -> dict[str, list[h5py.Dataset]]:
    """Name layers by their order, since Keras before 3.7 wrote no names into ``.weights.h5``."""
    layers = max(nameless.values(), key=len, default={})

    def pair(network: str, kind: str, group: str) -> list[tuple[str, list[h5py.Dataset], bool]]:
        """Name what was found of a kind, and say whether its shapes are the network's."""
        found = [layers[key] for key in sorted(layers) if key[0] == group]
        known = [(name, shape) for name, each, shape in tables[network] if each == kind]
        return [
            (name, arrays, [array.shape for array in arrays] == [tuple(shape), (shape[-1],)])
            for (name, shape), arrays in zip(known, found, strict=False)
        ]

    # The network asked for comes first: up to block3_conv3 the two are alike.
    candidates = sorted(tables, key=lambda other: other != architecture)
    convolutions = [pair(network, "conv", "conv2d") for network in candidates]
    fitting = (pairs for pairs in convolutions if all(fits for *_, fits in pairs))
    named = {name: arrays for name, arrays, _ in next(fitting, convolutions[0])}
    # A user's own dense layers are not VGG's: these are told by their shapes.
    dense = pair(architecture, "dense", "dense")
    return named | {name: arrays for name, arrays, fits in dense if fits}


# -- reading


def _describe(array: h5py.Dataset) -> ArrayFacts:
    # Beyond double precision, formats differ from machine to machine.
    is_float = array.dtype.kind == "f" and array.dtype.itemsize <= 8
    return ArrayFacts(array.shape or (), str(array.dtype)[:200], is_float)


def _check_storage(array: h5py.Dataset) -> None:
    """Check that an array is in the file itself, and in no form that takes other programs."""
    import h5py

    creation = array.id.get_create_plist()
    layout = creation.get_layout()
    if layout == h5py.h5d.VIRTUAL or creation.get_external_count():
        raise RefusedError(f"its {array.name} is stored in other files")
    allowed = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    filters = {creation.get_filter(i)[0] for i in range(creation.get_nfilters())}
    if filters - allowed:
        raise RefusedError(
            f"its {array.name} is compressed by HDF5's filters {sorted(filters - allowed)}, of "
            "which only gzip, shuffle and fletcher32 are read"
        )
    if layout == h5py.h5d.CHUNKED:
        chunk = creation.get_chunk()
        if any(one > whole for one, whole in zip(chunk, array.shape, strict=True)):
            raise RefusedError(
                f"its {array.name} of shape {array.shape} is stored in parts of shape {chunk}"
            )


def _read_everything(file: h5py.File) -> None:
    """Read all that a library might: what goes wrong does so here."""
    import h5py

    for group in (file, *(group for *_, group in _walk(file))):
        for name in group.attrs:
            _read_attribute(group, name)
        for name in group:
            item = _follow(group, name)
            if isinstance(item, h5py.Dataset):
                for attribute in item.attrs:
                    _read_attribute(item, attribute)
                _check_storage(item)
                if math.prod(item.shape or ()):
                    item[()]


# -- the program


def main() -> None:
    """Read a request from standard input, and write what :func:`answer` yields.

    Each item begins with ``+``: a line of JSON, or the bytes of an array. A fault begins with
    ``-``, and is a line of JSON and the end.
    """
    request = json.loads(sys.stdin.buffer.read())
    out = sys.stdout.buffer
    try:
        sys.path[:] = request["path"]
        import h5py  # noqa: F401 - before memory is limited, of which libraries take much

        _set_limits(request["limits"])
        for item in answer(request):
            out.write(b"+")
            out.write(json.dumps(item).encode() + b"\n" if isinstance(item, dict) else item.data)
    except MemoryError:
        out.write(b"-" + json.dumps(["refused", "it takes more memory than weights do"]).encode())
    except Exception as error:
        kind = "refused" if isinstance(error, RefusedError) else "damaged"
        reason = str(error) or type(error).__name__
        out.write(b"-" + json.dumps([kind, reason[:1000]]).encode())
    out.flush()


def _set_limits(limits: Mapping[str, int]) -> None:
    """Limit what this process may use, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, value in limits.items():
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, (soft, hard))


if __name__ == "__main__":
    main()
