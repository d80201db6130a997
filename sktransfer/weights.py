"""The weights of a cut network: read from a file, no layer deeper than the cut, or drawn.

Weights come from Keras' official ImageNet files, from the file that the package brings, from a file
that Keras wrote, or from a seed.
Which of them is the user's choice alone: where it cannot be met, that is an error.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.downloads import locate_official
from sktransfer.networks import ARCHITECTURES, MIN_SIZE, Cut, Layer, list_layers
from sktransfer.synthetic import NAME as SYNTHETIC
from sktransfer.synthetic import locate_synthetic

if TYPE_CHECKING:
    import h5py

#: Kernel and bias by layer name.
Weights = dict[str, tuple[np.ndarray, np.ndarray]]

# SHA-256 of the kernel of block1_conv1 (float32, little-endian) in Keras' ImageNet files: it tells
# the two networks apart in a file that ends before they differ in shape.
_IMAGENET_FIRST_KERNEL = {
    "564034bfdba3ca76c2787bb27101f4fff7fa318d2fbce72b98ee85a91ac7233c": "vgg16",
    "4dfc08de3aa222ed819de4dce4adfa4d366e39ac165ccba188c00b1d48f0803d": "vgg19",
}


def locate_weights(
    weights: str | os.PathLike, cut: Cut, *, who: str = "VGGFeatureExtractor"
) -> Path:
    """Find the weights file for a cut, and download the official one where it is not there.

    Parameters
    ----------
    weights : 'imagenet', 'synthetic' or path-like
        ``'imagenet'`` stands for Keras' official file, looked for in ``$SKTRANSFER_WEIGHTS_DIR``
        and Keras' own cache and else downloaded to the latter. Its MD5 is checked in either case.
        ``'synthetic'`` stands for the file that comes with the package. Anything else is a path.
    cut : Cut
        What is wanted. Without dense layers the small file will do, and only that is downloaded.
    who : str, default='VGGFeatureExtractor'
        The class whose parameter this is, named in errors.

    Returns
    -------
    Path
        The file. An official one is complete and as Keras published it.

    Raises
    ------
    OSError
        If there is no such file, an official one is corrupt, or the download fails.
    ValueError
        If the cut needs more than the synthetic weights have.
    """
    if weights == SYNTHETIC:
        return locate_synthetic(cut, who=who)
    if weights != "imagenet":
        return _check_path(weights, who)
    dense = cut.weighted_layers[-1].kind == "dense"
    return locate_official(cut.architecture, dense=dense, who=who)


def _check_path(weights: str | os.PathLike, who: str) -> Path:
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    name = os.fspath(weights)
    hint = "no such file."
    if not name:
        hint = "an empty path. For seeded random weights pass None."
    elif path.is_dir():
        hint = "that is a folder. Name the file in it."
    elif close := difflib.get_close_matches(name.lower(), ["imagenet", SYNTHETIC], n=1):
        hint += f" Did you mean {close[0]!r}?"
    elif name.lower() in ("none", "random"):
        hint += " For seeded random weights pass None."
    raise FileNotFoundError(
        f"The 'weights' parameter of {who} must be 'imagenet', 'synthetic', None or the path of a "
        f"weights file. Got {name!r}: {hint}"
    )


# -- reading


def recorded_input_size(path: str | os.PathLike, *, who: str = "VGGFeatureExtractor") -> int | None:
    """Return the input size that a weights file records as its own.

    Parameters
    ----------
    path : path-like
        An HDF5 file. Its root may have an attribute ``input_size``.
    who : str, default='VGGFeatureExtractor'
        The class that asks, named in errors.

    Returns
    -------
    int or None
        Side of the images in pixels; None where nothing is recorded, as in Keras' own files.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If what is recorded is no input size.
    """
    with _open(path, who) as file:
        size = file.attrs.get("input_size")
    if size is None:
        return None
    if not isinstance(size, Integral) or size < MIN_SIZE:
        raise ValueError(
            f"The weights file {os.fspath(path)!r} must record as its 'input_size' a whole number "
            f"of pixels from {MIN_SIZE} up. Got {size!r} instead. Correct the attribute, or give "
            f"the 'input_size' of {who}."
        )
    return int(size)


def has_recipe(path: str | os.PathLike, *, who: str = "VGGFeatureExtractor") -> bool:
    """Tell whether a weights file records a recipe, as those trained on formulas do.

    Parameters
    ----------
    path : path-like
        An HDF5 file.
    who : str, default='VGGFeatureExtractor'
        The class that asks, named in errors.

    Returns
    -------
    bool
        Whether its root has an attribute ``recipe``.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with _open(path, who) as file:
        return "recipe" in file.attrs


