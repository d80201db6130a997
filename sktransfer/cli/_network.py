"""The extractors that the options describe."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
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
    from sktransfer.networks.pixels import CAFFE, TF, TORCH, PixelScaling

    ways = {"caffe": CAFFE, "tf": TF, "torch": TORCH, "none": PixelScaling()}
    scaling = ways.get(args.preprocessing)
    weights = params.pop("weights", args.weights)
    if hasattr(args, "value_range"):  # the commands that read data
        params["value_range"] = tuple(args.value_range) if args.value_range else "auto"
        params["image_shape"] = args.image_shape and tuple(args.image_shape)
    return ImageFeatureExtractor(
        network,
        weights={"imagenet": "pretrained", "random": None}.get(weights, weights),
        preprocessing="auto" if scaling is None else asdict(scaling),
        random_state=args.seed,
        **params,
    )


def make_extractors(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the extractors with their controls, and the names of those that may be missing."""
    from sktransfer.evaluation.probing.planning import name_extractor

    if args.network:
        return _make_others(args), []
    chosen = args.weights
    if chosen is None:
        own = choose_weights(args.architecture, [args.layer])
        chosen = list(dict.fromkeys([own, "imagenet"]))
    # The control stands last.
    chosen = [*(source for source in chosen if source != "random"), "random"]
    extractors = {}
    for size in dict.fromkeys(args.input_size or [32]):
        for source in chosen:
            extractor = make_extractor(
                args,
                layer=args.layer or "block3_pool",
                weights=source,
                input_size=size,
                **_given(args),
            )
            extractors[name_extractor(extractor)] = extractor
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


def _make_others(args: argparse.Namespace) -> dict[str, Any]:
    """Return the extractors of the networks that the option `--network` names."""
    from sktransfer.evaluation.probing.planning import name_extractor

    sizes: list[Any] = args.input_size or ["auto"]
    extractors = [
        make_other(
            args,
            network,
            layer=args.layer,
            weights=source,
            input_size=size,
            **_given(args),
        )
        for network in args.network
        for size in dict.fromkeys(sizes)
        for source in args.weights or ["imagenet"]
    ]
    return {name_extractor(each): each for each in extractors}


def choose_weights(architecture: str, layers: Iterable[str]) -> str:
    """Take the package's own weights where they reach the layers, so that nothing is downloaded."""
    from sktransfer.networks import DENSE_UNITS
    from sktransfer.weights.synthetic import ARCHITECTURE, NAME

    is_within = architecture == ARCHITECTURE and not set(layers) & set(DENSE_UNITS)
    return NAME if is_within else "imagenet"


def start_engines(extractors: Iterable[Any]) -> None:
    """Import Keras quietly, if one of the extractors will run on it; else it is not needed."""
    from sktransfer.engines.choice import choose_engine
    from sktransfer.networks.outputs import side_of

    for extractor in extractors:
        size = 32 if extractor.input_size == "auto" else side_of(extractor.input_size)
        try:
            chosen = choose_engine(extractor.engine, extractor.precision, size, who="sktransfer")
        except (ImportError, ValueError):  # said when it is fitted
            continue
        if chosen == "keras":
            start_keras()
            return


def start_keras() -> None:
    """Import Keras and find its devices, holding back what that prints unless it fails."""
    from sktransfer.networks.quiet import held_back

    with held_back():
        import keras

        keras.ops.zeros(1)
