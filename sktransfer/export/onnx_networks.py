"""Networks other than VGG in an ONNX graph: written, joined or traced, by what they are."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from sktransfer.export.onnx_call import Value
from sktransfer.export.onnx_graph import OPSET, WHO, Graph, add_vector, import_onnx
from sktransfer.export.onnx_keras import add_model
from sktransfer.networks import NetworkCut
from sktransfer.networks.onnx_network import OnnxNetwork
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.timm_network import TimmNetwork

if TYPE_CHECKING:
    import onnx

# The first version in which all operators of the preprocessing read as they are written here.
_LEAST_OPSET = 11


def start_graph(cut: NetworkCut, network: Any) -> Graph:
    """Start a graph into which a network fits: a file's operators are of the file's version."""
    if not isinstance(network, OnnxNetwork):
        return Graph(n_images=network.n_images)
    opsets = {each.domain: each.version for each in network.model.opset_import}
    opsets = {"" if domain == "ai.onnx" else domain: n for domain, n in opsets.items()}
    if opsets.get("", 0) < _LEAST_OPSET:
        raise ValueError(
            f"{WHO} joins its preprocessing to ONNX files of opset {_LEAST_OPSET} or newer. Got "
            f"{cut.architecture} of opset {opsets.get('', 'none')}: export it again with a newer "
            "one."
        )
    return Graph(opsets, network.model.ir_version, network.n_images)


def add_network(graph: Graph, cut: NetworkCut, network: Any, tensor: str) -> str:
    """Add a network up to its wanted layers, and return their features side by side.

    `tensor` is of shape (n, 3, height, width).
    """
    if isinstance(network, OnnxNetwork):
        features = _add_file(graph, cut, network, tensor)
    elif isinstance(network, TimmNetwork):
        features = graph.absorb(_trace(cut, network), tensor)
    else:
        images = Value(tensor, (*as_shape(cut.input_size), 3))
        features = [each.name for each in add_model(graph, network.cut(cut), images)]
    return features[0] if len(features) == 1 else graph.add("Concat", *features, axis=1)


def _add_file(graph: Graph, cut: NetworkCut, network: OnnxNetwork, tensor: str) -> list[str]:
    float32 = import_onnx().TensorProto.FLOAT
    part = network.cut(cut, network.n_images or 1)
    if network.is_channels_last:
        tensor = graph.add("Transpose", tensor, perm=[0, 2, 3, 1])
    element = part.graph.input[0].type.tensor_type.elem_type
    if network.takes_integers:
        tensor = graph.add("Round", tensor)
        tensor = graph.add("Clip", tensor, graph.constant(0), graph.constant(255))
    if element != float32:
        tensor = graph.add("Cast", tensor, to=element)
    names = [output.name for output in part.graph.output]
    tensors = dict(zip(names, graph.absorb(part, tensor), strict=True))
    return [
        add_vector(
            graph,
            pooling,
            len(layer.output_shape),
            graph.add("Cast", tensors[layer.name], to=float32),
            is_channels_last=network.has_channels_last(layer.name),
        )
        for layer, pooling in cut.outputs
    ]


def _trace(cut: NetworkCut, network: TimmNetwork) -> onnx.ModelProto:
    """Let PyTorch write what it traces of a network of timm up to the features."""
    import torch

    images = torch.zeros(1, 3, *as_shape(cut.input_size))
    names = [f"features_{number}" for number in range(len(cut.outputs))]
    written = io.BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Its other exporter needs one more package, and cannot follow what is cut here.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
            torch.onnx.export(
                network.cut(cut),
                (images,),
                written,
                dynamo=False,
                opset_version=OPSET,
                input_names=["images"],
                output_names=names,
                dynamic_axes={name: {0: "N"} for name in ("images", *names)},
            )
    except Exception as error:  # of whatever PyTorch cannot write
        raise ValueError(
            f"{WHO} needs a network that PyTorch can write as ONNX. Got {cut.architecture}, of "
            f"which PyTorch says: {' '.join(str(error).split())[:300]}"
        ) from error
    return import_onnx().load_from_string(written.getvalue())
