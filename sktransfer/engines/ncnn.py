"""The network run by ncnn in float32, whose Winograd convolutions do less than half of the work.

The network is written in ncnn's own text format and the kernels as it stores them, straight from
the arrays: no converter is needed.

References
----------
ncnn, https://github.com/Tencent/ncnn: the files ``param-and-model-file-structure.md`` and
``operators.md`` of its developer guide, for the numbers of the parameters. A. Lavin, S. Gray, "Fast
algorithms for convolutional neural networks", 2015, https://arxiv.org/abs/1509.09308, for Winograd
convolutions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from sktransfer.engines.processor import count_threads
from sktransfer.networks import Cut, Layer

# Of the format of ncnn's text files.
_MAGIC = "7767517"
# Precedes every kernel: it is float32, and not packed in any way.
_PLAIN = np.zeros(4, np.uint8)
# Arithmetic other than float32, in part on by default on some processors.
_OTHER_ARITHMETIC = (
    "use_vulkan_compute",
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
    "use_int8_inference",
    "use_int8_packed",
    "use_int8_storage",
    "use_int8_arithmetic",
)


def images_per_call(input_size: int) -> int:
    """Return how many images every call of the network takes: one, at any size."""
    return 1


class NcnnEngine:
    """A cut network with its weights, which takes one image on each thread."""

    def __init__(self, cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        import ncnn

        self._ncnn = ncnn
        self._n_threads = count_threads()
        self._net = ncnn.Net()
        for name in _OTHER_ARITHMETIC:
            if hasattr(self._net.opt, name):  # each version has some of them
                setattr(self._net.opt, name, False)
        self._net.opt.num_threads = 1
        rows, self._blobs = _write_layers(cut)
        reader = _read_from(_write_weights(cut, weights))
        if self._net.load_param_mem("\n".join(rows) + "\n") or self._net.load_model(reader):
            raise RuntimeError("ncnn cannot load the network that was written for it.")

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers."""

        def run(i: int) -> None:
            self._run(inputs[i], [out[i] for out in outputs])

        with ThreadPoolExecutor(min(self._n_threads, len(inputs))) as pool:
            list(pool.map(run, range(len(inputs))))

    def _run(self, image: np.ndarray, rows: list[np.ndarray]) -> None:
        extractor = self._net.create_extractor()
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))  # ncnn reads this memory
        extractor.input("input", self._ncnn.Mat(planes))
        for blob, row in zip(self._blobs, rows, strict=True):
            failed, values = extractor.extract(blob)
            if failed:
                raise RuntimeError(f"ncnn cannot compute {blob!r}: it returned {failed}.")
            array = np.array(values, copy=False)
            if array.ndim == 3:
                row.reshape(*array.shape[1:], -1)[:] = array.transpose(1, 2, 0)
            else:
                row[:] = array.reshape(-1)


