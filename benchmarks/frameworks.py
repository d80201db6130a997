"""VGG as users of other frameworks run it: what the engines are compared with.

Each function returns one that runs preprocessed images in batches of n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sktransfer.networks import Cut, build
from sktransfer.weights import draw_weights

Run = Callable[[np.ndarray, int], Any]


def keras_predict(cut: Cut) -> Run:
    """Keras' `predict`: the article's way."""
    model = build(cut)
    for name, arrays in draw_weights(cut, 0).items():
        model.get_layer(name).set_weights(list(arrays))
    return lambda inputs, n: model.predict(inputs, batch_size=n, verbose=0)


def torch_layers(cut: Cut) -> Any:
    """The layers up to the last pooling as PyTorch's own."""
    import torch

    layers: list[Any] = []
    weights = draw_weights(cut, 0)
    for layer in cut.trunk[1:]:
        if layer.kind == "pool":
            layers.append(torch.nn.MaxPool2d(2))
        elif layer.kind == "conv":
            kernel, bias = weights[layer.name]
            conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
            conv.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
            conv.bias.data = torch.from_numpy(bias)
            layers += [conv, torch.nn.ReLU(inplace=True)]
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last).eval()


def torch_run(cut: Cut, precision: str) -> Run:
    """PyTorch on the processor, channels last."""
    import torch

    dtype = getattr(torch, precision)
    model = torch_layers(cut).to(dtype)

    def run(inputs: np.ndarray, n: int) -> object:
        with torch.inference_mode():
            images = torch.from_numpy(inputs).permute(0, 3, 1, 2)
            return [model(part.to(dtype)).float().numpy() for part in images.split(n)]

    return run


def onnx_run(cut: Cut) -> Run:
    """ONNX Runtime on a graph written layer by layer."""
    import onnx
    import onnxruntime

    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weights, nodes, values = draw_weights(cut, 0), [], []
    current = "images"
    for layer in cut.trunk[1:]:
        if layer.kind == "pool":
            shape = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(helper.make_node("MaxPool", [current], [layer.name], **shape))
        elif layer.kind == "conv":
            kernel, bias = weights[layer.name]
            names = [current, f"{layer.name}_kernel", f"{layer.name}_bias"]
            arrays = [np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), bias]
            values += map(onnx.numpy_helper.from_array, arrays, names[1:])
            out = f"{layer.name}_linear"
            nodes.append(helper.make_node("Conv", names, [out], pads=[1] * 4))
            nodes.append(helper.make_node("Relu", [out], [layer.name]))
        else:
            continue
        current = layer.name
    side = cut.input_size
    images = helper.make_tensor_value_info("images", floats, ["n", 3, side, side])
    result = helper.make_tensor_value_info(current, floats, None)
    graph = helper.make_graph(nodes, "vgg", [images], [result], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8  # what older versions of ONNX Runtime read, too
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(inputs: np.ndarray, n: int) -> object:
        planes = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
        return [session.run(None, {"images": part})[0] for part in _split(planes, n)]

    return run


def _split(inputs: np.ndarray, n: int) -> Iterator[np.ndarray]:
    for first in range(0, len(inputs), n):
        yield inputs[first : first + n]
