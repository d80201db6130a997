"""The network run by OpenVINO's CPU plug-in in float32, bfloat16 or int8.

The network is written as OpenVINO's operations straight from the kernels: no framework is imported
and no model file converted.

In int8 the inputs and kernels of all layers but the first are quantized to 8 bits, and products are
added up in 32. Activations share one scale per layer, from zero to the largest value met in
calibration; kernels have one per output channel. The first layer takes a hundredth of the
operations, and its rounding would cause a seventh of the error. The values that leave a wanted
layer are those before they are quantized for the next one.

References
----------
R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A whitepaper",
2018, https://arxiv.org/abs/1806.08342, sections 2.1 and 3.1.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.engines.batches import split
from sktransfer.engines.processor import count_threads
from sktransfer.networks import Cut, Layer
from sktransfer.networks.outputs import side_of
from sktransfer.networks.quiet import import_openvino

if TYPE_CHECKING:
    import openvino

# Images per request, by input size: small images alone cannot pay for reading the kernels.
_IMAGES_PER_CALL = ((48, 16), (80, 8))
#: Images per request of networks other than VGG, at least. With depthwise convolutions two are up
#: to 1.2 times as fast as one, else about as fast (measured by `python benchmarks network-...`).
LEAST_IMAGES_OF_OTHERS = 2
#: Largest absolute value of a preprocessed pixel between black and white: 255 less the least mean.
INPUT_RANGE = 255 - 103.939


def images_per_call(input_size: int) -> int:
    """Return how many images every request takes at an input size."""
    return next((n for size, n in _IMAGES_PER_CALL if input_size <= size), 1)


class GraphEngine:
    """A network in OpenVINO's operations, compiled for one shape.

    Every request runs on one thread, so that neither their number nor their order changes a bit.
    """

    def __init__(self, model: openvino.Model, n_images: int, precision: str) -> None:
        self._n_images = n_images
        self._compiled = compile_model(model, precision)

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers."""
        _run(self._compiled, self._n_images, inputs, outputs)