def _write_layers(cut: Cut) -> tuple[list[str], list[str]]:
    """Write the network as text; return its rows, and where each wanted layer comes out."""
    height, width, _ = cut.trunk[0].output_shape
    rows = [f"Input input 0 1 input 0={width} 1={height} 2=3"]
    n_blobs = 1
    current = "input"
    wanted = {}  # where each output comes out

    def add(kind: str, name: str, source: str, arguments: str, outputs: tuple[str, ...]) -> None:
        nonlocal n_blobs
        rows.append(f"{kind} {name} 1 {len(outputs)} {source} {' '.join(outputs)} {arguments}")
        n_blobs += len(outputs)

    for layer in cut.trunk[1:]:
        # Maps stay planes, and are laid out on the way out or in fc1's kernel.
        if layer.kind != "flatten":
            kind, arguments = _describe(layer)
            add(kind, layer.name, current, arguments, (layer.name,))
            current = layer.name
        if layer.name == "predictions":
            add("Softmax", "softmax", current, "0=0 1=1", ("softmax",))
            current = "softmax"
        poolings = [pooling for wanted_layer, pooling in cut.outputs if wanted_layer == layer]
        # A value has one reader: here the user, who gets a copy for each pooling, and the next
        # layer.
        copies = [f"{layer.name}_{pooling or 'flat'}" for pooling in poolings]
        readers = copies if layer is cut.trunk[-1] else [*copies, f"{layer.name}_on"]
        if len(readers) == 1:
            copies = [current] * len(copies)
        else:
            add("Split", f"{layer.name}_split", current, "", tuple(readers))
            current = readers[-1]
        for pooling, out in zip(poolings, copies, strict=True):
            wanted[layer.name, pooling] = out
            if pooling is None:
                continue
            is_mean, width = int(pooling == "avg"), layer.output_shape[1]
            # Each row by itself first: one long sum in float32 would lose digits.
            for step, extent in (("rows", f"1={width} 11=1 2={width} 12=1 5=1"), ("all", "4=1")):
                pooled = f"{layer.name}_{pooling}_{step}"
                add(
                    "Pooling",
                    pooled,
                    wanted[layer.name, pooling],
                    f"0={is_mean} {extent}",
                    (pooled,),
                )
                wanted[layer.name, pooling] = pooled
    header = [_MAGIC, f"{len(rows)} {n_blobs}"]
    return [*header, *rows], [wanted[layer.name, pooling] for layer, pooling in cut.outputs]


def _describe(layer: Layer) -> tuple[str, str]:
    if layer.kind == "conv":
        assert layer.kernel_shape is not None
        n_values = np.prod(layer.kernel_shape)
        # 3 x 3, one pixel of padding, a bias, ReLU.
        return "Convolution", f"0={layer.output_shape[-1]} 1=3 4=1 5=1 6={n_values} 9=1"
    if layer.kind == "pool":
        return "Pooling", "0=0 1=2 2=2 5=1"  # an odd row or column at the end is left out
    assert layer.kernel_shape is not None
    activation = "" if layer.name == "predictions" else " 9=1"
    n_in, n_out = layer.kernel_shape
    return "InnerProduct", f"0={n_out} 1=1 2={n_in * n_out}{activation}"


def _read_from(parts: Iterator[np.ndarray]) -> Any:
    """Return an ncnn reader that copies bytes out of arrays, one part after the other.

    ``Net.load_model_mem`` is no alternative: ncnn keeps pointers into the bytes that it takes, and
    its Python wrapper frees them.
    """
    import ncnn

    # A prototype, because setting types on ctypes.pythonapi's own function would change it for all.
    address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )

    class Reader(ncnn.DataReader):
        def __init__(self) -> None:
            super().__init__()
            self._part = np.empty(0, np.uint8)

        def read(self, buffer: Any, size: int) -> int:
            target = (ctypes.c_uint8 * size).from_address(address_of(buffer, None))
            out = np.frombuffer(memoryview(target), np.uint8)
            n_read = 0
            while n_read < size:
                if not len(self._part):
                    self._part = next(parts, self._part)
                    if not len(self._part):
                        break
                some = self._part[: size - n_read]
                out[n_read : n_read + len(some)] = some
                self._part = self._part[len(some) :]
                n_read += len(some)
            return n_read

    return Reader()


def _write_weights(
    cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Iterator[np.ndarray]:
    """Give the bytes of kernels and biases in the order of the layers, one at a time."""
    maps = [layer for layer in cut.trunk if len(layer.output_shape) == 3][-1]
    for layer in cut.weighted_layers:
        kernel, bias = weights[layer.name]
        if layer.kind == "conv":
            kernel = kernel.transpose(3, 2, 0, 1)
        elif layer.name == "fc1":
            kernel = kernel.reshape(*maps.output_shape, -1).transpose(3, 2, 0, 1)
        else:
            kernel = kernel.T
        yield _PLAIN
        for values in (kernel, bias):
            yield np.ascontiguousarray(values, dtype="<f4").reshape(-1).view(np.uint8)
