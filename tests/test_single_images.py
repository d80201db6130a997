"""One image at a time: a shape of its own, where that has the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sktransfer.engines import openvino
from sktransfer.engines.openvino import OpenVINOEngine, images_per_call
from sktransfer.networks import plan_cut
from sktransfer.weights import load_weights

pytest.importorskip("openvino", reason="openvino is not installed")


def _engine(layers: Any, size: int, pooling: Any = None) -> tuple[OpenVINOEngine, list[int]]:
    cut = plan_cut(layers, "vgg16", pooling, size, who="test")
    weights = load_weights(None, cut, 0, who="test")
    return OpenVINOEngine(cut, weights, "float32", None), list(cut.widths)


def _run(engine: OpenVINOEngine, widths: list[int], images: np.ndarray) -> list[np.ndarray]:
    outputs = [np.empty((len(images), width), np.float32) for width in widths]
    engine(images, outputs)
    return outputs


@pytest.mark.parametrize(
    ("layers", "size", "pooling"),
    [
        ("block1_pool", 32, "avg"),
        ("block2_pool", 48, None),
        (["block1_conv2", "block3_pool"], 64, ["max", "avg"]),
        ("block5_pool", 32, None),
    ],
)
def test_rows_have_the_same_bits_in_every_number(layers: Any, size: int, pooling: Any) -> None:
    engine, widths = _engine(layers, size, pooling)
    n = images_per_call(size)
    images = np.random.default_rng(0).normal(0, 60, (n + 3, size, size, 3)).astype(np.float32)
    expected = _run(engine, widths, images)
    for n_images in (1, 2, n // 2, n // 2 + 1, n):
        found = _run(engine, widths, images[:n_images])
        for values, others in zip(found, expected, strict=True):
            np.testing.assert_array_equal(values, others[:n_images])


def test_other_bits_are_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, widths = _engine("block1_pool", 32)
    images = np.ones((1, 32, 32, 3), np.float32)
    expected = _run(_engine("block1_pool", 32)[0], widths, images)
    run, shapes = openvino._run, []

    def one_bit_off(compiled: Any, n_images: int, inputs: Any, outputs: Any) -> None:
        shapes.append(n_images)
        run(compiled, n_images, inputs, outputs)
        if n_images == 1:
            outputs[0][-1, -1] = np.nextafter(outputs[0][-1, -1], np.float32(np.inf))

    monkeypatch.setattr(openvino, "_run", one_bit_off)
    for _ in range(2):
        np.testing.assert_array_equal(_run(engine, widths, images)[0], expected[0])
    assert shapes == [1, images_per_call(32), images_per_call(32), images_per_call(32)]


def test_many_images_need_no_second_network(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, widths = _engine("block1_pool", 32)
    monkeypatch.setattr(engine, "_compile_single", None)
    images = np.zeros((images_per_call(32), 32, 32, 3), np.float32)
    assert len(_run(engine, widths, images)[0]) == len(images)
    assert engine._single is None
    assert _engine("block1_pool", 96)[0]._single is False
