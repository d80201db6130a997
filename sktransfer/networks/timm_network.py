"""A network of timm, PyTorch's image models, which can be cut at the output of any module."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.networks.frameworks import claim
from sktransfer.networks.graph import NetworkCut, NetworkLayer
from sktransfer.networks.outputs import as_shape, as_size
from sktransfer.networks.pixels import PixelScaling
from sktransfer.networks.timm_modules import EMBEDDING_LAYER, Modules, copy_modules, watch
from sktransfer.networks.tokens import are_patches

#: How the name of such a network begins.
PREFIX = "timm/"
# Pillow's names of kernels.
_INTERPOLATIONS = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "lanczos": "lanczos3",
}


def is_timm(network: Any) -> bool:
    """Tell whether a name is one of timm's."""
    return isinstance(network, str) and network.startswith(PREFIX)


@dataclass(frozen=True, eq=False)
class TimmNetwork:
    """A network of timm without its classifier, at one input size, in evaluation mode.

    Attributes
    ----------
    model : torch.nn.Module
        The network.
    architecture : str
        What tells its graph from all others.
    input_size : int or tuple of int
        The size of its images, in pixels.
    scaling : PixelScaling
        How pixels become its input, as timm's configuration says.
    resizing : dict
        How images are resized, as far as timm's configuration can be said in the words of
        :class:`ImageFeatureExtractor`.
    """

    model: Any
    architecture: str
    input_size: int | tuple[int, int]
    scaling: PixelScaling
    resizing: Mapping[str, Any]

    @property
    def framework(self) -> str:
        """What it was written in."""
        return "timm"

    @property
    def n_images(self) -> None:
        """Any number of images will do."""
        return None

    @cached_property
    def _modules(self) -> Modules:
        return watch(self.model, self.input_size)

    @property
    def unclear(self) -> Mapping[str, tuple[int, ...]]:
        """The modules that are no layers, since it is not known where their channels stand."""
        return self._modules.unclear

    @property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """The modules that run once and give one tensor, and at the end the network's output."""
        first = NetworkLayer("input", "Input", (*as_shape(self.input_size), 3), 0, 0)
        return (first, *self._modules.layers)

    @property
    def embedding(self) -> tuple[str, str | None]:
        """The output of the network, which timm itself pools to a vector in most networks."""
        last = self.layers[-1]
        if last.name != EMBEDDING_LAYER:
            raise ValueError(
                "Without a layer that is named, a network of timm must give one tensor (n, ...) of "
                f"two to four dimensions. Got {self.architecture}, which gives something else: "
                f"name a layer, such as {last.name!r}."
            )
        if self.has_class_token(last):
            return last.name, "cls"
        return last.name, "avg" if len(last.output_shape) > 1 else None

    def has_class_token(self, layer: NetworkLayer) -> bool:
        """Tell whether a layer gives a sequence that begins with a class token."""
        names = (name for name, _ in self.model.named_parameters())
        is_there = any(name.rpartition(".")[2] == "cls_token" for name in names)
        return is_there and self._count_prefix(layer.output_shape) > 0

    def _count_prefix(self, shape: tuple[int, ...]) -> int:
        """Count the tokens of a sequence before its patches: class token and registers."""
        n_prefix = getattr(self.model, "num_prefix_tokens", 0)
        n_patches = getattr(getattr(self.model, "patch_embed", None), "num_patches", None)
        if len(shape) != 2 or shape[0] == n_patches:
            return 0
        n_others = shape[0] - n_prefix
        return n_prefix if n_others == n_patches or are_patches(n_others, self.input_size) else 0

    def ancestors(self, name: str) -> Sequence[str]:
        """List all that runs before a module, itself included."""
        names = [layer.name for layer in self.layers[1:]]
        return names[: names.index(name) + 1]

    @cached_property
    def _sha256(self) -> str:
        sha256 = hashlib.sha256()
        for name, tensor in self.model.state_dict().items():
            values = np.ascontiguousarray(tensor.detach().cpu().numpy())
            sha256.update(f"{name} {values.dtype} {values.shape}\n".encode())
            sha256.update(values.tobytes())
        return sha256.hexdigest()

    def hash_up_to(self, name: str) -> str:
        """Hash all weights: which of them a module depends on is not known."""
        return self._sha256

    def vectors_up_to(self, name: str) -> Iterator[np.ndarray]:
        """Give all weights that are vectors: biases, gains, means and variances."""
        for tensor in self.model.state_dict().values():
            if tensor.dim() == 1 and tensor.is_floating_point():
                yield tensor.detach().cpu().numpy()

    def scale_pixels(self, values: np.ndarray) -> np.ndarray:
        """Return pixels as they are: no module of timm scales them."""
        return values

    def cut(self, cut: NetworkCut) -> Any:
        """Return a module from images, channels first, to the features of each wanted layer."""
        import torch

        model = copy_modules(self.model)  # on which no other cut hangs its hooks
        names = {layer.name for layer in cut.layers}
        first = self._modules.channels_first
        outputs = [
            (layer.name, pooling, layer.name in first, self._count_prefix(layer.output_shape))
            for layer, pooling in cut.outputs
        ]

        class Features(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, images: Any) -> tuple[Any, ...]:
                seen: dict[str, Any] = {}

                def keep(name: str) -> Any:
                    def see(module: Any, given: Any, output: Any) -> None:
                        seen[name] = output.clone()  # what follows may change it in place
                        if seen.keys() >= names and not torch.jit.is_tracing():
                            raise _Done

                    return see

                modules = dict(self.model.named_modules())
                hooks = [
                    modules[name].register_forward_hook(keep(name))
                    for name in names - {EMBEDDING_LAYER}
                ]
                try:
                    with suppress(_Done):
                        seen[EMBEDDING_LAYER] = self.model(images)
                finally:
                    for hook in hooks:
                        hook.remove()
                return tuple(
                    _to_vector(seen[name], pooling, is_first, n_prefix)
                    for name, pooling, is_first, n_prefix in outputs
                )

        return Features().eval()


