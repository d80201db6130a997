"""The runner, which computes features of images, and holds all that decides their bits.

The features are the same with a store and without: rows never depend on their neighbours, so a
few of them can be computed without the others.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from sktransfer.engines import (
    Engine,
    EngineConfig,
    add_engine,
    building,
    choose_engine_for,
    describe_engine,
    find_engine,
    images_for,
)
from sktransfer.engines.processor import count_threads
from sktransfer.features.loading import (
    Loaded,
    empty_inputs,
    load_ahead,
    load_all,
    to_loaded,
)
from sktransfer.features.memory import NotEnoughMemory, allocate
from sktransfer.features.preprocessing import Resizing, preprocess
from sktransfer.features.store import FeatureStore
from sktransfer.features.store_use import StoreUse
from sktransfer.features.temporary import find_store
from sktransfer.inputs.decoding import explain
from sktransfer.inputs.images import Images
from sktransfer.inputs.scale import ValueRange
from sktransfer.networks import AnyCut, Cut
from sktransfer.networks.pixels import CAFFE, PixelScaling
from sktransfer.weights import WeightsSource, hash_layers

# Part of every recipe; a change of what images are turned into, or how, must change it.
_RECIPE_FORMAT = 4
# Where batch_size='auto', what the preprocessed images of one chunk may take, and how many there
# are: enough to keep the threads of an engine busy, and few, so that it need not wait for long.
_CHUNK_BYTES = 32 << 20
_CHUNK_CALLS = 4
_LEAST_CHUNK = 64
# Images of one chunk where there is a store. Others cannot claim them until they are computed, and
# what a killed process loses is one chunk.
_STORED_CHUNK = 64

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class _Progress:
    """Tells the bar, and whoever else wants to know, how many more images are done."""

    bar: Callable[[int], object]
    report: Callable[[int], None] | None

    def update(self, n_images: int) -> None:
        self.bar(n_images)
        if self.report is not None:
            self.report(n_images)


@dataclass(frozen=True)
class Runner:
    """Everything but the images.

    Attributes
    ----------
    cut : Cut or NetworkCut
        The network and the wanted layers.
    resizing : Resizing
        How images become the network's input.
    config : EngineConfig
        What runs the network.
    weights : WeightsSource
        What gives the weights, which may reach deeper than the cut, or a network with them.
    layer_sha256 : mapping of str to str
        For each wanted layer the hash of the weights up to there.
    batch_size : 'auto' or int
        Images held in memory at once; 'auto' leaves it to a bound of their memory.
    cache : 'temporary', path-like, FeatureStore or None
        Where features are stored.
    verbose : int
        Above 0, a progress bar.
    who : str
        The class named in errors and next to the bar.
    scaling : PixelScaling
        How pixels become the network's input.
    """

    cut: AnyCut
    resizing: Resizing
    config: EngineConfig
    weights: WeightsSource
    layer_sha256: Mapping[str, str]
    batch_size: str | int
    cache: str | os.PathLike | FeatureStore | None
    verbose: int
    who: str
    scaling: PixelScaling = CAFFE

    # -- plan

    def cut_at(self, cut: AnyCut, weights: Any = None) -> Runner:
        """Return what computes other layers of this network; `weights` are loaded if not given.

        A network other than VGG in int8 is computed in float32 there: its ranges are those of the
        layers that were wanted.
        """
        missing = [layer for layer in cut.layers if layer.name not in self.layer_sha256]
        hashes = dict(self.layer_sha256)
        if missing:
            loaded = self.weights.load() if weights is None else weights
            hashes |= hash_layers(cut, missing, loaded)
        config = self.config
        if config.ranges is not None and not isinstance(cut, Cut):
            config = EngineConfig(config.engine)
        return replace(self, cut=cut, layer_sha256=hashes, config=config)

    def check_engine(self) -> None:
        """Check that the network can be run here.

        It may have been fitted where more was installed, or on another processor.
        """
        choose_engine_for(self.cut, self.config.engine, self.config.precision, who=self.who)

    def recipes(self) -> tuple[str, ...]:
        """Say for each wanted layer everything besides the image that decides its features."""
        return tuple(self._recipe(layer, pooling) for layer, pooling in self.cut.outputs)

    def _recipe(self, layer: Any, pooling: str | None) -> str:
        recipe: dict[str, Any] = {
            "format": _RECIPE_FORMAT,
            "architecture": self.cut.architecture,
            "layer": layer.name,
            "pooling": pooling,
            "weights": self.layer_sha256[layer.name],
            "input_size": self.cut.input_size,
            "aspect": self.resizing.aspect,
            "interpolation": self.resizing.interpolation,
            "antialias": self.resizing.antialias,
            "engine": describe_engine(self.config, self.cut, layer),
        }
        # VGG's own goes without saying.
        if not isinstance(self.cut, Cut) or self.scaling != CAFFE:
            recipe["preprocessing"] = asdict(self.scaling)
        return json.dumps(recipe, sort_keys=True)

    def chunk_size(self, largest: int | None = None) -> int:
        """Say how many images are prepared and computed at once."""
        step = images_for(self.cut, self.config.engine)
        if self.batch_size == "auto":
            size = max(_LEAST_CHUNK, _CHUNK_CALLS * count_threads() * step)
            size = min(size, _CHUNK_BYTES // (4 * math.prod(self.cut.trunk[0].output_shape)))
        else:
            size = int(self.batch_size)
        size = min(size, largest or size)
        return -(-max(size, 1) // step) * step

    def _chunks(self, rows: range, largest: int | None = None) -> Iterator[range]:
        """Cut a range of images into ranges that are computed at once."""
        size = self.chunk_size(largest)
        for start in range(rows.start, rows.stop, size):
            yield range(start, min(start + size, rows.stop))

    @property
    def _columns(self) -> list[slice]:
        """Where each wanted layer's features stand in a row."""
        ends = itertools.accumulate(self.cut.widths, initial=0)
        return [slice(start, end) for start, end in itertools.pairwise(ends)]

    # -- the network

    @property
    def sha256(self) -> str:
        """The hash of all weights that the wanted layers depend on."""
        return self.cut.hash_of(self.layer_sha256)

    @property
    def vgg_cut(self) -> Cut:
        """The cut, for what is done with VGG alone."""
        if not isinstance(self.cut, Cut):
            raise TypeError(
                "This needs a VGGFeatureExtractor, or an estimator that was fitted as one. Got "
                f"{self.who} of {self.cut.architecture}."
            )
        return self.cut

    def load_weights(self) -> Any:
        """Load the weights of this cut, or the network with them."""
        return self.cut.take(self.weights.load())

    def run(self, inputs: np.ndarray, out: np.ndarray) -> None:
        """Run the network on preprocessed images, and write its features into rows."""
        if len(out):
            self.get_engine()(inputs, [out[:, columns] for columns in self._columns])

    def get_engine(self) -> Engine:
        """Return what runs the network; the first call loads the weights and builds it."""
        key = self.cut, self.sha256, self.config
        engine = find_engine(*key)
        if engine is not None:
            return engine
        with building():
            # Another thread may have built it in the meantime.
            engine = find_engine(*key)
            return add_engine(*key, self.load_weights()) if engine is None else engine

    # -- features

    def compute(
        self,
        images: Images,
        value_range: ValueRange | None,
        report: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Compute the features of images, or take them from the store.

        `report` is told how many more images are done.
        """
        (features,) = self.compute_in_pieces(images, value_range, len(images), report)
        return features

    def compute_in_pieces(
        self,
        images: Images,
        value_range: ValueRange | None,
        n_images: int,
        report: Callable[[int], None] | None = None,
    ) -> Iterator[np.ndarray]:
        """Compute features, so many images at a time."""
        from tqdm.auto import tqdm

        store = find_store(self.cache)
        with tqdm(total=len(images), unit="image", desc=self.who, disable=not self.verbose) as bar:
            progress = _Progress(bar.update, report)
            for start in range(0, len(images), n_images):
                rows = range(start, min(start + n_images, len(images)))
                yield self._compute_rows(images, value_range, rows, store, progress)

    def _compute_rows(
        self,
        images: Images,
        value_range: ValueRange | None,
        rows: range,
        store: FeatureStore | None,
        progress: _Progress,
    ) -> np.ndarray:
        out = allocate(
            (len(rows), self.cut.n_features),
            images.who,
            f"{self.cut.n_features:,} features of each of {len(rows):,} images",
            "Set pooling='avg', cut at a layer of fewer features, or write the features to a file "
            "with sktransfer.extract, which takes no more memory for more images.",
        )
        try:
            if store is None:
                self._fill_rows(images, value_range, rows, out, progress)
            else:
                with store.open() as use:
                    self._fill_by_store(images, value_range, rows, use, out, progress)
        except NotEnoughMemory:
            raise
        except MemoryError as error:
            n_images = min(self.chunk_size(), len(rows))
            n_bytes = 4 * n_images * math.prod(self.cut.trunk[0].output_shape)
            raise NotEnoughMemory(
                f"{images.who} ran out of memory in a batch of {n_images:,} images, which take "
                f"{n_bytes:,} bytes once they are preprocessed, plus memory for decoding and for "
                "the network. Set a smaller batch_size or input_size. Cached features are kept."
            ) from error
        return out

    def _fill_rows(
        self,
        images: Images,
        value_range: ValueRange | None,
        rows: range,
        out: np.ndarray,
        progress: _Progress,
    ) -> None:
        """Fill rows with features that are computed."""
        pieces = ((images, chunk) for chunk in self._chunks(rows))
        with closing(self.load(pieces, value_range)) as chunks:
            for chunk, inputs in chunks:
                self.run(inputs, out[chunk.start - rows.start : chunk.stop - rows.start])
                progress.update(len(chunk))

    def load(
        self, pieces: Iterable[tuple[Images, range]], value_range: ValueRange | None
    ) -> Generator[tuple[range, np.ndarray]]:
        """Load and preprocess images, piece by piece."""
        return load_all(pieces, value_range, *self._ways)

    @property
    def _ways(self) -> tuple[Callable[..., np.ndarray], Callable[[int], np.ndarray]]:
        """How images become the network's input, and room for so many."""
        prepare = partial(preprocess, resizing=self.resizing, scaling=self.scaling)
        return prepare, partial(empty_inputs, size=self.resizing.size)

    def _fill_by_store(
        self,
        images: Images,
        value_range: ValueRange | None,
        rows: range,
        use: StoreUse,
        out: np.ndarray,
        progress: _Progress,
    ) -> None:
        """Fill rows with features from the store, to which those that are missing are added."""
        recipes = self.recipes()

        def load(chunks: Iterable[range]) -> Generator[tuple[range, list[Loaded]]]:
            prepare = partial(to_loaded, resizing=self.resizing, scaling=self.scaling)
            pieces = ((images, chunk) for chunk in chunks)
            return load_all(pieces, value_range, prepare, lambda n: [None] * n)

        def complete(chunk: range, loaded: list[Loaded], *, wait: bool) -> bool:
            own = out[chunk.start - rows.start : chunk.stop - rows.start]
            is_complete = self._complete(loaded, recipes, use, own, wait=wait)
            progress.update(len(chunk) if is_complete or wait else 0)
            return is_complete

        with closing(load(self._chunks(rows, _STORED_CHUNK))) as chunks:
            others = [each[0] for each in chunks if not complete(*each, wait=False)]
        # Rows that another process was computing are in the store by now, or soon, or were lost.
        if others:
            with closing(load(others)) as chunks:
                for each in chunks:
                    complete(*each, wait=True)

    def _complete(
        self,
        loaded: list[Loaded],
        recipes: tuple[str, ...],
        use: StoreUse,
        out: np.ndarray,
        *,
        wait: bool,
    ) -> bool:
        """Fill the rows of a chunk, and tell whether all are filled: others may compute some."""
        digests = [image.digest for image in loaded]
        missing = self._read(digests, range(len(digests)), recipes, use, out)
        if not missing:
            return True
        with use.claim(list(missing), wait=wait) as claimed:
            positions = [p for image in claimed for p in missing[image]]
            # Another process may have computed them between the look-up and the claim.
            left = self._read(digests, positions, recipes, use, out)
            inputs = empty_inputs(len(left), self.cut.input_size)
            for i, found in enumerate(left.values()):
                inputs[i] = loaded[found[0]].inputs(self.resizing, self.scaling)[0]
            rows = np.empty((len(left), out.shape[1]), dtype=np.float32)
            self.run(inputs, rows)
            for recipe, columns in zip(recipes, self._columns, strict=True):
                use.write(recipe, list(left), rows[:, columns])
            for row, found in zip(rows, left.values(), strict=True):
                out[found] = row
        return len(claimed) == len(missing)

    def _read(
        self,
        digests: list[bytes],
        positions: Sequence[int],
        recipes: tuple[str, ...],
        use: StoreUse,
        out: np.ndarray,
    ) -> dict[bytes, list[int]]:
        """Read the rows that are there; return where the others are, by image."""
        images = [digests[position] for position in positions]
        rows = np.empty((len(images), out.shape[1]), dtype=np.float32)
        found = np.ones(len(images), dtype=bool)
        for recipe, columns in zip(recipes, self._columns, strict=True):
            found &= use.read(recipe, images, rows[:, columns])
        out[np.asarray(positions, dtype=int)[found]] = rows[found]
        missing: dict[bytes, list[int]] = {}
        for position, image, is_there in zip(positions, images, found, strict=True):
            if not is_there:
                missing.setdefault(image, []).append(position)
        return missing

    def stream(
        self, pieces: Iterable[tuple[_Key, Images]], value_range: ValueRange | None
    ) -> Generator[tuple[_Key, np.ndarray, dict[int, str]]]:
        """Compute the features of images that come in pieces, whether or not all can be read."""
        whole = ((key, images, range(len(images))) for key, images in pieces)
        with closing(load_ahead(whole, value_range, *self._ways)) as chunks:
            for chunk in chunks:
                rows = np.full((len(chunk.rows), self.cut.n_features), np.nan, dtype=np.float32)
                if chunk.failures:
                    readable = [row for row in chunk.rows if row not in chunk.failures]
                    found = np.empty((len(readable), rows.shape[1]), np.float32)
                    self.run(chunk.values[readable], found)
                    rows[readable] = found
                else:
                    self.run(chunk.values, rows)
                failures = {row: explain(error) for row, error in chunk.failures.items()}
                yield chunk.key, rows, failures
