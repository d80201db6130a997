"""What is done with a trained network: computing, saving, loading, and handing it on."""

from __future__ import annotations

import copy
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktransfer.extractor import LEARNED, VGGFeatureExtractor
from sktransfer.finetuning.head import Head
from sktransfer.finetuning.network import build_network, get_head, get_trunk, set_arrays
from sktransfer.networks import Cut
from sktransfer.weights import Weights, hash_up_to

if TYPE_CHECKING:
    import keras

# What the features of one part of the images may take, of which only the output is kept.
_PART_BYTES = 32 << 20


class TunedNetwork(VGGFeatureExtractor):
    """An extractor with weights of its own, and a head on its features."""

    # Kernel and bias of every layer up to the features, and the head. None in a copy by
    # without_weights(); there is no trunk before fit has read it, and no head before it is drawn.
    _trunk: Weights | None
    _head: Head | None
    _hidden: tuple[int, ...]
    _n_outputs: int
    # The state of the optimizers between calls of partial_fit.
    _optimizers: list[list[np.ndarray]] | None

    def to_extractor(self) -> VGGFeatureExtractor:
        """Return a fitted extractor of the features that this model's head stands on.

        Returns
        -------
        VGGFeatureExtractor
            With the tuned weights as its parameter `weights`, and therefore in its pickles.
        """
        trunk, _ = self._trained()
        params = {name: getattr(self, name) for name in VGGFeatureExtractor._get_param_names()}
        params |= {"weights": dict(trunk), "input_size": self.input_size_}
        extractor = VGGFeatureExtractor(**params)
        for name in LEARNED:
            if hasattr(self, name):
                setattr(extractor, name, getattr(self, name))
        extractor.random_seed_ = None
        return extractor

    def to_keras(self) -> keras.Model:
        """Return the fitted network as a Keras model.

        Returns
        -------
        keras.Model
            From preprocessed images `(n, input_size_, input_size_, 3)`, as the page Preprocessing
            of the user guide describes them, to what is predicted: probabilities in the order of
            `classes_`, or values.
        """
        return self._build(*self._trained())

    def save_weights(self, path: str | os.PathLike) -> None:
        """Save all weights, trunk and head, in Keras' own format.

        Parameters
        ----------
        path : path-like
            A file whose name ends with ``.weights.h5``. ``to_keras().load_weights`` reads it, as
            does ``VGGFeatureExtractor(weights=path)``.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        """
        _check_suffix(path, f"{type(self).__name__}.save_weights")
        model = self.to_keras()
        with warnings.catch_warnings():
            # Of TensorFlow's arrays under NumPy 2, when Keras hands them to h5py.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            model.save_weights(path)
        with h5py.File(path, "a") as file:
            file.attrs["input_size"] = self.input_size_

    def load_weights(self, path: str | os.PathLike) -> TunedNetwork:
        """Load weights that :meth:`save_weights` or Keras saved.

        Parameters
        ----------
        path : path-like
            A ``.weights.h5`` file of a network like this one's.

        Returns
        -------
        VGGClassifier or VGGRegressor
            The estimator itself, which from now on predicts with these weights.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If it is of another network.
        """
        check_is_fitted(self)
        who = f"{type(self).__name__}.load_weights"
        _check_suffix(path, who)
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"{who} needs a file that exists. Got {os.fspath(path)!r}: save_weights makes one."
            )
        cut = self._plan(self.input_size_)
        model = self._build({}, None)
        try:
            with warnings.catch_warnings():
                # Keras only warns of layers that a file lacks, and leaves them as they are.
                warnings.filterwarnings("error", "Skipping", UserWarning)
                model.load_weights(path)
        except (ValueError, KeyError, OSError, UserWarning) as error:
            raise ValueError(
                f"{who} needs weights of {cut.architecture.upper()} up to {cut.trunk[-1].name!r} "
                f"with hidden layers {self._hidden} and {self._n_outputs} outputs. Got "
                f"{os.fspath(path)!r}, which Keras does not take: {error}"
            ) from error
        trunk = get_trunk(model, [layer.name for layer in cut.weighted_layers])
        self._keep(cut, trunk, get_head(model))
        self._optimizers = None
        return self

    def without_weights(self) -> TunedNetwork:
        """Return a copy whose pickle is small, to go with a file of :meth:`save_weights`.

        Returns
        -------
        VGGClassifier or VGGRegressor
            The same estimator, which predicts again after :meth:`load_weights`.
        """
        check_is_fitted(self)
        other = copy.copy(self)
        other._trunk = other._head = other._optimizers = None
        return other

    def _finish(self, outputs: Any) -> Any:
        """Add what turns the output into what is predicted, in Keras' layers."""
        raise NotImplementedError

    def _outputs(self, X: Any) -> np.ndarray:
        """Compute the output of the head, in float64."""
        _, head = self._trained()
        images, value_range = self._read_fitted(X)
        cut, arithmetic = self._fitted_network()
        parts = self._compute_in_parts(cut, arithmetic, images, value_range, n_per_part(cut))
        return np.concatenate([head(part) for part in parts])

    def _build(self, trunk: Weights, head: Head | None) -> keras.Model:
        import keras

        cut = self._plan(self.input_size_)
        _, whole = build_network(cut, None, self._hidden, self._n_outputs)
        set_arrays(whole, trunk, head)
        return keras.Model(whole.input, self._finish(whole.output), name=whole.name)

    def _load_fitted_weights(self) -> Weights:
        if not hasattr(self, "_trunk"):
            return super()._load_fitted_weights()
        return self._check_trunk()

    def _keep(self, cut: Cut, trunk: Weights, head: Head) -> None:
        """Take on what was trained or loaded."""
        self._trunk, self._head = trunk, head
        self._layer_sha256 = hash_up_to(cut, cut.layers, trunk)
        self.weights_sha256_ = self._layer_sha256[cut.trunk[-1].name]

    def _trained(self) -> tuple[Weights, Head]:
        check_is_fitted(self)
        trunk = self._check_trunk()
        assert self._head is not None
        return trunk, self._head

    def _check_trunk(self) -> Weights:
        if self._trunk is None:
            raise ValueError(
                f"This {type(self).__name__} is without its weights, as without_weights() makes "
                "it. Call load_weights(path) with the file that save_weights(path) made."
            )
        return self._trunk


def _check_suffix(path: str | os.PathLike, who: str) -> None:
    if not os.fspath(path).endswith(".weights.h5"):
        raise ValueError(
            f"{who} needs a file name that ends with '.weights.h5', by which Keras knows its "
            f"format. Got {os.fspath(path)!r}."
        )


def n_per_part(cut: Cut) -> int:
    """Return how many images to compute at a time, where features go on at once."""
    return max(64, _PART_BYTES // (4 * cut.n_features))