class _Done(Exception):
    """Raised where every wanted module has run, so that no further one does."""


def _to_vector(value: Any, pooling: str | None, is_channels_first: bool, n_prefix: int) -> Any:
    """Make the features of a tensor: its values in a row, or one for each channel."""
    value = value.float()
    if is_channels_first:
        value = value.permute(0, 2, 3, 1)
    if pooling is None or value.dim() == 2:
        return value.flatten(1)
    if pooling == "cls":
        return value[:, 0]
    if n_prefix:  # as timm itself pools patches, without what stands before them
        value = value[:, n_prefix:]
    places = list(range(1, value.dim() - 1))
    return value.mean(places) if pooling == "avg" else value.amax(places)


def open_timm(
    name: str,
    input_size: int | tuple[int, int] | None,
    *,
    who: str,
    is_pretrained: bool = False,
    checkpoint: Path | None = None,
) -> TimmNetwork:
    """Build a network of timm without its classifier, with trained weights if that is wanted."""
    claim("torch")
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"{who} takes networks whose names begin with {PREFIX!r} from the package timm, which "
            'cannot be imported: install it with `pip install "sktransfer[fast,timm]"`.'
        ) from error

    own = name.removeprefix(PREFIX)
    if not timm.is_model(own):
        import difflib

        close = difflib.get_close_matches(own.partition(".")[0], timm.list_models(), n=3)
        hint = f" Did you mean {' or '.join(repr(PREFIX + each) for each in close)}?"
        raise ValueError(
            f"The 'network' parameter of {who} must be a model of timm. Got {name!r} "
            f"instead.{hint if close else ''} timm.list_models() lists them."
        )
    given = {} if input_size is None else {"img_size": as_shape(input_size)}
    try:
        model = _create(timm, own, is_pretrained, given)
    except Exception as error:  # of timm, the hub's client, or the connection
        if not is_pretrained:
            raise
        raise OSError(
            f"The weights of {name!r} are unavailable from timm, in its cache and by download: "
            f"{' '.join(str(error).split())[:300]}. Connect once, or pass the path of a weights "
            "file as 'weights', or None for random weights."
        ) from error
    if checkpoint is not None:
        _load_checkpoint(model, checkpoint, who)
    config = timm.data.resolve_model_data_config(model)
    scaling = PixelScaling("RGB", 1 / 255, tuple(config["mean"]), tuple(config["std"]))
    size = config["input_size"][1:] if input_size is None else as_shape(input_size)
    # Its version, since timm's code decides what a name is.
    architecture = f"timm {timm.__version__} {own}"
    return TimmNetwork(model.eval(), architecture, as_size(size), scaling, _read_resizing(config))


def _read_resizing(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read how timm resizes images for a model; what has no name here is left out.

    Pillow does it there, which averages over pixels where it shrinks.
    """
    found: dict[str, Any] = {"antialias": True}
    share, mode = float(config["crop_pct"]), config.get("crop_mode") or "center"
    if mode == "center":
        found["aspect"] = share
    elif mode == "squash" and share == 1:
        found["aspect"] = "stretch"
    if config["interpolation"] in _INTERPOLATIONS:
        found["interpolation"] = _INTERPOLATIONS[config["interpolation"]]
    return found


def _create(timm: Any, name: str, is_pretrained: bool, given: dict[str, Any]) -> Any:
    """Create a model for a size; those that take any size know no such parameter."""
    try:
        return timm.create_model(name, pretrained=is_pretrained, num_classes=0, **given)
    except TypeError:
        return timm.create_model(name, pretrained=is_pretrained, num_classes=0)


def _load_checkpoint(model: Any, path: Path, who: str) -> None:
    """Load tensors, and nothing else, from a file of PyTorch or safetensors."""
    import torch

    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        own = model.state_dict()
        missing = sorted(set(own) - set(state))
        if missing:
            raise ValueError(f"it lacks {', '.join(missing[:5])}")
        model.load_state_dict({key: state[key] for key in own})
    except Exception as error:  # whatever is wrong with a file that others made
        raise ValueError(
            f"The 'weights' parameter of {who} must be a .pth or .safetensors file of this "
            f"network's tensors. Got {str(path)!r}: {' '.join(str(error).split())[:300]}."
        ) from error


def draw_timm(model: Any, seed: int) -> None:
    """Draw all weights anew, as :func:`draw_model` does for Keras."""
    import torch

    with torch.no_grad():
        for i, (name, tensor) in enumerate(model.named_parameters()):
            shape = tuple(tensor.shape)
            if len(shape) >= 2:
                values = np.random.default_rng([seed, i]).standard_normal(shape, dtype=np.float32)
                is_kernel = name.endswith("weight")
                fan_in = max(1, math.prod(shape[1:]))
                values *= np.float32(math.sqrt(2 / fan_in) if is_kernel else 0.02)
            else:
                is_gain = name.endswith(("weight", "gamma"))
                values = np.full(shape, 1 if is_gain else 0, np.float32)
            tensor.copy_(torch.from_numpy(values))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
            elif name.endswith("running_var"):
                buffer.fill_(1)