class OpenVINOEngine(GraphEngine):
    """A cut of VGG with its weights, compiled for one shape, and for one image where that is safe.

    `ranges` gives for int8 the largest input of each weighted layer but the first.

    A few images would wait for a batch that is mostly zeros. So the network is compiled once more
    for one image, and takes them if both give the same bits for a few random images: which sums
    the plug-in takes in which order depends on shapes and on the processor, never on values.
    """

    def __init__(
        self,
        cut: Cut,
        weights: Mapping[str, tuple[np.ndarray, np.ndarray]],
        precision: str,
        ranges: Mapping[str, float] | None,
    ) -> None:
        def build(n_images: int) -> openvino.Model:
            return _Builder(cut, weights, ranges, n_images).build()

        import_openvino()
        n_images = images_per_call(side_of(cut.input_size))
        super().__init__(build(n_images), n_images, precision)
        self._lock = threading.Lock()
        # Compiled for one image; False where its bits are others; None where that is not known yet.
        self._single: Any = False
        if n_images > 1:
            self._single = None
            self._prepare_single = partial(self._compile_single, cut, build, precision)

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers."""
        if 2 * len(inputs) <= self._n_images and self._has_single():
            _run(self._single, 1, inputs, outputs)
        else:
            super().__call__(inputs, outputs)

    def _has_single(self) -> bool:
        """Tell whether one image may run by itself; find it out the first time."""
        with self._lock:
            if self._single is None:
                self._single = self._prepare_single()
                del self._prepare_single  # and with it the weights
            return self._single is not False

    def _compile_single(
        self, cut: Cut, build: Callable[[int], openvino.Model], precision: str
    ) -> Any:
        """Compile the network for one image; return False if that gives other bits."""
        compiled = compile_model(build(1), precision)
        shape = (self._n_images // 2 + 1, *cut.trunk[0].output_shape)
        images = np.random.default_rng(0).uniform(-INPUT_RANGE, INPUT_RANGE, shape)
        found, expected = (
            [np.empty((len(images), width), np.float32) for width in cut.widths] for _ in range(2)
        )
        _run(compiled, 1, images.astype(np.float32), found)
        _run(self._compiled, self._n_images, images.astype(np.float32), expected)
        return compiled if all(map(np.array_equal, found, expected)) else False


def compile_model(model: openvino.Model, precision: str) -> Any:
    """Compile a model for as many requests at a time as there are threads, one for each."""
    n_threads = count_threads()
    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": n_threads,
        "INFERENCE_NUM_THREADS": n_threads,
        # Workers, each with a thread of its own, would all be bound to the first core.
        "ENABLE_CPU_PINNING": False,
        # Otherwise the plug-in computes in bfloat16 wherever the processor can.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }
    return import_openvino().Core().compile_model(model, "CPU", settings)


def _run(compiled: Any, n_images: int, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
    """Compute images, so many in each request."""
    # Requests of each call's own: threads may share the engine. They are waited for in turn
    # rather than served by callbacks, whose threads can keep a process from ending.
    running: deque[tuple[Any, int]] = deque()
    n_requests = count_threads()
    for first, batch in split(inputs, n_images):
        if len(running) < n_requests:
            request = compiled.create_infer_request()
        else:
            request = _finish(*running.popleft(), outputs)
        request.start_async([batch], share_inputs=True)
        running.append((request, first))
    while running:
        _finish(*running.popleft(), outputs)


def _finish(request: Any, first: int, outputs: list[np.ndarray]) -> Any:
    """Wait for a request and take its results; return it, free to be used again."""
    request.wait()
    for i, out in enumerate(outputs):
        values = request.get_output_tensor(i).data
        rows = out[first : first + len(values)]
        rows[:] = values[: len(rows)]
    return request


class _Builder:
    """Write a cut network as OpenVINO's operations, layer by layer."""

    def __init__(
        self,
        cut: Cut,
        weights: Mapping[str, tuple[np.ndarray, np.ndarray]],
        ranges: Mapping[str, float] | None,
        n_images: int,
    ) -> None:
        from openvino import opset13

        self.op = opset13
        self.cut, self.weights, self.ranges, self.n_images = cut, weights, ranges, n_images

    def build(self) -> openvino.Model:
        op, cut = self.op, self.cut
        shape = [self.n_images, *cut.trunk[0].output_shape]
        images = op.parameter(shape, np.float32, name="input")
        value = op.transpose(images, self._ints(0, 3, 1, 2))
        tensors = {}  # what leaves each layer, before it is quantized for the next one
        exact = value
        following = iter([*cut.weighted_layers[1:], None])
        for layer in cut.trunk[1:]:
            if layer.kernel_shape is not None:
                value = exact = tensors[layer.name] = self._weighted(layer, value)
                after = next(following)
                # Before the pooling, which then runs on 8 bits and picks the same value.
                if self.ranges is not None and after is not None:
                    value = self._quantize(exact, self.ranges[after.name])
            elif layer.kind == "pool":
                exact, value = self._pool_both(exact, value)
                tensors[layer.name] = exact
            else:
                tensors[layer.name] = self._flatten(exact)
                value = self._flatten(value)
        import openvino as ov

        vectors = [self._to_vector(*output, tensors[output[0].name]) for output in cut.outputs]
        return ov.Model([op.result(vector) for vector in vectors], [images])

    def _weighted(self, layer: Layer, value: Any) -> Any:
        op = self.op
        kernel, bias = self.weights[layer.name]
        if layer.kind == "conv":
            kernel = self._kernel(layer, kernel.transpose(3, 2, 0, 1))
            value = op.convolution(value, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
            return op.relu(op.add(value, op.constant(bias.reshape(1, -1, 1, 1))))
        value = op.matmul(value, self._kernel(layer, kernel.T), False, True)
        value = op.add(value, op.constant(bias.reshape(1, -1)))
        return op.softmax(value, 1) if layer.name == "predictions" else op.relu(value)

    def _kernel(self, layer: Layer, kernel: np.ndarray) -> Any:
        """Return a kernel whose first axis is that of the output channels."""
        op = self.op
        kernel = np.ascontiguousarray(kernel)
        if self.ranges is None or layer.name not in self.ranges:  # as the first
            return op.constant(kernel)
        largest = np.abs(kernel).max(axis=tuple(range(1, kernel.ndim)), keepdims=True)
        scale = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(127)
        levels = op.constant(np.rint(kernel / scale).astype(np.int8))
        return op.multiply(op.convert(levels, "f32"), op.constant(scale))

    def _quantize(self, value: Any, largest: float) -> Any:
        low, high = (self.op.constant(np.float32(limit)) for limit in (0, largest))
        return self.op.fake_quantize(value, low, high, low, high, 256)

    def _pool_both(self, exact: Any, value: Any) -> tuple[Any, Any]:
        pooled = self._pool(value)
        return (pooled if value is exact else self._pool(exact)), pooled

    def _pool(self, value: Any) -> Any:
        return self.op.max_pool(value, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "floor").output(0)

    def _flatten(self, value: Any) -> Any:
        """Lay maps out as Keras does: row after row, channels last."""
        last = self.op.transpose(value, self._ints(0, 2, 3, 1))
        return self.op.reshape(last, self._ints(self.n_images, -1), False)

    def _to_vector(self, layer: Layer, pooling: str | None, value: Any) -> Any:
        if len(layer.output_shape) == 1:
            return value
        if pooling is None:
            return self._flatten(value)
        mean_or_max = {"avg": self.op.reduce_mean, "max": self.op.reduce_max}[pooling]
        return mean_or_max(value, self._ints(2, 3), False)

    def _ints(self, *values: int) -> Any:
        return self.op.constant(np.array(values, dtype=np.int64))
