"""Names and paths that are checked before anything that computes is imported."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

#: Sources of weights that are no files.
SOURCES = ("imagenet", "synthetic", "random")
#: Data that are fetched.
MNIST = "mnist"


def check_names(args: argparse.Namespace) -> None:
    """Raise an error for networks, layers, weights and data that do not exist or fit together."""
    networks = _list_networks(args)
    _check_each_once(networks)
    _check_preprocessing(getattr(args, "preprocessing", None), networks)
    if not networks:  # others are read before their layers are known
        for option in ("layer", "layers"):
            _check_layers(option, getattr(args, option, None), args)
    weights = getattr(args, "weights", None)
    for source in [weights] if isinstance(weights, str) else weights or []:
        _check_weights(source)
    data = getattr(args, "data", None)
    if data and data != MNIST and not Path(data).exists():
        raise FileNotFoundError(
            f"The '--data' option must be a file or a folder that exists, or mnist. Got {data!r}, "
            "where there is none."
        )


def _list_networks(args: argparse.Namespace) -> list[str]:
    given = getattr(args, "network", None) or []
    return [given] if isinstance(given, str) else given


def _check_each_once(networks: list[str]) -> None:
    paths = [Path(network).absolute() for network in networks]
    for i, network in enumerate(networks):
        if paths[i] in paths[:i]:
            raise ValueError(
                f"The '--network' option must name each network once. Got {network!r} twice."
            )


def _check_preprocessing(given: str | dict | None, networks: list[str]) -> None:
    """Raise an error for numbers that are wrong, and where no network needs them."""
    if given is None:
        return
    from sktransfer.networks.opening import is_file
    from sktransfer.networks.pixels import read_scaling

    if not any(map(is_file, networks)):
        raise ValueError(
            "The '--preprocessing' option is for .keras and .onnx files, and --network names none: "
            "leave it out, as other networks tell how their pixels are scaled."
        )
    if not isinstance(given, str):
        read_scaling(given, "sktransfer")


def _check_layers(option: str, names: str | list[str] | None, args: argparse.Namespace) -> None:
    if names is None:
        return
    from sktransfer.networks.layers import TRAINED_SIZE, find_layer

    for name in [names] if isinstance(names, str) else names:
        find_layer(name, args.architecture, TRAINED_SIZE, f"The '--{option}' option")


def _check_weights(source: str) -> None:
    if not source or source in SOURCES or Path(source).exists():
        return  # of an empty path the library says more
    close = difflib.get_close_matches(source.lower(), SOURCES, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise FileNotFoundError(
        f"The '--weights' option must be {', '.join(SOURCES)}, or a weights file. Got {source!r}, "
        f"and there is no such file.{hint}"
    )