def read_weights(path: str | os.PathLike, cut: Cut, *, who: str = "VGGFeatureExtractor") -> Weights:
    """Read the weights of a cut network, and no other array of the file.

    Parameters
    ----------
    path : path-like
        An HDF5 file that Keras wrote: an official one, or one by ``save_weights`` or ``save``. It
        need not reach deeper than the cut.
    cut : Cut
        What is wanted.
    who : str, default='VGGFeatureExtractor'
        The class that asks, named in errors.

    Returns
    -------
    dict of str to tuple of ndarray
        Kernel and bias of every layer in ``cut.weighted_layers``, in that order; float32 and
        C-contiguous.

    Raises
    ------
    OSError
        If the file is no HDF5 file, or is damaged.
    ValueError
        If it is of the other network, lacks layers, or has other shapes or values that no network
        can compute with.
    """
    name = os.fspath(path)
    with _open(path, who) as file:
        found = _find_arrays(file, cut.architecture)
        _check_network(found, cut, name, who)
        _check_complete(found, cut, name, who, list(file))
        _check_arrays(found, cut, name, who)
        weights = {}
        for layer in cut.weighted_layers:
            kernel, bias = (np.empty(array.shape, np.float32) for array in found[layer.name])
            for source, values in zip(found[layer.name], (kernel, bias), strict=True):
                source.read_direct(values)
            weights[layer.name] = kernel, bias
    _check_first_kernel(weights["block1_conv1"][0], cut, name, who)
    broken = [
        layer
        for layer, arrays in weights.items()
        # The extremes are NaN where any value is, and need no temporary array.
        if not all(np.isfinite([values.min(), values.max()]).all() for values in arrays)
    ]
    if broken:
        raise ValueError(
            f"The weights that {who} reads must be finite numbers within float32. Got NaN or "
            f"infinity in {', '.join(broken)} of {name!r}: the file is damaged, or the training "
            "that made it has diverged. Pass another file."
        )
    return weights


@contextmanager
def _open(path: str | os.PathLike, who: str) -> Iterator[h5py.File]:
    """Open an HDF5 file; whatever the library finds wrong with it becomes one OSError."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise OSError(
            f"{who} cannot read the weights file {os.fspath(path)!r}: {_diagnose(path, error)}"
        ) from error


def _diagnose(path: str | os.PathLike, error: Exception) -> str:
    """Tell by its first bytes what a file is that HDF5 cannot read."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
    except OSError as reason:
        return f"{reason.strerror}. Name a file that exists and may be read."
    if head.startswith(b"PK\x03\x04"):
        return (
            "it is an archive, such as a .keras file, and must be an HDF5 file. Load it with "
            "keras.saving.load_model, save its weights with "
            "model.save_weights('x.weights.h5'), and pass that file."
        )
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return f"it is an HDF5 file, but truncated or damaged ({error}). Fetch or save it again."
    if not head:
        return "it is empty, and must be an HDF5 file that Keras wrote. Fetch or save it again."
    hint = ""
    if head.lstrip().startswith(b"<"):
        hint = ", but looks like a web page: fetch the file itself, not the page about it"
    elif head.startswith(b"version https://git-lfs"):
        hint = ", but is a Git LFS pointer: fetch what it points to with 'git lfs pull'"
    return f"it is not an HDF5 file{hint}. Pass a .h5 or .weights.h5 file that Keras wrote."


def _weighted_names(architecture: str) -> list[str]:
    return [layer.name for layer in list_layers(architecture) if layer.kernel_shape is not None]


_KNOWN_NAMES = frozenset(name for known in ARCHITECTURES for name in _weighted_names(known))


