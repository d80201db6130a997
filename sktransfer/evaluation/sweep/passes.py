"""Many cuts from few forward passes: planned by what the store and the memory hold, then run.

One pass computes all cuts of an input size up to the deepest and stores each separately, from where
they are read again. If there is no store, or not enough room in it, a pass computes as
many cuts as fit into memory together.
"""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone

from sktransfer.base import _num_samples, _safe_indexing
from sktransfer.evaluation.sweep.grid import Variant
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import compute_features
from sktransfer.features.temporary import find_store
from sktransfer.inputs.images import ImageWarning

# What the features of one block of images may take, and the images in it at least and at most.
_BLOCK_BYTES = 64 << 20
_BLOCK_IMAGES = (64, 1024)
# Of a store's bound: the rest is for its own tables.
_STORE_SHARE = 0.9


@dataclass(frozen=True)
class Pass:
    """One forward pass over all images, and what it computes.

    Attributes
    ----------
    variants : tuple of Variant
        All of one input size, narrow before wide.
    groups : tuple of tuple of Variant
        The same in portions that fit into memory. The first comes from the pass itself, the others
        from the store.
    is_kept : bool
        Whether the store has room for it.
    """

    variants: tuple[Variant, ...]
    groups: tuple[tuple[Variant, ...], ...]
    is_kept: bool

    @cached_property
    def columns(self) -> dict[Variant, slice]:
        """Where each variant stands among the features of the pass."""
        ends = itertools.accumulate((variant.width for variant in self.variants), initial=0)
        pairs = itertools.pairwise(ends)
        return {variant: slice(*pair) for variant, pair in zip(self.variants, pairs, strict=True)}


def store_bytes(extractor: FeatureExtractor) -> int:
    """Return how many bytes of features the extractor's store can hold; 0 where it has none."""
    store = find_store(extractor.cache)
    return 0 if store is None else int(_STORE_SHARE * store.bound())


def plan_passes(
    variants: Sequence[Variant], n_images: int, *, store_bytes: int, memory_bytes: int
) -> list[Pass]:
    """Plan the passes over images: one for each input size, if the store holds what it gives."""
    passes = []
    for _, group in itertools.groupby(variants, key=lambda variant: variant.input_size):
        some = list(group)
        sums = itertools.accumulate(_n_bytes(variant, n_images) for variant in some)
        n_kept = sum(total <= store_bytes for total in sums)
        if n_kept:
            kept = some[:n_kept]
            passes.append(Pass(tuple(kept), _portions(kept, n_images, memory_bytes), True))
        passes += [
            Pass(portion, (portion,), False)
            for portion in _portions(some[n_kept:], n_images, memory_bytes)
        ]
    return passes


def _portions(
    variants: Sequence[Variant], n_images: int, memory_bytes: int
) -> tuple[tuple[Variant, ...], ...]:
    portions: list[list[Variant]] = []
    room = 0
    for variant in variants:
        room -= _n_bytes(variant, n_images)
        if not portions or room < 0:
            portions.append([])
            room = memory_bytes - _n_bytes(variant, n_images)
        portions[-1].append(variant)
    return tuple(map(tuple, portions))


def _n_bytes(variant: Variant, n_images: int) -> int:
    return 4 * variant.width * n_images


def extractor_of(
    extractor: FeatureExtractor, variants: Sequence[Variant], **params: Any
) -> FeatureExtractor:
    """Return an extractor like another one that gives all of some variants, one after the other."""
    return clone(extractor).set_params(
        layer=[variant.layer for variant in variants],
        pooling=[variant.pooling for variant in variants],
        input_size=variants[0].input_size,
        **params,
    )


def fit_passes(
    extractor: FeatureExtractor, passes: Sequence[Pass], X: Any
) -> list[FeatureExtractor]:
    """Fit an extractor for each pass, so that nothing is found wrong after the first has run."""
    fitted: list[FeatureExtractor] = []
    for each in passes:
        params = {} if each.is_kept else {"cache": None}
        with ignoring_image_warnings(bool(fitted)):
            fitted.append(extractor_of(extractor, each.variants, **params).fit(X))
    return fitted


@contextmanager
def ignoring_image_warnings(when: bool) -> Iterator[None]:
    """Ignore warnings of images, as where they were given before."""
    with warnings.catch_warnings() if when else nullcontext():
        if when:
            warnings.simplefilter("ignore", ImageWarning)
        yield


def transform_blocks(
    fitted: FeatureExtractor, X: Any, n_images: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Compute the features of images a block at a time, so that they need not all be held."""
    least, most = _BLOCK_IMAGES
    size = _BLOCK_BYTES // (4 * fitted.n_features_out_)
    size = min(max(size // least * least, least), most)
    for start in range(0, n_images, size):
        rows = slice(start, min(start + size, n_images))
        yield rows, compute_features(fitted, _safe_indexing(X, rows))


def fill_store(extractor: FeatureExtractor, variants: Sequence[Variant], X: Any) -> None:
    """Compute what fits into the extractor's store, in one pass for each input size."""
    n_images = _num_samples(X)
    passes = plan_passes(
        variants, n_images, store_bytes=store_bytes(extractor), memory_bytes=_BLOCK_BYTES
    )
    kept = [each for each in passes if each.is_kept]
    with ignoring_image_warnings(True):  # the search will say it
        for fitted in fit_passes(extractor, kept, X):
            deque(transform_blocks(fitted, X, n_images), maxlen=0)
