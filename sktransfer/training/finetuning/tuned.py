"""Trained networks: computing with them, saving, loading, and handing them on."""

from __future__ import annotations

import copy
import json
import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktransfer.features.fitted import get_runner, name_features, read_fitted, transform
from sktransfer.features.runner import Runner
from sktransfer.files.parts import whole
from sktransfer.inputs.reader import Reader
from sktransfer.networks import AnyCut, Cut
from sktransfer.networks.pixels import CAFFE
from sktransfer.training.finetuning.fitting import OptimizerStates
from sktransfer.training.finetuning.head import Head
from sktransfer.training.finetuning.network import build_network, get_head, get_trunk, set_arrays
from sktransfer.training.finetuning.parameters import TuningParameters
from sktransfer.training.finetuning.prediction import Prediction
from sktransfer.training.finetuning.trunk import Arrays, Held, get_trunk_of
from sktransfer.weights.contents import INPUT_SIZE, PREPROCESSING
from sktransfer.weights.files import read_contents

if TYPE_CHECKING:
    import keras

# What the features of one part of the images may take, of which only the output is kept.
_PART_BYTES = 32 << 20


class TunedNetwork(TransformerMixin, TuningParameters):
    """A network with its own weights and a head: what it computes, saves and hands on."""

    # What reads images, and what computes the features that the head stands on.
    _reader: Reader
    _runner: Runner
    # None in a copy by without_weights(), and before there is one.
    _head: Head | None
    _hidden: tuple[int, ...]
    _n_outputs: int
    # What the outputs stand for: Classes of a classifier, NumberOutputs of a regressor.
    _meaning: Any
    # The state of the optimizers between calls of partial_fit.
    _optimizers: OptimizerStates

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of images that the head takes.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that `fit` takes; a Dask collection, too.

        Returns
        -------
        ndarray of shape (n_images, n_features_out)
            float32, C-contiguous; a Dask array for a Dask collection.
        """
        self._trained()
        return transform(self, X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name every feature that the head takes by layer, place and channel.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against what `fit` saw, and not used otherwise.

        Returns
        -------
        ndarray of str objects
            As those of :class:`VGGFeatureExtractor`.
        """
        return name_features(self, input_features)

    @property
    def preprocessing_(self) -> dict[str, Any]:
        """What is done to pixels from 0 to 255 before they enter the network."""
        return asdict(self._runner.scaling)

    def to_keras(self) -> keras.Model:
        """Return the fitted network as a Keras model.

        Returns
        -------
        keras.Model
            From preprocessed images `(n, height, width, 3)` of `input_size_`, as the page
            Preprocessing of the user guide describes them, to what is predicted: probabilities in
            the order of `classes_`, or values.
        """
        head = self._trained()
        return self._build(get_trunk_of(self._runner).load(self._runner), head)

    def save_weights(self, path: str | os.PathLike) -> None:
        """Save all weights, trunk and head, in Keras' own format.

        Parameters
        ----------
        path : path-like
            A file whose name ends with ``.weights.h5``. ``to_keras().load_weights`` reads it, and
            of VGG ``VGGFeatureExtractor(weights=path)``.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        FileNotFoundError
            If there is no such folder.
        """
        who = f"{type(self).__name__}.save_weights"
        _check_suffix(path, who)
        if not Path(path).parent.is_dir():
            raise FileNotFoundError(
                f"{who} needs a folder that exists. Got {os.fspath(path)!r}: make its folder, or "
                "name another place."
            )
        model = self.to_keras()
        with warnings.catch_warnings():
            # Of TensorFlow's arrays under NumPy 2, when Keras hands them to h5py.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            # A process killed here leaves the former file. Keras requires this ending.
            with whole(Path(path)) as part:
                model.save_weights(part)
                with h5py.File(part, "a") as file:
                    size = self.input_size_
                    file.attrs[INPUT_SIZE] = size if isinstance(size, int) else json.dumps(size)
                    if self._runner.scaling != CAFFE:
                        file.attrs[PREPROCESSING] = json.dumps(asdict(self._runner.scaling))

    def load_weights(self, path: str | os.PathLike) -> TunedNetwork:
        """Load weights that :meth:`save_weights` or Keras saved.

        Parameters
        ----------
        path : path-like
            A ``.weights.h5`` file of a network like this one's.

        Returns
        -------
        self
            The estimator itself, which from now on predicts with these weights.

        Raises
        ------
        OSError
            If there is no such file, or it is damaged or not a weights file.
        ValueError
            If it is of another network.
        """
        check_is_fitted(self)
        who = f"{type(self).__name__}.load_weights"
        _check_suffix(path, who)
        if not Path(path).exists():
            raise FileNotFoundError(
                f"{who} needs a file that exists. Got {os.fspath(path)!r}: save_weights writes one."
            )
        # Keras reads it in this process, after a separate process has read it without harm.
        read_contents(path, everything=True, who=who)
        cut, trunk = self._runner.cut, get_trunk_of(self._runner)
        model = self._build({}, None)
        try:
            with warnings.catch_warnings():
                # Keras only warns of layers that a file lacks, and leaves them unchanged.
                warnings.filterwarnings("error", "Skipping", UserWarning)
                model.load_weights(path)
        # Keras raises many kinds of errors for files of another layout.
        except Exception as error:
            raise ValueError(
                f"{who} needs weights of {_spell(cut)} up to {cut.layers[0].name!r} "
                f"with hidden layers {self._hidden} and {self._n_outputs} outputs. Got "
                f"{os.fspath(path)!r}, which Keras does not accept: {error}"
            ) from error
        self._keep(get_head(model), get_trunk(model, trunk.weighted))
        self._optimizers = {}
        return self

    def without_weights(self) -> TunedNetwork:
        """Return a copy whose pickle is small, to go with a file of :meth:`save_weights`.

        Returns
        -------
        TunedNetwork
            The same estimator, which predicts again after :meth:`load_weights`.
        """
        check_is_fitted(self)
        other = copy.copy(self)
        other._head = None
        other._optimizers = {}
        other._runner = get_trunk_of(self._runner).hold(self._runner, None)
        return other

    def _finish(self, outputs: Any) -> Any:
        """Add what turns the output into what is predicted, in Keras' layers."""
        raise NotImplementedError

    def _outputs(self, X: Any) -> np.ndarray:
        """Compute the output of the head, in float64."""
        head = self._trained()
        runner = get_runner(self)
        parts = runner.compute_in_pieces(*read_fitted(self, X), n_per_part(runner.cut))
        return np.concatenate([head(part) for part in parts])

    def _build(self, trunk: Arrays, head: Head | None) -> keras.Model:
        import keras

        sizes = self._hidden, self._n_outputs
        _, whole = build_network(get_trunk_of(self._runner), None, *sizes)
        set_arrays(whole, trunk, head)
        return keras.Model(whole.input, self._finish(whole.output), name=whole.name)

    def _keep(self, head: Head, arrays: Arrays | None) -> None:
        """Take on what was trained or loaded; the trunk stays as it is where no arrays are."""
        runner = self._runner
        if arrays is not None:
            # Hashed first: interrupted here, the former weights stay under the former hash.
            runner = get_trunk_of(runner).hold(runner, arrays)
        learned = {"_head": head, "_runner": runner, "weights_sha256_": runner.sha256}
        # In one step: an interrupt in between would leave a head on the trunk of another network.
        self.__dict__.update(learned)

    def _trained(self) -> Head:
        check_is_fitted(self)
        if isinstance(self._runner.weights, Held):
            self._runner.weights.arrays()
        assert self._head is not None
        return self._head


def get_prediction(tuned: TunedNetwork) -> Prediction:
    """Return how a fitted classifier or regressor predicts from features."""
    return Prediction(tuned._trained(), tuned._meaning)


def _spell(cut: AnyCut) -> str:
    return cut.architecture.upper() if isinstance(cut, Cut) else cut.architecture


def _check_suffix(path: str | os.PathLike, who: str) -> None:
    if not os.fspath(path).endswith(".weights.h5"):
        raise ValueError(
            f"{who} needs a file name that ends with '.weights.h5', from which Keras infers the "
            f"format. Got {os.fspath(path)!r}."
        )


def n_per_part(cut: AnyCut) -> int:
    """Return how many images to compute at a time, where features go on at once."""
    return max(64, _PART_BYTES // (4 * cut.n_features))
