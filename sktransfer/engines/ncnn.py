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

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sktransfer.engines.processor import count_threads
from sktransfer.networks import Cut, Layer

# Of the format of ncnn's text files.
_MAGIC = "7767517"
# Precedes every kernel: it is float32, and not packed in any way.
_PLAIN = b"\0\0\0\0"
# Other arithmetic than float32, some of which is on by default on some processors.
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


def batch_shape(input_size: int) -> int:
    """Return how many images every call of the network takes: one, at any size.

    Parameters
    ----------
    input_size : int
        Side of the images, in pixels.

    Returns
    -------
    int
        Always 1.
    """
    return 1


class NcnnEngine:
    """A cut network with its weights; images run one by one, as many at once as there are threads.

    Parameters
    ----------
    cut : Cut
        The network and the wanted layers.
    weights : mapping of str to tuple of ndarray
        Kernel and bias of each layer of ``cut.weighted_layers``.
    """

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
        # ncnn may go on reading kernels handed over in memory, whose copy does not live that long.
        with tempfile.TemporaryDirectory(prefix="sktransfer-") as folder:
            path = Path(folder, "weights.bin")
            with path.open("wb") as file:
                file.writelines(_write_weights(cut, weights))
            if self._net.load_param_mem("\n".join(rows) + "\n") or self._net.load_model(str(path)):
                raise RuntimeError("ncnn cannot load the network that was written for it.")

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers.

        Parameters
        ----------
        inputs : ndarray of shape (n_images, input_size, input_size, 3)
            Preprocessed images, float32.
        outputs : list of ndarray of shape (n_images, width)
            Where the features of each wanted layer go, float32.
        """

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
    size = cut.input_size
    rows = [f"Input input 0 1 input 0={size} 1={size} 2=3"]
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


def _write_weights(
    cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Iterator[bytes]:
    """Write kernels and biases in the order of the layers."""
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
        yield np.ascontiguousarray(kernel, dtype="<f4").tobytes()
        yield np.ascontiguousarray(bias, dtype="<f4").tobytes()
