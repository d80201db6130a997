"""Fitting a network: its weights, what runs it, and for int8 the range of each layer.

Nothing is trained, and no image is computed unless int8 is to be calibrated.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils.random import sample_without_replacement

from sktransfer import weights as _weights
from sktransfer.engines import EngineConfig, choose_engine_for, find_ranges
from sktransfer.features.memory import check_network
from sktransfer.features.runner import Runner
from sktransfer.features.settings import AnySettings, NetworkSettings, Settings
from sktransfer.inputs.images import Images
from sktransfer.inputs.reader import Reader
from sktransfer.inputs.scale import ValueRange
from sktransfer.networks import TRAINED_SIZE, Cut, NetworkCut
from sktransfer.networks.pixels import CAFFE, PixelScaling
from sktransfer.weights import FittedWeights, Weights, load_weights

#: Images on which int8 is calibrated, at most.
MAX_CALIBRATION = 128


@dataclass(frozen=True)
class FittedNetwork:
    """The facts found about a network.

    Attributes
    ----------
    runner : Runner
        What computes its features.
    weights : dict of str to tuple of ndarray, or Network
        The weights of VGG, or another network with them, which are in memory by now.
    seed : int or None
        Seed of random weights.
    """

    runner: Runner
    weights: Any
    seed: int | None


def fit_network(
    settings: Settings | NetworkSettings, images: Images | None, reader: Reader
) -> FittedNetwork:
    """Find the weights and the engine for images that were read, and calibrate it on them.

    Without images to calibrate on, they need not be there.
    """
    if isinstance(settings, NetworkSettings):
        return _fit_any(settings, images, reader)
    who = settings.who
    seed = settings.draw_seed() if settings.weights is None else None
    cut, weights, scaling = _find_weights(settings, seed)
    engine = choose_engine_for(cut, settings.engine, settings.precision, who=who)
    check_network(cut, engine, who)
    hashes = _weights.hash_up_to(cut, cut.layers, weights)
    sha256 = cut.hash_of(hashes)
    runner = Runner(
        cut=cut,
        resizing=settings.resizing(cut.input_size),
        config=EngineConfig(engine, settings.precision),
        weights=FittedWeights(settings.weights, seed, cut, sha256, who),
        layer_sha256=hashes,
        batch_size=settings.batch_size,
        cache=settings.cache,
        verbose=settings.verbose,
        who=who,
        scaling=scaling,
    )
    if settings.precision == "int8":
        runner = calibrate(runner, *sample_images(settings, images, reader), weights)
    return FittedNetwork(runner, weights, seed)


def _fit_any(settings: NetworkSettings, images: Images | None, reader: Reader) -> FittedNetwork:
    """Load a network other than VGG, and find what runs it."""
    seed = settings.draw_seed() if settings.weights is None else None
    source = settings.source(seed)
    scaling = settings.scaling(source)
    network = source.load()
    source.check_pixels(network, scaling)
    cut = source.plan(network)
    engine = choose_engine_for(cut, settings.engine, settings.precision, who=settings.who)
    check_network(cut, engine, settings.who)
    hashes = _weights.hash_layers(cut, cut.layers, network)
    runner = Runner(
        cut=cut,
        resizing=settings.resizing(cut.input_size, network),
        config=EngineConfig(engine, settings.precision),
        weights=replace(source, cut=cut, sha256=cut.hash_of(hashes)),
        layer_sha256=hashes,
        batch_size=settings.batch_size,
        cache=settings.cache,
        verbose=settings.verbose,
        who=settings.who,
        scaling=scaling,
    )
    if settings.precision == "int8":
        runner = calibrate(runner, *sample_images(settings, images, reader), network)
    return FittedNetwork(runner, network, seed)


def _calibrate_any(
    runner: Runner, cut: NetworkCut, images: Images, value_range: ValueRange | None, network: Any
) -> Runner:
    """Find which values enter each operation with weights."""
    loaded = runner.load([(images, range(len(images)))], value_range)
    with closing(loaded) as chunks:
        inputs = np.concatenate([values for _, values in chunks])
    ranges = find_ranges(cut, runner.sha256, network, inputs)
    return replace(runner, config=replace(runner.config, ranges=ranges))


def _find_weights(settings: Settings, seed: int | None) -> tuple[Cut, Weights, PixelScaling]:
    """Load the weights, and plan the cut at the size that they record where none is given."""
    cut = settings.plan()
    if not isinstance(settings.weights, str | os.PathLike):
        scaling = getattr(settings.weights, "scaling", CAFFE)
        return cut, load_weights(settings.weights, cut, seed, who=settings.who), scaling
    path = _weights.locate_weights(settings.weights, cut, who=settings.who)
    weights, recorded, scaling = _weights.read_weights_and_record(path, cut, who=settings.who)
    if settings.input_size == "auto":
        cut = settings.plan(recorded or TRAINED_SIZE)
    return cut, weights, scaling


def sample_images(
    settings: AnySettings, images: Images | None, reader: Reader
) -> tuple[Images, ValueRange | None]:
    """Return the images on which int8 is calibrated, and the range of arrays among them."""
    if settings.calibration is None:
        assert images is not None
        n = min(len(images), MAX_CALIBRATION)
        rows = sample_without_replacement(len(images), n, random_state=settings.draw_seed())
        return images.take(rows.tolist()), reader.fitted_range
    given = reader.read(settings.calibration)
    if len(given) > MAX_CALIBRATION:
        raise ValueError(
            f"The 'calibration' parameter of {settings.who} must hold at most {MAX_CALIBRATION} "
            f"images, which determine the range of every layer. Got {len(given)}: pass a random "
            "sample."
        )
    value_range = reader.settle_range(given)
    given.check_files()
    return given, value_range


def calibrate(
    runner: Runner, images: Images, value_range: ValueRange | None, weights: Any
) -> Runner:
    """Find the largest input of each layer, which is what the one before it gives.

    `weights` are the arrays of VGG, or another network with its weights.
    """
    if isinstance(runner.cut, NetworkCut):
        return _calibrate_any(runner, runner.cut, images, value_range, weights)
    cut = runner.cut
    *before, _ = cut.weighted_layers
    ranges: tuple[tuple[str, float], ...] = ()
    if before:
        maxima = Cut(cut.architecture, tuple(before), ("max",) * len(before), cut.input_size)
        exact = replace(runner, config=EngineConfig("openvino")).cut_at(maxima, weights)
        largest = exact.compute(images, value_range).max(axis=0)
        # A layer that no image activates has no range; any range works.
        ends = np.cumsum(maxima.widths)[:-1]
        highs = [float(high.max()) or 1.0 for high in np.split(largest, ends)]
        following = [layer.name for layer in cut.weighted_layers[1:]]
        ranges = tuple(zip(following, highs, strict=True))
    return replace(runner, config=replace(runner.config, ranges=ranges))
