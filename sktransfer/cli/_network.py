"""The extractors that the options describe."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any


def make_extractor(args: argparse.Namespace, **params: Any) -> Any:
    """Return the extractor of a command; `params` are what only this command says."""
    from sktransfer.extractor import VGGFeatureExtractor

    weights = params.pop("weights", args.weights)
    if hasattr(args, "value_range"):  # the commands that read data
        params["value_range"] = tuple(args.value_range) if args.value_range else "auto"
        params["image_shape"] = args.image_shape and tuple(args.image_shape)
    return VGGFeatureExtractor(
        architecture=args.architecture,
        weights=None if weights == "random" else weights,
        random_state=args.seed,
        **params,
    )


def make_other(args: argparse.Namespace, network: str, **params: Any) -> Any:
    """Return the extractor of a network that the option `--network` names."""
    from sktransfer.network_extractor import ImageFeatureExtractor

    if hasattr(args, "value_range"):  # the commands that read data
        params["value_range"] = tuple(args.value_range) if args.value_range else "auto"
        params["image_shape"] = args.image_shape and tuple(args.image_shape)
    return ImageFeatureExtractor(
        network,
        weights=_read_source(params.pop("weights", args.weights)),
        preprocessing=_choose_preprocessing(args.preprocessing, network),
        random_state=args.seed,
        **params,
    )


def _read_source(source: str | None) -> str | None:
    """Return the weights of a network that `--weights` names; where it is left out, its own."""
    known = {None: "pretrained", "imagenet": "pretrained", "random": None}
    return known.get(source, source)


def _choose_preprocessing(given: str | dict[str, Any] | None, network: str) -> Any:
    """Return how pixels are scaled: as the network tells, or else as the option says."""
    from sktransfer.networks.opening import is_file
    from sktransfer.networks.pixels import CAFFE, TF, TORCH, PixelScaling

    if given is None or not is_file(network):
        return "auto"
    if _tells_scaling(network):
        warnings.warn(
            f"The '--preprocessing' option is for files that do not tell how pixels are scaled: "
            f"{network!r} does, and keeps its own.",
            stacklevel=2,
        )
        return "auto"
    ways = {"caffe": CAFFE, "tf": TF, "torch": TORCH, "none": PixelScaling()}
    return asdict(ways[given]) if isinstance(given, str) else given


def _tells_scaling(network: str) -> bool:
    """Tell whether the metadata of a file say how pixels are scaled; only those of ONNX do."""
    from sktransfer.networks import TRAINED_SIZE
    from sktransfer.networks.opening import is_onnx, open_network

    for size in (None, TRAINED_SIZE) if is_onnx(network) else ():  # None is one that is fixed
        with suppress(ImportError, OSError, ValueError):  # said when it is fitted
            opened = open_network(network, size, who="sktransfer")
            return getattr(opened, "scaling", None) is not None
    return False


def make_extractors(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the extractors with their controls, and the names of those that may be missing."""
    from sktransfer.evaluation.probing.naming import name_extractors

    if args.network:
        others = _make_others(args)
        return dict(zip(name_extractors(others), others, strict=True)), []
    chosen = args.weights
    if chosen is None:
        own = choose_weights(args.architecture, [args.layer])
        chosen = list(dict.fromkeys([own, "imagenet"]))
    # The control stands last.
    chosen = [*(source for source in chosen if source != "random"), "random"]
    made = [
        make_extractor(
            args,
            layer=args.layer or "block3_pool",
            weights=source,
            input_size=size,
            **_given(args),
        )
        for size in dict.fromkeys(args.input_size or [32])
        for source in chosen
    ]
    extractors = dict(zip(name_extractors(made), made, strict=True))
    # Weights that nobody asked for by name are not downloaded; their row then says so.
    optional = [
        name
        for name, extractor in extractors.items()
        if args.weights is None and extractor.weights == "imagenet"
    ]
    return extractors, optional


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of an extractor, whatever its network."""
    return {name: getattr(args, name) for name in ("pooling", "engine", "precision", "cache")}


def _make_others(args: argparse.Namespace) -> list[Any]:
    """Return the extractors of the networks that the option `--network` names."""
    from sklearn.base import clone

    sizes: list[Any] = args.input_size or ["auto"]
    extractors = []
    for network in args.network:
        first = make_other(args, network, layer=args.layer, weights=None, **_given(args))
        extractors += [
            clone(first).set_params(input_size=size, weights=_read_source(source))
            for size in dict.fromkeys(sizes)
            for source in dict.fromkeys(args.weights or [None])
        ]
    return extractors


def choose_weights(architecture: str, layers: Iterable[str]) -> str:
    """Take the package's own weights where they reach the layers, so that nothing is downloaded."""
    from sktransfer.networks import DENSE_UNITS
    from sktransfer.weights.synthetic import ARCHITECTURE, NAME

    is_within = architecture == ARCHITECTURE and not set(layers) & set(DENSE_UNITS)
    return NAME if is_within else "imagenet"


def start_engines(extractors: Iterable[Any]) -> None:
    """Import Keras quietly, if one of the extractors needs it."""
    if any(map(_needs_keras, extractors)):
        start_keras()


def _needs_keras(extractor: Any) -> bool:
    from sktransfer.engines import ENGINES
    from sktransfer.engines.choice import choose_engine
    from sktransfer.networks.opening import is_onnx
    from sktransfer.networks.outputs import side_of
    from sktransfer.networks.timm_network import is_timm

    if hasattr(extractor, "network"):  # Keras builds its own, whatever runs them
        return not (is_onnx(extractor.network) or is_timm(extractor.network))
    if extractor.engine not in ("auto", *ENGINES):  # said when it is fitted
        return False
    size = 32 if extractor.input_size == "auto" else side_of(extractor.input_size)
    try:
        chosen = choose_engine(extractor.engine, extractor.precision, size, who="sktransfer")
    except (ImportError, ValueError):  # said when it is fitted
        return False
    return chosen == "keras"


def start_keras() -> None:
    """Import Keras and find its devices, holding back what that prints unless it fails."""
    from sktransfer.networks.quiet import held_back

    with held_back():
        import keras

        keras.ops.zeros(1)
