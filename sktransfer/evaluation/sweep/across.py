"""Sweeps across networks, layers and sizes, with the cost of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import indexable

from sktransfer.evaluation.probing.naming import name_networks
from sktransfer.evaluation.probing.planning import UNUSABLE
from sktransfer.evaluation.sweep.across_result import NetworkRow, NetworkSweep
from sktransfer.evaluation.sweep.cuts import Limits, sweep_cuts
from sktransfer.evaluation.sweep.grid import MAX_WIDTH, Size, plan_variants
from sktransfer.evaluation.sweep.layers import settle_extractor
from sktransfer.evaluation.sweep.networks import check_size, only_size
from sktransfer.evaluation.sweep.result import SweepRow
from sktransfer.evaluation.sweep.scoring import SweepScoring
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import read_as
from sktransfer.network_extractor import ImageFeatureExtractor
from sktransfer.networks import ARCHITECTURES, TRAINED_SIZE, list_layers
from sktransfer.networks.graph import plan_network_cut
from sktransfer.networks.opening import find_named, open_network
from sktransfer.networks.outputs import as_shape, as_size, spell_size

#: What VGG gives as an embedding: the mean of its last feature maps.
_VGG_EMBEDDING = "block5_pool"


def sweep_networks(
    X: Any,
    y: Any,
    *,
    networks: Mapping[str, FeatureExtractor] | Sequence[Any],
    layers: Mapping[str, Sequence[str]] | None = None,
    poolings: Sequence[str | None] | None = None,
    input_sizes: Sequence[int | tuple[int, int]] | None = None,
    classifier: Any = None,
    cv: Any = 5,
    groups: Any = None,
    scoring: Any = None,
    positive: Any = None,
    max_width: int | None = MAX_WIDTH,
    time_budget: float | None = None,
    sample_weight: Any = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> NetworkSweep:
    """Score linear probes on several networks, on the same images and folds, with what each costs.

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`ImageFeatureExtractor` accepts; never changed.
    y : array-like of shape (n_images,) or (n_images, n_labels)
        Classes, numbers or sets of labels, as for :func:`sweep_layers`.
    networks : list, or mapping of str to extractor
        Names and paths as :class:`ImageFeatureExtractor` takes them, ``'vgg16'`` and ``'vgg19'``,
        or extractors by name, which set weights, preprocessing, engine and store.
    layers : mapping of str to list of str or None, default=None
        The layers to score of each network, by its name. For networks that are not named, and
        with None, it is the embedding: the features before the classifier.
    poolings : list of {'avg', 'max', 'cls', None}, or None, default=None
        Mean or maximum of each feature map, the class token of sequences, or None in the list for
        all values. By default, embeddings are pooled as :class:`ImageFeatureExtractor` pools them,
        and named layers by their mean.
    input_sizes : list of int or tuple of int, or None, default=None
        Sides in pixels, or heights and widths. None means the size that each extractor has, or that
        its network was trained at.
    classifier, cv, groups, scoring, positive, max_width, time_budget, sample_weight
        As for :func:`sweep_layers`.
    random_state : int or None, default=0
        Seed of the folds.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    NetworkSweep
        Scores, cost and width of every row, differences from the best one, and what was skipped.

    Raises
    ------
    TypeError, ValueError
        If a parameter, the labels or the images are invalid.
    ImportError, OSError
        If no network is available, or image files are unavailable.

    See Also
    --------
    sweep_layers : All layers of one network.
    NetworkSweepDisplay : Score against cost, drawn.

    Examples
    --------
    >>> from sktransfer import ImageFeatureExtractor, load_digit_pair, sweep_networks
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> networks = {
    ...     "first": ImageFeatureExtractor("MobileNetV2", weights=None, random_state=0),
    ...     "second": ImageFeatureExtractor("MobileNetV2", weights=None, random_state=1),
    ... }
    >>> sweep = sweep_networks(X[:40], y[:40], networks=networks, input_sizes=[32], cv=2)
    >>> [(row.network, row.variant.width) for row in sweep.rows]
    [('first', 1280), ('second', 1280)]
    """
    who = "sweep_networks"
    limits = Limits.check(time_budget, who=who)
    extractors = _settle_networks(networks, random_state, who)
    layers = _check_layers(layers, extractors, who)
    (X,) = indexable(X)
    first = next(iter(extractors.values()))
    images = read_as(first, X, who=who)
    shared = SweepScoring.check(
        y,
        len(images),
        classifier=classifier,
        cv=cv,
        groups=groups,
        scoring=scoring,
        positive=positive,
        sample_weight=sample_weight,
        random_state=random_state,
        who=who,
    )
    del images

    result = NetworkSweep(**shared.describe(), metric="")
    failure: Exception | None = None
    rated: list[np.ndarray] = []
    sizes = [None] if input_sizes is None else list(input_sizes)
    for name, extractor in extractors.items():
        for size in sizes:
            at = "" if size is None else f" at {spell_size(size)} px"
            if limits.time.is_spent():
                reason = f"the time budget of {limits.time} ran out before it was opened"
                result.skipped.append(f"{name}{at}: {reason}")
                continue
            try:
                if size is not None:
                    check_size(only_size(extractor), [as_size(as_shape(size))], who)
                own, wanted, pooling, megabytes = _plan(extractor, layers.get(name), size)
                settled = settle_extractor(extractor, who)
                pooled = [pooling] if poolings is None else poolings
                planned = plan_variants(settled, wanted, pooled, [own], max_width, who=who)
                sweep, rates = sweep_cuts(
                    X, settled, planned, shared, limits, verbose=verbose, who=who
                )
            except UNUSABLE as error:
                # A network that is unavailable here does not end the comparison of the others.
                failure = error
                result.skipped.append(f"{name}{at}: {error}")
                continue
            result.metric = result.metric or sweep.metric  # none where there was no time for a row
            result.skipped += [f"{name}, {each}" for each in sweep.skipped]
            result.rows += [_name_row(name, row, megabytes) for row in sweep.rows]
            rated += rates
    if failure is not None and not result.rows:
        raise failure
    if result.best is not None:
        shared.judge(result.rows, result.metric, rated, result.rows.index(result.best))
    return result


def _name_row(name: str, row: SweepRow, megabytes: Mapping[str, float]) -> NetworkRow:
    return NetworkRow(
        name,
        row.variant,
        row.scores,
        row.milliseconds,
        megabytes[row.variant.layer],
        row.n_not_converged,
        confusion=row.confusion,
        label_recalls=row.label_recalls,
    )


def _check_layers(layers: Any, extractors: Mapping[str, Any], who: str) -> dict[str, Sequence[str]]:
    layers = {} if layers is None else dict(layers)
    unknown = sorted(set(layers) - set(extractors))
    if unknown:
        raise ValueError(
            f"The 'layers' parameter of {who} must give layers by the names of networks, "
            f"{', '.join(extractors)}. Got {', '.join(map(repr, unknown))}."
        )
    return layers


def _settle_networks(networks: Any, random_state: Any, who: str) -> dict[str, FeatureExtractor]:
    """Return an extractor for each network, by name."""
    if isinstance(networks, str) or not isinstance(networks, Mapping | Sequence) or not networks:
        raise TypeError(
            f"The 'networks' parameter of {who} must list names, paths or Keras models, or map "
            f"names to extractors. Got {networks!r} instead."
        )
    if isinstance(networks, Mapping):
        wrong = [name for name, each in networks.items() if not isinstance(each, FeatureExtractor)]
        if wrong:
            raise TypeError(
                f"The 'networks' parameter of {who} must map names to instances of "
                "VGGFeatureExtractor or ImageFeatureExtractor. Got something else for "
                f"{', '.join(map(repr, wrong))}."
            )
        return dict(networks)
    found: list[FeatureExtractor] = []
    for network in networks:
        if isinstance(network, str) and network in ARCHITECTURES:
            found.append(VGGFeatureExtractor(architecture=network, random_state=random_state))
        else:
            application = find_named(network, who, "networks")
            name = network if application is None else application.name
            found.append(ImageFeatureExtractor(name, random_state=random_state))
    names = name_networks(found)
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(
            f"The 'networks' parameter of {who} must name each network once. Got {twice[0]!r} "
            "twice: map names of your own to extractors."
        )
    return dict(zip(names, found, strict=True))


def _plan(
    extractor: FeatureExtractor, layers: Sequence[str] | None, input_size: Size | None
) -> tuple[Size, list[str], str | None, dict[str, float]]:
    """Say at which size and layers a network is scored, how these are pooled, and their weights."""
    params = extractor.get_params(deep=False)
    pooling: str | None = "avg"
    if "architecture" in params:
        size = input_size or _own_size(params["input_size"]) or TRAINED_SIZE
        table: Sequence[Any] = list_layers(params["architecture"], size)
        wanted = list(layers or [_VGG_EMBEDDING])
        names = [layer.name for layer in table]
        above = {
            name: names[: names.index(name) + 1] if name in names else names for name in wanted
        }
    else:
        given = input_size or _own_size(params["input_size"])
        who = type(extractor).__name__
        network = open_network(params["network"], given, who=who, is_whole=layers is not None)
        size, table = _own_size(network.input_size) or TRAINED_SIZE, network.layers
        wanted = list(layers or [])
        if not wanted:
            embedding = plan_network_cut(network, None, None, who=who)
            (wanted, (pooling,)) = [embedding.layers[0].name], embedding.poolings
        known = {layer.name for layer in table}
        above = {name: list(network.ancestors(name)) for name in wanted if name in known}
    parameters = {layer.name: layer.n_parameters for layer in table}
    megabytes = {
        name: 4e-6 * sum(parameters.get(each, 0) for each in names) for name, names in above.items()
    }
    return size, wanted, pooling, megabytes


def _own_size(input_size: Any) -> Size | None:
    return None if isinstance(input_size, str) else as_size(as_shape(input_size))
