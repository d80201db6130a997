"""How many forward passes many cuts take, and that nothing is computed twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, strategies as st

from sktransfer import FeatureStore, VGGFeatureExtractor
from sktransfer.evaluation.sweep.grid import Variant, plan_variants
from sktransfer.evaluation.sweep.passes import (
    Pass,
    extractor_of,
    fill_store,
    fit_passes,
    plan_passes,
    store_bytes,
    transform_blocks,
)


def _variant(width: int, size: int = 32, layer: str = "block1_pool") -> Variant:
    return Variant(layer, None, size, width, 0)


def _plan(widths: list[int], store: int, memory: int) -> list[Pass]:
    """Plan for one image, in units of one value."""
    variants = [_variant(width, layer=str(i)) for i, width in enumerate(widths)]
    return plan_passes(variants, 1, store_bytes=4 * store, memory_bytes=4 * memory)


def _widths(groups: Any) -> list[list[int]]:
    return [[variant.width for variant in group] for group in groups]


def test_one_pass_for_each_size_where_the_store_has_room() -> None:
    variants = [_variant(1), _variant(2), _variant(1, 64), _variant(9, 64)]
    passes = plan_passes(variants, 10, store_bytes=10_000, memory_bytes=400)
    assert [[v.width for v in each.variants] for each in passes] == [[1, 2], [1, 9]]
    assert all(each.is_kept for each in passes)


def test_memory_divides_what_is_read_and_not_what_is_computed() -> None:
    (one,) = _plan([1, 2, 3, 4], store=100, memory=5)
    assert _widths(one.groups) == [[1, 2], [3], [4]]


def test_what_the_store_has_no_room_for_comes_from_further_passes() -> None:
    kept, second, third = _plan([1, 2, 3, 4], store=4, memory=4)
    assert _widths(kept.groups) == [[1, 2]]
    assert _widths([*second.groups, *third.groups]) == [[3], [4]]
    assert [each.is_kept for each in (kept, second, third)] == [True, False, False]


def test_without_a_store_a_pass_serves_what_fits_into_memory() -> None:
    passes = _plan([1, 2, 3, 4], store=0, memory=6)
    assert [_widths(each.groups) for each in passes] == [[[1, 2, 3]], [[4]]]
    assert not any(each.is_kept for each in passes)


@given(
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=8).map(sorted),
    store=st.integers(0, 60),
    memory=st.integers(20, 60),
)
def test_every_variant_is_planned_once_and_within_bounds(
    widths: list[int], store: int, memory: int
) -> None:
    passes = _plan(widths, store, memory)
    assert [v.width for each in passes for v in each.variants] == widths
    for each in passes:
        assert [v for group in each.groups for v in group] == list(each.variants)
        assert all(sum(v.width for v in group) <= memory for group in each.groups)
        if each.is_kept:
            assert sum(v.width for v in each.variants) <= store
        assert [s.stop - s.start for s in each.columns.values()] == [v.width for v in each.variants]


def _images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 9, 9), dtype=np.uint8)


def _extractor(**params: Any) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(weights=None, random_state=0, **params)


def test_blocks_are_what_one_call_gives(tmp_path: Path) -> None:
    X = _images(200)
    variants, _ = plan_variants(
        "vgg16", ["block1_conv1", "block1_pool"], ["avg", None], [32], None, who=""
    )
    fitted = extractor_of(_extractor(cache=tmp_path), variants).fit(X)
    blocks = list(transform_blocks(fitted, X, 200))
    assert [block[0] for block in blocks] == [slice(0, 192), slice(192, 200)]
    np.testing.assert_array_equal(
        np.concatenate([block[1] for block in blocks]), fitted.transform(X)
    )


def test_a_filled_store_serves_every_variant(tmp_path: Path, computed: list[int]) -> None:
    X = _images(70)
    store = FeatureStore(tmp_path)
    extractor = _extractor(cache=store)
    variants, _ = plan_variants(
        "vgg16", ["block1_conv1", "block1_pool"], ["avg", "max"], [32, 40], None, who=""
    )
    fill_store(extractor, variants, X)
    assert sum(computed) == 2 * 70
    assert sorted(store.info().recipes.values()) == [70] * 8
    computed.clear()
    for variant in variants:
        found = extractor_of(extractor, [variant]).fit_transform(X)
        plain = _extractor(
            layer=variant.layer, pooling=variant.pooling, input_size=variant.input_size
        )
        np.testing.assert_array_equal(found, plain.set_params(cache=store).fit_transform(X))
    assert sum(computed) == 0


def test_what_is_not_kept_leaves_the_store_alone(tmp_path: Path) -> None:
    X = _images(5)
    store = FeatureStore(tmp_path)
    variant = _variant(16 * 16 * 64)
    passes = plan_passes([variant], 5, store_bytes=0, memory_bytes=1 << 30)
    (fitted,) = fit_passes(_extractor(cache=store), passes, X)
    fitted.transform(X)
    assert store.info().n_rows == 0


def test_store_bytes_are_within_the_bound(tmp_path: Path) -> None:
    assert store_bytes(_extractor(cache=None)) == 0
    store = FeatureStore(tmp_path, max_bytes=10_000_000)
    assert 5_000_000 < store_bytes(_extractor(cache=store)) < 10_000_000
