"""Any network with its weights: loaded again where it is needed, and checked to be the same.

A name or a path gives the network again in any process, so that it need not be kept. Loading takes
seconds, however, and a search fits an extractor many times: the last networks stay in memory.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sktransfer.files.paths import expand
from sktransfer.networks.applications import Application, build_application
from sktransfer.networks.frameworks import claim
from sktransfer.networks.graph import Network, NetworkCut, plan_network_cut, say_unknown
from sktransfer.networks.keras_copies import set_weights
from sktransfer.networks.keras_network import KerasNetwork, wrap
from sktransfer.networks.onnx_network import OnnxNetwork
from sktransfer.networks.onnx_reading import open_onnx
from sktransfer.networks.opening import (
    check_ending,
    check_file,
    find_named,
    is_onnx,
    read_keras_file,
)
from sktransfer.networks.pixels import PixelScaling, show_usual
from sktransfer.networks.timm_network import TimmNetwork, draw_timm, is_timm, open_timm
from sktransfer.weights.drawing import draw_model
from sktransfer.weights.files import read_contents
from sktransfer.weights.keras_files import (
    CURE,
    download_trained,
    find_published,
    is_published,
    locate_published,
)
from sktransfer.weights.official import may_download, own_folder

#: The value of the parameter `weights` for those that a network's makers trained.
PRETRAINED = "pretrained"
#: Networks kept in memory; the one used longest ago goes first.
MAX_NETWORKS = 2

_loaded: OrderedDict[Hashable, Network] = OrderedDict()
_lock = threading.RLock()


@dataclass(frozen=True)
class NetworkSource:
    """What gives a network with its weights, in any process.

    Attributes
    ----------
    network : str, path-like or keras.Model
        What the parameter `network` named.
    weights : str, path-like or None
        What the parameter `weights` named.
    seed : int or None
        Seed of random weights.
    input_size : 'auto', int or tuple of int
        The size of its images, in pixels; 'auto' is the network's own.
    layer : str, list of str or None
        The wanted layers, which decide how much of a named network is built.
    pooling : 'avg', 'max', 'cls', None or list of these
        How they are pooled.
    who : str
        The class named in errors.
    sha256 : str or None
        The hash of the weights that `fit` saw; None before.
    cut : NetworkCut or None
        The cut that the hash is of.
    """

    network: Any
    weights: str | os.PathLike | None
    seed: int | None
    input_size: str | int | tuple[int, int]
    layer: str | list[str] | None
    pooling: Any
    who: str
    sha256: str | None = None
    cut: NetworkCut | None = field(default=None, repr=False)

    # -- what can be said without weights

    @property
    def application(self) -> Application | None:
        """The network of Keras that is named; None where a model or a file is."""
        return find_named(self.network, self.who)

    @property
    def scaling(self) -> PixelScaling:
        """How pixels become the network's input, where the network itself tells."""
        if (application := self.application) is not None:
            return application.scaling
        if is_onnx(self.network) or is_timm(self.network):
            scaling = self.load().scaling  # type: ignore[attr-defined]
            if scaling is not None:
                return scaling
        elif isinstance(self.network, str | os.PathLike):
            check_ending(Path(self.network), self.who)
        raise ValueError(
            f"The 'preprocessing' parameter of {self.who} must say what pixels the network was "
            "trained on: a Keras model or an ONNX file does not record it. Got 'auto' with "
            f"network={self.network!r}. {show_usual()}"
        )

    def check_pixels(self, network: Network, scaling: PixelScaling) -> None:
        """Check that a network of whole numbers gets pixels as they are."""
        if not (isinstance(network, OnnxNetwork) and network.takes_integers):
            return
        if scaling != PixelScaling(scaling.order):
            raise ValueError(
                f"The 'preprocessing' parameter of {self.who} must leave pixels as they are for a "
                f"network that takes whole numbers: scale 1, mean 0, std 1. Got {scaling} with "
                f"network={self.network!r}: give the order alone, or export the network with an "
                "input of floats."
            )

    def plan(self, network: Network) -> NetworkCut:
        """Find the wanted layers."""
        return plan_network_cut(network, self.layer, self.pooling, who=self.who)

    # -- with weights

    def load(self) -> Network:
        """Load the network, which has to be the one that `fit` saw."""
        if not (is_onnx(self.network) or is_timm(self.network)):
            claim("keras")
        key = self._key()
        with _lock:
            network = None if key is None else _loaded.get(key)
            if network is None:
                network = self._load()
            if key is not None:
                _loaded[key] = network
                _loaded.move_to_end(key)
                while len(_loaded) > MAX_NETWORKS:
                    _loaded.popitem(last=False)
        if self.cut is not None and self.sha256 is not None:
            self._check_same(network)
        return network

    def build(self) -> KerasNetwork:
        """Build a network of Keras for weights that come from elsewhere, with names that stay.

        It belongs to the caller alone, who may train it.
        """
        claim("keras")
        network = replace(self, sha256=None)._load(with_weights=False)
        assert isinstance(network, KerasNetwork)
        self._check_copied(network)
        if self.cut is not None and network.architecture != self.cut.architecture:
            raise ValueError(
                f"{self.who} was fitted with {self.cut.architecture}, and network="
                f"{self.network!r} now gives {network.architecture}: restore the original, or call "
                "fit again."
            )
        return network.renamed()

    def _check_same(self, network: Network) -> None:
        assert self.cut is not None
        sha256 = self.cut.hash_of({e.name: network.hash_up_to(e.name) for e in self.cut.layers})
        if network.architecture != self.cut.architecture or sha256 != self.sha256:
            raise ValueError(
                f"{self.who} was fitted with {self.cut.architecture} and weights of SHA-256 "
                f"{str(self.sha256)[:16]}..., and network={self.network!r} with "
                f"weights={self.weights!r} now gives {network.architecture} and {sha256[:16]}...: "
                "restore the original, or call fit again."
            )

    def _key(self) -> Hashable | None:
        """Say what decides the network; None of a model, which is in memory already."""
        if not isinstance(self.network, str | os.PathLike):
            return None
        layer = tuple(self.layer) if isinstance(self.layer, list) else self.layer
        files = [_stamp(each) for each in (self.network, self.weights)]
        is_max = self.layer is None and self.pooling == "max"
        return (*map(str, files), self.seed, self.input_size, layer, is_max)

    def _load(self, *, with_weights: bool = True) -> Network:
        """Load the network; without its weights those of a name are whatever Keras draws."""
        if (application := self.application) is not None:
            return self._load_application(application, with_weights)
        size = None if isinstance(self.input_size, str) else self.input_size
        if is_onnx(self.network):
            if self.weights != PRETRAINED:
                raise ValueError(
                    f"The 'weights' parameter of {self.who} must be {PRETRAINED!r} for an ONNX "
                    f"file, which does not say how to draw others. Got {self.weights!r}."
                )
            return open_onnx(check_file(self.network, self.who), size, who=self.who)
        if is_timm(self.network):
            return self._load_timm(size)
        model = self.network
        if isinstance(model, str | os.PathLike):
            model = read_keras_file(check_file(model, self.who), self.who)
        network = wrap(model, size, architecture=None, is_headless=False, who=self.who)
        if with_weights:
            self._change_weights(network)
        return network

    def _load_timm(self, size: int | tuple[int, int] | None) -> TimmNetwork:
        is_pretrained = self.weights == PRETRAINED
        if is_pretrained and not may_download.get():
            raise FileNotFoundError(
                f"{self.who} looks for the weights of {self.network!r} by timm, which may download "
                f"them. {CURE}"
            )
        checkpoint = None if is_pretrained or self.weights is None else self._weights_file()
        network = open_timm(
            self.network,
            size,
            who=self.who,
            is_pretrained=is_pretrained,
            checkpoint=checkpoint,
        )
        if self.weights is None:
            assert self.seed is not None
            draw_timm(network.model, self.seed)
        return network

    def _change_weights(self, network: KerasNetwork) -> None:
        """Give a copy of a model other weights, if they are asked for."""
        if self.weights == PRETRAINED:
            return
        self._check_copied(network)
        if self.weights is None:
            assert self.seed is not None
            draw_model(network.model, self.seed)
        else:
            _load_into(network.model, self._weights_file(), self.who)

    def _check_copied(self, network: KerasNetwork) -> None:
        """Check that a network is not the user's own model, whose weights stay as they are."""
        if network.model is self.network:
            raise ValueError(
                f"The 'network' parameter of {self.who} must be a Keras model that Keras can copy, "
                "by the get_config() of its layers, where its weights are to change. Got "
                f"{network.model.name!r} with a layer of custom code: give that layer a "
                "get_config(), or save the model and pass the path of the .keras file."
            )

    def _load_application(self, application: Application, with_weights: bool) -> KerasNetwork:
        size = application.input_size if isinstance(self.input_size, str) else self.input_size
        names = [self.layer] if isinstance(self.layer, str) else list(self.layer or ())
        pooling = "max" if self.layer is None and self.pooling == "max" else "avg"
        body = self._build(application, size, is_whole=False, pooling=pooling)
        known = {each.name for each in body.layers}
        if known.issuperset(names):
            if with_weights:
                self._give_weights(application, body, size, is_whole=False)
            return body
        whole = self._build_whole(application, names, known)
        if not with_weights:
            return whole
        needed = {above for name in names for above in whole.ancestors(name)}
        has_weights = {each.name for each in whole.layers if each.n_parameters}
        if self.weights is not None and not (needed & has_weights) - known:
            # The top's own weights, which may be half a gigabyte, are not needed.
            self._give_weights(application, body, size, is_whole=False)
            of_body = {body.names[layer.name]: layer for layer in body.model.layers}
            for layer in whole.model.layers:
                name = whole.names[layer.name]
                if layer.weights and name in of_body:
                    set_weights(layer, of_body[name].get_weights())
        else:
            self._give_weights(application, whole, size, is_whole=True)
        return whole

    def _build_whole(
        self, application: Application, names: list[str], known: set[str]
    ) -> KerasNetwork:
        """Build a network with its classifier, for layers that lie behind its embedding."""
        size = application.input_size
        whole = self._build(application, size, is_whole=True)
        every = [each.name for each in whole.layers[1:]]
        for name in names:
            if name not in every:
                raise ValueError(
                    f"The 'layer' parameter of {self.who} must be a layer of {application.name}. "
                    f"{say_unknown(name, every)}"
                )
        if self.input_size not in ("auto", size, (size, size)):
            late = [name for name in names if name not in known]
            raise ValueError(
                f"The 'input_size' parameter of {self.who} must be 'auto' or {size} for the layers "
                f"behind the last feature map of {application.name}. Got {self.input_size!r} with "
                f"{', '.join(map(repr, late))}."
            )
        return whole

    def _build(
        self, application: Application, size: Any, *, is_whole: bool, pooling: str = "avg"
    ) -> KerasNetwork:
        is_trained = self._has_published_graph(application, size, is_whole=is_whole)
        model = build_application(
            application,
            size,
            is_whole=is_whole,
            weights=None,
            is_trained=is_trained,
            pooling=pooling,
            who=self.who,
        )
        architecture = application.architecture(is_trained=is_trained)
        return wrap(model, None, architecture=architecture, is_headless=not is_whole, who=self.who)

    def _has_published_graph(self, application: Application, size: Any, *, is_whole: bool) -> bool:
        """Tell whether a network has the graph of Keras' published weights.

        Keras builds another one for weights of one's own.
        """
        published = application.architecture(is_trained=True)
        if self.cut is not None:
            return self.cut.architecture == published
        if application.architecture(is_trained=False) == published:
            return True
        if self.weights is None or self.weights == PRETRAINED:
            return self.weights == PRETRAINED
        return self._expand_weights().is_dir() or is_published(
            self._weights_file(), application, size, is_whole=is_whole, who=self.who
        )

    def _give_weights(
        self, application: Application, network: KerasNetwork, size: Any, *, is_whole: bool
    ) -> None:
        """Give a network of Keras' the weights that are asked for."""
        if self.weights is None:
            assert self.seed is not None
            draw_model(network.model, self.seed)
            return
        path = self._find_file(application, size, is_whole=is_whole)
        if path is not None:
            _load_into(network.model, path, self.who)
        else:
            trained = download_trained(application, size, is_whole=is_whole, who=self.who)
            set_weights(network.model, trained.get_weights())

    def _find_file(self, application: Application, size: Any, *, is_whole: bool) -> Path | None:
        """Find the file of weights, or in a folder that of Keras; None leaves it to Keras."""
        assert self.weights is not None
        if self.weights == PRETRAINED:
            own = own_folder()
            if own is None:
                return None
            return find_published(own, application, size, is_whole=is_whole, who=self.who)
        named = self._expand_weights()
        if named.is_dir():
            return locate_published(named, application, size, is_whole=is_whole, who=self.who)
        return self._weights_file(", a folder")

    def _expand_weights(self) -> Path:
        assert self.weights is not None
        lead = f"The 'weights' parameter of {self.who} must be a path, None or {PRETRAINED!r}."
        return expand(self.weights, lead)

    def _weights_file(self, more: str = "") -> Path:
        assert self.weights is not None
        return check_file(self.weights, self.who, "weights", f"{more}, None or {PRETRAINED!r}")


def _stamp(named: Any) -> tuple[Any, ...]:
    """Return a name, and of a file what tells whether it has changed."""
    try:
        status = os.stat(Path(named).expanduser())  # noqa: PTH116
        return str(named), status.st_mtime_ns, status.st_size, status.st_ino
    except (OSError, TypeError, ValueError, RuntimeError):
        return (str(named),)


def _load_into(model: Any, path: Path, who: str) -> None:
    """Load a weights file that Keras wrote into a model of the same layers."""
    # Keras reads it in this process, after a separate process has read it without harm.
    read_contents(path, everything=True, who=who)
    try:
        model.load_weights(path)
    except Exception as error:  # whatever is wrong with a file that others made
        raise ValueError(
            f"The 'weights' parameter of {who} must be a file that Keras wrote for this network: "
            f"of keras.applications without the top, unless a layer of the top is wanted. Got "
            f"{str(path)!r}, and Keras says: {' '.join(str(error).split())[:300]}"
        ) from error
