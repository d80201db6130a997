"""The parameters of an extractor as plain values, and what follows from them alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import check_random_state

from sktransfer.features.preprocessing import Resizing
from sktransfer.features.store import FeatureStore
from sktransfer.inputs.layout import check_shape_parameter
from sktransfer.inputs.reader import Reader
from sktransfer.inputs.value_range import check_range_parameter
from sktransfer.networks import TRAINED_SIZE, Cut, plan_cut
from sktransfer.networks.graph import Network
from sktransfer.networks.layers import read_input_size
from sktransfer.networks.outputs import as_shape, as_size
from sktransfer.networks.pixels import PixelScaling, read_scaling
from sktransfer.networks.timm_network import is_timm
from sktransfer.weights import NetworkSource

# What is done to images of networks that record nothing about it, as Keras' layer does.
_USUAL_RESIZING = {"aspect": "stretch", "interpolation": "bilinear", "antialias": False}


@dataclass(frozen=True)
class AnySettings:
    """The settings of an extractor of any network.

    All are checked when they are read, as far as they can be without images and weights. `who` is
    the class named in errors; the others are those of the extractor.
    """

    who: str
    layer: Any
    weights: Any
    pooling: str | list[str | None] | None
    image_shape: Sequence[int] | None
    value_range: str | Iterable[float]
    allow_remote: bool
    input_size: Any
    aspect: str | float
    interpolation: str
    antialias: bool | str
    engine: str
    precision: str
    calibration: Any
    batch_size: str | int
    cache: str | os.PathLike | FeatureStore | None
    verbose: int
    random_state: int | np.random.RandomState | None

    @classmethod
    def of(cls, estimator: Any) -> Self:
        """Read the parameters of an estimator, each of which it has checked by itself."""
        names = [field.name for field in fields(cls) if field.name != "who"]
        params = {name: getattr(estimator, name) for name in names}
        return cls(who=type(estimator).__name__, **params)

    def __post_init__(self) -> None:
        """Check what parameters mean together."""
        check_shape_parameter(self.image_shape, self.who)
        check_range_parameter(self.value_range, self.who)

    @property
    def draws_calibration(self) -> bool:
        """Whether int8 is to be calibrated on a sample of the images of `fit`."""
        return self.precision == "int8" and self.calibration is None

    def check_lazy(self) -> None:
        """Check that nothing of a Dask collection needs to be computed in `fit`."""
        if self.draws_calibration:
            raise ValueError(
                f"{self.who} calibrates int8 on images, and computes none of a Dask collection in "
                "fit. Got calibration=None: pass up to 128 of the images as 'calibration'."
            )

    def resizing(
        self, input_size: int | tuple[int, int], network: Network | None = None
    ) -> Resizing:
        """Say how images are brought to a size; 'auto' is what a network records of it."""
        recorded = getattr(network, "resizing", _USUAL_RESIZING)
        ways = {name: getattr(self, name) for name in _USUAL_RESIZING}
        unknown = [name for name, way in ways.items() if way == "auto" and name not in recorded]
        if unknown:
            raise ValueError(
                f"The {unknown[0]!r} parameter of {self.who} must be given for this network, which "
                "was trained on images that were resized in a way that is not offered. Got 'auto' "
                "instead."
            )
        ways = {name: recorded[name] if way == "auto" else way for name, way in ways.items()}
        return Resizing(input_size, ways["aspect"], ways["interpolation"], bool(ways["antialias"]))

    @property
    def reader(self) -> Reader:
        """How images are read."""
        return Reader(
            self.image_shape, self.value_range, self.who, allow_remote=bool(self.allow_remote)
        )

    def draw_seed(self) -> int:
        """Draw a seed by `random_state`."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))


@dataclass(frozen=True)
class Settings(AnySettings):
    """The settings of an extractor of VGG, or of an estimator with its parameters."""

    architecture: str

    def check(self) -> None:
        """Check that the layers exist."""
        self.plan()

    def plan(self, input_size: int | tuple[int, int] | None = None) -> Cut:
        """Plan the cut, for images of the size that the user gave if no other is named."""
        if input_size is None:
            own = self.input_size
            input_size = TRAINED_SIZE if isinstance(own, str) else read_input_size(own, self.who)
        return plan_cut(self.layer, self.architecture, self.pooling, input_size, who=self.who)


@dataclass(frozen=True)
class NetworkSettings(AnySettings):
    """The settings of an extractor of a network other than VGG."""

    network: Any
    preprocessing: str | Mapping

    def check(self) -> None:
        """Check that the network is known, and how its pixels are scaled."""
        size = self.input_size
        if not isinstance(size, str | Integral) and not (
            len(size) == 2 and all(isinstance(side, Integral) and int(side) > 0 for side in size)
        ):
            raise ValueError(
                f"The 'input_size' parameter of {self.who} must be 'auto', a number of pixels or "
                f"height and width in pixels. Got {size!r} instead."
            )
        if not is_timm(self.network):  # which has to build a network to tell
            self.scaling(self.source(None))

    def source(self, seed: int | None) -> NetworkSource:
        """Say what gives the network."""
        size = self.input_size
        return NetworkSource(
            network=self.network,
            weights=self.weights,
            seed=seed,
            input_size=size if isinstance(size, str) else as_size(as_shape(size)),
            layer=self.layer,
            pooling=self.pooling,
            who=self.who,
        )

    def scaling(self, source: NetworkSource) -> PixelScaling:
        """Say how pixels become the network's input."""
        if isinstance(self.preprocessing, str):
            return source.scaling
        return read_scaling(self.preprocessing, self.who)