def _find_arrays(file: h5py.File, architecture: str) -> dict[str, list[h5py.Dataset]]:
    """Find the arrays of every VGG layer in a file, kernel first, without reading them.

    The older layouts, with and without the model, list the arrays of a group in its attribute
    ``weight_names``. That of Keras 3 numbers them in groups called ``vars``. Either nests where a
    VGG network is part of another model.
    """
    import h5py

    groups: list[h5py.Group] = []

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            groups.append(item)

    # Beside the model's weights, `save` keeps the optimizer's, under the same layer names.
    file.get("model_weights", file).visititems(collect)
    found: dict[str, list[h5py.Dataset]] = {}
    nameless: dict[str, dict[tuple[str, int], list[h5py.Dataset]]] = {}
    for group in groups:
        *parents, own_name = group.name.strip("/").split("/")
        if "weight_names" in group.attrs:
            for entry in group.attrs["weight_names"]:
                entry = entry.decode() if isinstance(entry, bytes) else str(entry)
                # Kernel and bias share a scope. It is the layer's own name in a nested network,
                # while of an outer layer only the group's name is free of counters.
                name = own_name if own_name in _KNOWN_NAMES else "/".join(entry.split("/")[-2:-1])
                if name in _KNOWN_NAMES:
                    found.setdefault(name, []).append(group[entry])
        elif own_name == "vars" and len(group) and parents:
            arrays = [group[key] for key in sorted(group, key=_counter)]
            name = str(group.attrs.get("name", ""))
            if name in _KNOWN_NAMES:
                found.setdefault(name, []).extend(arrays)
            kind = re.fullmatch(r"(conv2d|dense)(_\d+)?", parents[-1])
            if kind and not name:
                siblings = nameless.setdefault("/".join(parents[:-1]), {})
                siblings[kind[1], _counter(parents[-1])] = arrays
    return found or _name_by_order(nameless, architecture)


def _counter(name: str) -> int:
    """Return the number at the end of a name, 0 where there is none."""
    digits = re.search(r"\d+$", name)
    return int(digits[0]) if digits else 0


def _name_by_order(
    nameless: Mapping[str, Mapping[tuple[str, int], list[h5py.Dataset]]], architecture: str
) -> dict[str, list[h5py.Dataset]]:
    """Name layers by their order, since Keras before 3.7 wrote no names into ``.weights.h5``."""
    if not nameless:
        return {}
    layers = max(nameless.values(), key=len)
    arrays = {
        kind: [layers[key] for key in sorted(layers) if key[0] == kind]
        for kind in ("conv2d", "dense")
    }
    # The network asked for comes first: up to block3_conv3 the two are alike.
    candidates = sorted(ARCHITECTURES, key=lambda other: other != architecture)
    tables = [
        [layer for layer in list_layers(other) if layer.kind == "conv"] for other in candidates
    ]
    fitting = (
        table
        for table in tables
        if len(arrays["conv2d"]) <= len(table)
        and all(
            _shapes(found) == _wanted_shapes(layer)
            for layer, found in zip(table, arrays["conv2d"], strict=False)
        )
    )
    table = next(fitting, tables[0])
    named = {layer.name: found for layer, found in zip(table, arrays["conv2d"], strict=False)}
    # A user's own dense layers are not VGG's: these are told by their shapes.
    dense = [layer for layer in list_layers(architecture) if layer.kind == "dense"]
    for layer, found in zip(dense, arrays["dense"], strict=False):
        if _shapes(found) == _wanted_shapes(layer):
            named[layer.name] = found
    return named


def _shapes(arrays: list[h5py.Dataset]) -> list[tuple[int, ...]]:
    return [array.shape for array in arrays]


def _wanted_shapes(layer: Layer) -> list[tuple[int, ...]]:
    assert layer.kernel_shape is not None
    return [layer.kernel_shape, layer.kernel_shape[-1:]]


