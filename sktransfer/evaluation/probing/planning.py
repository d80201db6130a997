"""The networks that are compared: those that the user named, and a control for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import joblib
from sklearn.base import clone

from sktransfer.base import name_extractor_in
from sktransfer.evaluation.probing import make_control
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import draw_again, get_runner
from sktransfer.networks.opening import is_onnx
from sktransfer.weights.official import no_downloads

# What two extractors may differ in and still share a control.
_NOT_CONFIGURED = {"weights", "random_state", "batch_size", "cache", "verbose"}
#: What says that a network cannot be used, here or in this way.
UNUSABLE = (ImportError, OSError, ValueError)
_NO_CONTROL = "an ONNX file does not say how to draw random weights"


@dataclass
class NetworkPlan:
    """A row of features to come.

    Attributes
    ----------
    name : str
        What the row is called.
    kind : {'control', 'transfer'}
        A network with random weights, or one with trained weights.
    extractors : list of FeatureExtractor
        Fitted, one for each seed of random weights; empty where the weights are unavailable.
    control : str or None
        For trained weights, the name of the row with random ones.
    unavailable : str or None
        Why there is no extractor.
    """

    name: str
    kind: str
    extractors: list[FeatureExtractor] = field(default_factory=list)
    control: str | None = None
    unavailable: str | None = None


def check_extractors(extractors: Any, optional: Any, on_error: Any, *, who: str) -> None:
    """Find out whether extractors are given by name, and what happens where one cannot be used."""
    given = extractors.values() if isinstance(extractors, Mapping) else [None]
    if not all(isinstance(each, FeatureExtractor) for each in given):
        raise TypeError(
            f"The 'extractors' parameter of {who} must map names to instances of "
            "VGGFeatureExtractor or ImageFeatureExtractor, as in {'VGG16': "
            f"VGGFeatureExtractor()}}. Got {extractors!r} instead.{name_extractor_in(*given)}"
        )
    unknown = [name for name in optional if name not in extractors]
    if isinstance(optional, str) or unknown:
        raise ValueError(
            f"The 'optional' parameter of {who} must list names of 'extractors', which are "
            f"{list(extractors)}. Got {optional!r} instead."
        )
    if on_error not in ("raise", "skip"):
        raise ValueError(
            f"The 'on_error' parameter of {who} must be 'raise' or 'skip'. Got {on_error!r} "
            "instead."
        )


def check_n_controls(n_controls: Any, *, who: str) -> int:
    """Check with how many seeds the random weights of controls are drawn."""
    is_whole = isinstance(n_controls, Integral) and not isinstance(n_controls, bool)
    if not (is_whole and int(n_controls) >= 1):
        raise ValueError(
            f"The 'n_controls' parameter of {who} must be a whole number of seeds from 1 up. Got "
            f"{n_controls!r} instead."
        )
    return int(n_controls)


def plan_networks(
    X: Any,
    extractors: Mapping[str, FeatureExtractor],
    *,
    optional: Collection[str],
    on_error: str,
    taken: Collection[str] = (),
    n_controls: int = 1,
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
    on_error : {'raise', 'skip'}
        What happens where another one cannot be used.
    taken : collection of str, default=()
        Names of other rows, which no control may have.
    n_controls : int, default=1
        How many seeds a control has: its own, and the following ones.
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
    ImportError, OSError, ValueError
        If an extractor that is not optional cannot be used, or images cannot be read; with
        ``on_error='skip'`` only if none remains.
    """
    plans, skipped = _fit_all(X, extractors, optional, on_error, verbose)
    controls: dict[str, NetworkPlan] = {}
    for plan in plans:
        if plan.kind == "control" and plan.extractors:
            controls.setdefault(_hash_configuration(plan.extractors[0]), plan)
    # Of these files a row that was asked for says already that there is no control.
    said = [extractors[name].network for name in skipped if _is_impossible(extractors[name])]
    for plan in list(plans):
        if plan.kind == "control" or plan.name in skipped:
            continue
        trained = plan.extractors[0] if plan.extractors else extractors[plan.name]
        name = f"{plan.name}, random weights"
        while name in extractors or name in taken:
            name += " (control)"
        if is_onnx(getattr(trained, "network", None)):
            if trained.network not in said:
                row = NetworkPlan(name, "control", unavailable=_NO_CONTROL)
                plans.insert(plans.index(plan) + 1, row)
            continue
        control = make_control(trained, random_state).set_params(verbose=verbose)
        key = _hash_configuration(control.fit(X))
        if key not in controls:
            controls[key] = NetworkPlan(name, "control", [control])
            plans.insert(plans.index(plan) + 1, controls[key])
        plan.control = controls[key].name
    for plan in controls.values():
        if any(each.control == plan.name for each in plans):
            first = plan.extractors[0]
            seeds = [_add_to_seed(first.random_state, i) for i in range(1, n_controls)]
            plan.extractors += [draw_again(first, seed, X) for seed in seeds]
    return plans


def _fit_all(
    X: Any,
    extractors: Mapping[str, FeatureExtractor],
    optional: Collection[str],
    on_error: str,
    verbose: int,
) -> tuple[list[NetworkPlan], list[str]]:
    """Plan a row for each extractor, and name those that are skipped, as long as one remains."""
    plans: list[NetworkPlan] = []
    failures: dict[str, Exception] = {}
    for name, extractor in extractors.items():
        plan = NetworkPlan(name, "control" if extractor.weights is None else "transfer")
        plans.append(plan)
        try:
            with no_downloads() if name in optional else nullcontext():
                plan.extractors = [clone(extractor).set_params(verbose=verbose).fit(X)]
        except UNUSABLE as error:
            is_missing = name in optional and isinstance(error, OSError)
            if not is_missing:
                if on_error == "raise":
                    raise
                failures[name] = error
            plan.unavailable = _NO_CONTROL if _is_impossible(extractor) else str(error)
    # Controls alone say nothing of trained weights, where those were asked for.
    wanted = [plan for plan in plans if plan.kind == "transfer"] or plans
    if failures and not any(plan.extractors for plan in wanted):
        raise next(iter(failures.values()))
    return plans, list(failures)


def _is_impossible(extractor: Any) -> bool:
    """Tell whether random weights are wanted of a file that does not say how to draw them."""
    return extractor.weights is None and is_onnx(getattr(extractor, "network", None))


def _add_to_seed(seed: Any, step: int) -> Any:
    return (int(seed) + step) % 2**32 if isinstance(seed, Integral) else seed


def _hash_configuration(extractor: FeatureExtractor) -> str:
    """Return what two fitted extractors have in common that differ in their weights only."""
    params = extractor.get_params(deep=False)
    chosen = {name: params[name] for name in params if name not in _NOT_CONFIGURED}
    layers = params["layer"]
    chosen |= {
        "layer": [layers] if layers is None or isinstance(layers, str) else list(layers),
        "network": get_runner(extractor).cut.architecture,
        "input_size": extractor.input_size_,
        "engine": extractor.engine_,
        "value_range": extractor.value_range_,
        "image_shape": getattr(extractor, "image_shape_", None),
    }
    return joblib.hash(chosen)
