"""Which cuts are meant, and which are left out and why, from names and sizes alone."""

from __future__ import annotations

from typing import Any

import pytest

from sktransfer.evaluation.sweep.grid import plan_variants
from sktransfer.networks import describe_network


def _plan(**params: Any) -> Any:
    params = {
        "layers": ["block1_pool", "block2_pool"],
        "poolings": ["avg", None],
        "input_sizes": [32],
        "max_width": None,
    } | params
    return plan_variants("vgg16", who="somebody", **params)


def test_small_inputs_come_first_and_narrow_before_wide() -> None:
    variants, skipped = _plan(input_sizes=[64, 32])
    assert skipped == []
    assert [(v.input_size, v.layer, v.pooling, v.width) for v in variants] == [
        (32, "block1_pool", "avg", 64),
        (32, "block2_pool", "avg", 128),
        (32, "block2_pool", None, 8 * 8 * 128),
        (32, "block1_pool", None, 16 * 16 * 64),
        (64, "block1_pool", "avg", 64),
        (64, "block2_pool", "avg", 128),
        (64, "block2_pool", None, 16 * 16 * 128),
        (64, "block1_pool", None, 32 * 32 * 64),
    ]


def test_costs_are_those_of_the_network_up_to_the_layer() -> None:
    variants, _ = _plan(input_sizes=[48])
    for variant in variants:
        network = describe_network("vgg16", cut=variant.layer, input_size=48)
        assert variant.multiply_adds == network.multiply_adds


def test_wide_ones_are_listed_with_their_width() -> None:
    variants, skipped = _plan(max_width=10_000)
    assert [v.width for v in variants] == [64, 128, 8192]
    assert [str(each) for each in skipped] == [
        "block1_pool flat, 32 px (16,384 values): wider than max_width=10,000"
    ]


def test_vectors_are_taken_once_and_dense_layers_where_they_exist() -> None:
    variants, skipped = _plan(
        layers=["fc1", "flatten"], poolings=["avg", "max"], input_sizes=[32, 224]
    )
    assert [str(v) for v in variants] == [
        "flatten flat, 32 px",
        "fc1 flat, 224 px",
        "flatten flat, 224 px",
    ]
    (one,) = skipped
    assert (one.variant.layer, one.variant.input_size) == ("fc1", 32)
    assert "exist at an input size of 224 pixels only" in one.reason


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"layers": "block1_pool"}, TypeError, r"'layers' parameter of somebody must be a list"),
        ({"layers": []}, ValueError, r"'layers' .* at least one and each once\. Got \[\]"),
        ({"layers": ["block1_pool"] * 2}, ValueError, "each once"),
        ({"layers": ["block1_pol"]}, ValueError, "Did you mean 'block1_pool'"),
        ({"layers": ["fc1"]}, ValueError, "exists at an input size of 224 pixels only"),
        ({"poolings": None}, TypeError, r"'poolings' .* must be a list"),
        ({"poolings": ["mean"]}, ValueError, r"must list 'avg', 'max' and None .* Got \['mean'\]"),
        (
            {"input_sizes": [31]},
            ValueError,
            r"at least 32 pixels, or \(height, width\)\. Got \[31\]",
        ),
        ({"input_sizes": ["auto"]}, ValueError, r"whole numbers .* Got \['auto'\]"),
        (
            {"input_sizes": 32},
            TypeError,
            r"whole numbers of pixels, or heights and widths\. Got 32",
        ),
        ({"max_width": 0}, ValueError, r"'max_width' .* from 1 up\. Got 0"),
        ({"max_width": 10}, ValueError, r"nothing to compute: .* wider than max_width=10"),
    ],
)
def test_what_is_wrong_is_said(params: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        _plan(**params)