def _check_network(found: Mapping[str, list[h5py.Dataset]], cut: Cut, name: str, who: str) -> None:
    """Tell the other network by its layers, even where the cut ends before the two differ."""
    own = _weighted_names(cut.architecture)
    (other,) = (known for known in ARCHITECTURES if known != cut.architecture)
    foreign = [layer for layer in _weighted_names(other) if layer in found and layer not in own]
    if foreign:
        evidence = f"{foreign[0]}, which {cut.architecture.upper()} does not have"
    elif _is_prefix(found, _weighted_names(other)) and not _is_prefix(found, own):
        first_missing = next(layer for layer in own if layer not in found)
        later = next(layer for layer in own[own.index(first_missing) :] if layer in found)
        evidence = f"{later} but not {first_missing}"
    else:
        return
    _refuse_network(other, evidence, cut, name, who)


def _check_first_kernel(kernel: np.ndarray, cut: Cut, name: str, who: str) -> None:
    """Tell the other network by its values, where a file ends before the shapes differ."""
    digest = hashlib.sha256(kernel.astype("<f4", copy=False).data).hexdigest()
    known = _IMAGENET_FIRST_KERNEL.get(digest, cut.architecture)
    if known != cut.architecture:
        evidence = f"the ImageNet kernel of {known.upper()} in block1_conv1"
        _refuse_network(known, evidence, cut, name, who)


def _refuse_network(other: str, evidence: str, cut: Cut, name: str, who: str) -> None:
    raise ValueError(
        f"The weights file of {who} must be of {cut.architecture!r}. Got {name!r}, which is of "
        f"{other!r}: it holds {evidence}. Set architecture={other!r}, or pass another file."
    )


def _is_prefix(found: Mapping[str, object], names: list[str]) -> bool:
    return set(found) == set(names[: len(found)])


def _check_complete(
    found: Mapping[str, object], cut: Cut, name: str, who: str, content: list[str]
) -> None:
    missing = [layer.name for layer in cut.weighted_layers if layer.name not in found]
    if not missing:
        return
    network = cut.architecture.upper()
    lead = (
        f"The cut at {cut.trunk[-1].name!r} of {who} needs the weights of every layer of {network} "
        f"up to there. Got {name!r}, which lacks {', '.join(missing)}"
    )
    if not found:
        raise ValueError(
            f"{lead}: it holds no layer of {network} at all, but {_some(content)}. Pass a file "
            "that Keras wrote for keras.applications' network, whose layers keep their names."
        )
    deepest, stop = None, None
    # Cut at any layer, if only with weights that are there, is possible up to the first gap.
    for layer in list_layers(cut.architecture)[1:]:
        if layer.kernel_shape is not None:
            if layer.name not in found:
                break
            deepest = layer.name
        stop = layer.name
    if deepest is None:
        raise ValueError(f"{lead}. Pass a complete file.")
    raise ValueError(
        f"{lead}. It reaches up to {deepest}: cut at {stop!r} or before, or pass a file that "
        "reaches deeper."
    )


def _some(content: list[str]) -> str:
    return ", ".join([*map(repr, content[:5]), *["..."] * (len(content) > 5)]) or "nothing"


def _check_arrays(found: Mapping[str, list[h5py.Dataset]], cut: Cut, name: str, who: str) -> None:
    """Compare shapes and types before anything is read, and name every layer that is wrong."""
    faults = []
    for layer in cut.weighted_layers:
        arrays, wanted = found[layer.name], _wanted_shapes(layer)
        if _shapes(arrays) != wanted:
            shapes = " and ".join(map(str, _shapes(arrays))) or "none"
            faults.append(f"{layer.name} {shapes} instead of {wanted[0]} and {wanted[1]}")
        elif any(array.dtype.kind != "f" for array in arrays):
            types = " and ".join(str(array.dtype) for array in arrays)
            faults.append(f"{layer.name} of type {types} instead of float")
    if faults:
        raise ValueError(
            f"The weights file of {who} must hold one kernel and one bias for each layer of "
            f"{cut.architecture.upper()}, of the network's shapes. Got in {name!r}: "
            f"{'; '.join(faults)}. Pass a file of the unchanged network, or cut before these "
            "layers."
        )


# -- taking, drawing and hashing


