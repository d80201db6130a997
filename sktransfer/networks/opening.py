"""Opening of a network that a user names: one of Keras', a model, or a file."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from sktransfer.files import isolated
from sktransfer.files.archives import FREE_BYTES, MAX_RATIO
from sktransfer.files.regular import check_regular
from sktransfer.networks.applications import Application, build_application, find_application
from sktransfer.networks.frameworks import claim
from sktransfer.networks.graph import Network
from sktransfer.networks.keras_network import wrap
from sktransfer.networks.onnx_reading import open_onnx
from sktransfer.networks.timm_network import is_timm, open_timm

_READ = (".keras", ".onnx")
_FILES = (*_READ, ".h5", ".hdf5")
# How a .keras file names its weights.
_HDF5 = "model.weights.h5"
_WEIGHTS = {_HDF5, "model.weights.npz"}


def is_onnx(network: Any) -> bool:
    """Tell whether a path is that of an ONNX file, by its ending."""
    return isinstance(network, str | os.PathLike) and Path(network).suffix.lower() == ".onnx"


def is_file(network: Any) -> bool:
    """Tell whether a path is that of a file that holds a network, by its ending."""
    return isinstance(network, str | os.PathLike) and Path(network).suffix.lower() in _READ


def find_named(network: Any, who: str, param: str = "network") -> Application | None:
    """Find the network of Keras that is named; None where a model or a file is."""
    if not isinstance(network, str) or is_timm(network):
        return None
    if Path(network).suffix.lower() in _FILES:
        return None
    if os.sep in network or network.startswith("~"):
        check_file(network, who, param)
    return find_application(network, who, param)


def check_file(path: str | os.PathLike, who: str, param: str = "network", more: str = "") -> Path:
    """Find a file that the user named."""
    try:
        found = Path(path).expanduser()
        check_regular(found)
        return found
    except (OSError, RuntimeError, ValueError) as error:
        hint = getattr(error, "strerror", None) or str(error)
        raise FileNotFoundError(
            f"The {param!r} parameter of {who} must be the path of a file{more}. Got "
            f"{os.fspath(path)!r}: {hint}."
        ) from error


def check_ending(path: Path, who: str) -> None:
    """Check that a file is of a format that is read."""
    if path.suffix.lower() not in _READ:
        raise ValueError(
            f"The 'network' parameter of {who} must be a .keras file where a Keras model is meant. "
            f"Got {str(path)!r}, an older format that may hold code: load it yourself, and pass "
            "the model, or save it by model.save('model.keras')."
        )


def read_keras_file(path: Path, who: str) -> Any:
    """Read a model in Keras' own format; code in it is refused."""
    import keras

    check_ending(path, who)
    _check_archive(path, who)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever is wrong with a file that others made
        said = " ".join(str(error).split())
        is_code = "lambda" in said.lower() or "unsafe" in said.lower()
        why = "it holds code, which is not run" if is_code else "Keras cannot read it"
        cure = (
            "If you trust it, load it by keras.saving.load_model(path, safe_mode=False) and pass "
            "the model."
            if is_code
            else "Pass a file that model.save('model.keras') wrote; a model of custom layers, "
            "loaded yourself, can be passed as it is."
        )
        raise ValueError(
            f"The 'network' parameter of {who} must be a .keras file of layers that Keras knows. "
            f"Got {str(path)!r}: {why} ({said[:300]}). {cure}"
        ) from error


def _check_archive(path: Path, who: str) -> None:
    """Check that all parts of a model are there and can be read, before Keras reads them."""
    try:
        with zipfile.ZipFile(path) as archive:
            fault = _find_fault(archive, path.stat().st_size)
    # The last is what the separate process says of HDF5.
    except (
        *(zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError),
        *(OSError, ValueError),
    ) as error:
        fault = " ".join(str(error).split())
    if fault:
        raise ValueError(
            f"The 'network' parameter of {who} must be a .keras file that is whole. Got "
            f"{str(path)!r}, a zip archive that is damaged or incomplete ({fault}): copy or "
            "download it again, or save it again by model.save('model.keras')."
        )


def _find_fault(archive: zipfile.ZipFile, n_bytes: int) -> str:
    """Say what is wrong with the archive of a model; nothing is an empty string.

    Keras reads weights in this process, so a separate one reads them first: the HDF5 library hangs
    or crashes on some damaged files, and follows links out of a file.
    """
    names = set(archive.namelist())
    n_unpacked = sum(part.file_size for part in archive.infolist())
    if n_unpacked > max(FREE_BYTES, MAX_RATIO * n_bytes):
        return f"it unpacks to {n_unpacked:,} bytes, more than {MAX_RATIO} times its size"
    if "config.json" not in names:
        return "it holds no config.json"
    if not names & _WEIGHTS:
        return "it holds no weights"
    if damaged := archive.testzip():
        return f"{damaged} in it is damaged"
    if _HDF5 in names:
        with tempfile.TemporaryDirectory() as folder:
            isolated.check(archive.extract(_HDF5, folder))
    return ""


def open_network(
    network: Any,
    input_size: int | tuple[int, int] | None,
    *,
    who: str,
    param: str = "network",
    is_whole: bool = True,
) -> Network:
    """Open a network to look at its layers; weights of a named one are whatever Keras draws.

    Without `is_whole` a named one is built up to its embedding only.
    """
    if is_onnx(network):
        return open_onnx(check_file(network, who, param), input_size, who=who, param=param)
    if is_timm(network):
        return open_timm(network, input_size, who=who)
    application = find_named(network, who, param)
    claim("keras")
    if application is None:
        model = network
        if isinstance(network, str | os.PathLike):
            model = read_keras_file(check_file(network, who, param), who)
        return wrap(model, input_size, architecture=None, is_headless=False, who=who)
    size = application.input_size if input_size is None else input_size
    # Other sizes than its own have no classifier.
    is_whole = is_whole and size in (application.input_size, (application.input_size,) * 2)
    model = build_application(
        application, size, is_whole=is_whole, weights=None, is_trained=True, who=who
    )
    architecture = application.architecture(is_trained=True)
    return wrap(model, None, architecture=architecture, is_headless=not is_whole, who=who)
