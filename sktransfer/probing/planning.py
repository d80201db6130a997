"""Which networks are compared: those that the user named, and a control for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from sklearn.base import clone

from sktransfer.downloads import no_downloads
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.probing import make_control

# What two extractors may differ in and still share a control.
_NOT_CONFIGURED = {"weights", "random_state", "batch_size", "cache", "verbose"}


@dataclass
class NetworkPlan:
    """A row of features to come.

    Attributes
    ----------
    name : str
        What the row is called.
    kind : {'control', 'transfer'}
        A network with random weights, or one with trained weights.
    extractor : VGGFeatureExtractor or None
        Fitted; None where its weights are not to be had.
    control : str or None
        Of trained weights, the name of the row with random ones.
    unavailable : str or None
        Why there is no extractor.
    """

    name: str
    kind: str
    extractor: VGGFeatureExtractor | None = None
    control: str | None = None
    unavailable: str | None = None


def check_extractors(extractors: Any, *, who: str) -> None:
    """Find out whether extractors are given by name.

    Parameters
    ----------
    extractors : mapping of str to VGGFeatureExtractor
        What the user gave.
    who : str
        The function named in errors.

    Raises
    ------
    TypeError
        If they are not.
    """
    if not (
        isinstance(extractors, Mapping)
        and all(isinstance(each, VGGFeatureExtractor) for each in extractors.values())
    ):
        raise TypeError(
            f"The 'extractors' parameter of {who} must map names to instances of "
            f"VGGFeatureExtractor, as in {{'VGG16': VGGFeatureExtractor()}}. Got {extractors!r} "
            "instead."
        )


def name_extractor(extractor: VGGFeatureExtractor) -> str:
    """Name a row by what decides its features.

    Parameters
    ----------
    extractor : VGGFeatureExtractor
        Fitted or not.

    Returns
    -------
    str
        Such as ``vgg16 imagenet, block3_pool avg-pooled, 64 px``.
    """
    weights = "random weights"
    if isinstance(extractor.weights, Mapping):
        weights = "weights of its own"
    elif extractor.weights is not None:
        weights = Path(extractor.weights).name
    layers = [extractor.layer] if isinstance(extractor.layer, str) else extractor.layer
    pooling = f" {extractor.pooling}-pooled" if extractor.pooling else ""
    size = "" if extractor.input_size == "auto" else f", {extractor.input_size} px"
    return f"{extractor.architecture} {weights}, {' + '.join(layers)}{pooling}{size}"


def plan_networks(
    X: Any,
    extractors: Mapping[str, VGGFeatureExtractor],
    *,
    optional: Collection[str],
    taken: Collection[str] = (),
    random_state: Any,
    verbose: int,
) -> list[NetworkPlan]:
    """Fit all extractors, and put the control of each configuration behind the first that has it.

    Fitting trains nothing: it checks parameters, and finds weights.

    Parameters
    ----------
    X : array-like, DataFrame or list
        Images as the extractors take them.
    extractors : mapping of str to VGGFeatureExtractor
        Not fitted, and never changed.
    optional : collection of str
        Names of those whose weights may be missing. Nothing is downloaded for them.
    taken : collection of str, default=()
        Names of other rows, which no control may have.
    random_state : int, RandomState or None
        Seed of the controls' weights.
    verbose : int
        Of all extractors.

    Returns
    -------
    list of NetworkPlan
        In the order given, controls between.

    Raises
    ------
    OSError
        If weights that are not optional, or image files, are not to be had.
    """
    plans: list[NetworkPlan] = []
    controls: dict[str, str] = {}
    for name, extractor in extractors.items():
        plan = NetworkPlan(name, "control" if extractor.weights is None else "transfer")
        plans.append(plan)
        try:
            with no_downloads() if name in optional else nullcontext():
                plan.extractor = clone(extractor).set_params(verbose=verbose).fit(X)
        except OSError as error:
            if name not in optional:
                raise
            plan.unavailable = str(error)
        if plan.kind == "control" and plan.extractor is not None:
            controls.setdefault(_hash_configuration(plan.extractor), name)
    for plan in list(plans):
        if plan.kind == "control":
            continue
        trained = plan.extractor or extractors[plan.name]
        control = make_control(trained, random_state).set_params(verbose=verbose)
        key = _hash_configuration(control.fit(X))
        if key not in controls:
            name = f"{plan.name}, random weights"
            while name in extractors or name in taken:
                name += " (control)"
            controls[key] = name
            plans.insert(plans.index(plan) + 1, NetworkPlan(name, "control", control))
        plan.control = controls[key]
    return plans


def _hash_configuration(extractor: VGGFeatureExtractor) -> str:
    """Return what two fitted extractors have in common that differ in their weights only."""
    params = extractor.get_params(deep=False)
    chosen = {name: params[name] for name in params if name not in _NOT_CONFIGURED}
    layers = params["layer"]
    chosen |= {
        "layer": [layers] if isinstance(layers, str) else list(layers),
        "input_size": extractor.input_size_,
        "engine": extractor.engine_,
        "value_range": extractor.value_range_,
        "image_shape": getattr(extractor, "image_shape_", None),
    }
    return joblib.hash(chosen)