def take_weights(weights: Mapping, cut: Cut, *, who: str = "VGGFeatureExtractor") -> Weights:
    """Take the weights of a cut network from a mapping.

    Parameters
    ----------
    weights : mapping of str to tuple of ndarray
        Kernel and bias by layer name; layers beyond the cut are left alone.
    cut : Cut
        What is wanted.
    who : str, default='VGGFeatureExtractor'
        The class whose parameter this is, named in errors.

    Returns
    -------
    dict of str to tuple of ndarray
        Kernel and bias of every layer in ``cut.weighted_layers``, in that order; float32 and
        C-contiguous.

    Raises
    ------
    ValueError
        If a layer is missing, or its arrays have other shapes or are not finite.
    """
    taken, faults = {}, []
    for layer in cut.weighted_layers:
        pair = [np.ascontiguousarray(values, np.float32) for values in weights.get(layer.name, ())]
        shapes = [values.shape for values in pair]
        if not shapes:
            faults.append(f"no {layer.name}")
        elif shapes != _wanted_shapes(layer):
            faults.append(f"{layer.name} of shapes {shapes} instead of {_wanted_shapes(layer)}")
        elif not all(np.isfinite(values).all() for values in pair):
            faults.append(f"NaN or infinity in {layer.name}")
        else:
            taken[layer.name] = pair[0], pair[1]
    if faults:
        raise ValueError(
            f"The 'weights' parameter of {who} must map each layer of {cut.architecture.upper()} "
            f"up to {cut.trunk[-1].name!r} to its kernel and bias. Got {'; '.join(faults)}: pass "
            "all of them, or cut before these layers."
        )
    return taken


def draw_weights(cut: Cut, seed: int) -> Weights:
    """Draw random weights: He normal kernels, and biases of zero.

    Parameters
    ----------
    cut : Cut
        What is wanted.
    seed : int
        Not negative. A layer's weights depend on it and on the layer, and not on the cut.

    Returns
    -------
    dict of str to tuple of ndarray
        Kernel and bias of every layer in ``cut.weighted_layers``, in that order; float32.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852.

    Examples
    --------
    >>> from sktransfer.networks import plan_cut
    >>> from sktransfer.weights import draw_weights
    >>> weights = draw_weights(plan_cut("block1_pool"), seed=0)
    >>> {name: kernel.shape for name, (kernel, bias) in weights.items()}
    {'block1_conv1': (3, 3, 3, 64), 'block1_conv2': (3, 3, 64, 64)}
    """
    weights = {}
    for index, layer in enumerate(cut.weighted_layers):
        assert layer.kernel_shape is not None
        # Drawn as float32, since the largest kernel alone would be 822 MB in float64.
        rng = np.random.default_rng([seed, index])
        kernel = rng.standard_normal(layer.kernel_shape, dtype=np.float32)
        kernel *= np.float32(np.sqrt(2 / np.prod(layer.kernel_shape[:-1])))
        weights[layer.name] = kernel, np.zeros(layer.kernel_shape[-1], np.float32)
    return weights


def hash_weights(arrays: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Hash weights, so that equal ones are known again wherever they came from.

    Parameters
    ----------
    arrays : mapping of str to tuple of ndarray
        Kernel and bias by layer; their order counts.

    Returns
    -------
    str
        SHA-256 in hexadecimal over names, shapes and values as little-endian float32: the same on
        every machine.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.weights import hash_weights
    >>> hash_weights({"fc1": (np.ones((2, 2), np.float32), np.zeros(2, np.float32))})[:16]
    '490257c523d6ff78'
    """
    sha256 = hashlib.sha256()
    for name, pair in arrays.items():
        for values in pair:
            sha256.update(f"{name} {values.shape}\n".encode())
            # A view, not a copy, of weights as this module gives them on almost every machine.
            sha256.update(np.ascontiguousarray(values, dtype="<f4").data)
    return sha256.hexdigest()


def hash_up_to(cut: Cut, layers: Iterable[Layer], weights: Weights) -> dict[str, str]:
    """Hash the weights up to each layer, on which its features depend, and on no others.

    Parameters
    ----------
    cut : Cut
        The network.
    layers : iterable of Layer
        Layers of its trunk.
    weights : dict of str to tuple of ndarray
        Kernel and bias of every weighted layer up to the deepest of them.

    Returns
    -------
    dict of str to str
        SHA-256 by layer name.
    """
    return {
        layer.name: hash_weights(
            {above.name: weights[above.name] for above in cut.weighted_above(layer)}
        )
        for layer in layers
    }
