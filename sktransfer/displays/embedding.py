"""Images as points in the plane, placed by their features and coloured by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import (
    HasMethods,
    Interval,
    _num_samples,
    _safe_indexing,
    validate_parameter_constraints,
)
from sktransfer.displays._display import Display, make_axes
from sktransfer.displays._palette import N_STYLES, SMALL, style
from sktransfer.displays.availability import check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class EmbeddingDisplay(Display):
    """Images as points in the plane, placed by their features and coloured by their labels.

    Classes that are separate here can be distinguished by these features. The reverse does not
    hold: classes that overlap in two dimensions may be separate in more, so compare scores.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    embedding : ndarray of shape (n_images, 2)
        The points.
    y : ndarray of shape (n_images,) or None, default=None
        The label of each; None draws all alike.
    target_names : sequence of str or None, default=None
        What the labels stand for, in their sorted order; None spells the labels themselves.
    axis_names : tuple of str, default=('dimension 1', 'dimension 2')
        Labels of the axes.
    title : str or None, default=None
        The title of the drawing.

    Attributes
    ----------
    points_ : list of matplotlib PathCollection
        The points of each class.

    See Also
    --------
    compare_transfer : Scores of the features.
    FeatureMapDisplay : What the network sees of one image.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import EmbeddingDisplay, VGGFeatureExtractor, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(
    ...     "block1_pool", pooling="max", weights=None, input_size=32, random_state=0
    ... )
    >>> display = EmbeddingDisplay.from_estimator(extractor, X, y, max_images=40)
    >>> display.embedding.shape
    (40, 2)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        embedding: np.ndarray,
        *,
        y: np.ndarray | None = None,
        target_names: Sequence[str] | None = None,
        axis_names: tuple[str, str] = ("dimension 1", "dimension 2"),
        title: str | None = None,
    ) -> None:
        self.embedding = embedding
        self.y = y
        self.target_names = target_names
        self.axis_names = axis_names
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        extractor: Any,
        X: Any,
        y: Any = None,
        *,
        projection: Any = None,
        max_images: int = 1000,
        target_names: Sequence[str] | None = None,
        random_state: Any = 0,
        ax: Axes | None = None,
    ) -> EmbeddingDisplay:
        """Compute features, project them onto the plane, and draw them.

        Parameters
        ----------
        extractor : VGGFeatureExtractor, ImageFeatureExtractor, or another transformer or pipeline
            What computes the features. Never changed: if it is not fitted, a copy is fitted on the
            images drawn.
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that the extractor takes.
        y : array-like of shape (n_images,) or None, default=None
            Labels, of at most 42 classes; None draws all images alike.
        projection : transformer or None, default=None
            Projects the features onto the plane: any transformer of scikit-learn with
            ``fit_transform``, such as ``TSNE(random_state=0)``, or a pipeline that scales first.
            Never changed. The first two columns of its output are drawn. None means
            ``PCA(2)``.
        max_images : int, default=1000
            If there are more images, a random sample of this size is computed and drawn.
        target_names : sequence of str or None, default=None
            What the labels stand for, in their sorted order; None spells the labels themselves.
        random_state : int, RandomState instance or None, default=0
            Seed of the sample, and of the default projection.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure of column width (3.5 inches) is created.

        Returns
        -------
        EmbeddingDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `extractor` or `projection` is not a transformer.
        ValueError
            If images and labels do not match, there are fewer than two images or more than 42
            classes, or the projection gives fewer than two columns.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        validate_parameter_constraints(
            {
                "max_images": [Interval(Integral, 2, None, closed="left")],
                "extractor": [HasMethods(["fit", "transform"])],
                "projection": [HasMethods(["fit_transform"]), None],
                "random_state": ["random_state"],
            },
            {
                "max_images": max_images,
                "extractor": extractor,
                "projection": projection,
                "random_state": random_state,
            },
            caller_name=who,
        )
        n_images = _num_samples(X)
        if n_images < 2:
            raise ValueError(f"{who} needs at least two images. Got {n_images}.")
        if y is not None:
            y = _check_labels(y, n_images, target_names, who)
        random = check_random_state(random_state)
        if n_images > max_images:
            drawn = sample_without_replacement(n_images, int(max_images), random_state=random)
            rows = np.sort(drawn)
            X = _safe_indexing(X, rows)
            if y is not None:
                target_names = _names_left(y, rows, target_names)
                y = y[rows]
        features = _transform(extractor, X)
        projection = PCA(2, random_state=random) if projection is None else clone(projection)
        embedding = np.asarray(projection.fit_transform(features))
        if embedding.ndim != 2 or embedding.shape[1] < 2:
            raise ValueError(
                f"The 'projection' parameter of {who} must give two columns. Got an array of shape "
                f"{embedding.shape}: set its number of components to 2."
            )
        sample = f"{len(embedding):,} of {n_images:,}" if n_images > max_images else f"{n_images:,}"
        return cls(
            embedding[:, :2],
            y=y,
            target_names=target_names,
            axis_names=_name_axes(projection),
            title=f"{sample} images, {features.shape[1]:,} features",
        ).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None, **scatter_kwargs: Any) -> EmbeddingDisplay:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure of column width (3.5 inches) is created.
        **scatter_kwargs : dict
            Passed to matplotlib's `scatter`, such as `s` or `alpha`.

        Returns
        -------
        EmbeddingDisplay
            The display itself. Its `ax_` and `figure_` are where it is drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return self._plot(ax, **scatter_kwargs)

    def _draw(self, ax: Axes | None, **scatter_kwargs: Any) -> Axes:
        from matplotlib import rcParams

        classes = [None] if self.y is None else list(np.unique(self.y))
        names = [str(name) for name in (self.target_names or classes)]
        n_columns = max(1, min(4, len(classes), 28 // max(map(len, names))))
        n_lines = -(-len(classes) // n_columns) if self.y is not None else 0
        if ax is None:
            ax = make_axes(2.9 + 0.16 * n_lines)
        # Points of all classes in one random order would hide none of them, but a class is one
        # collection: half-transparent and outlined, those below still show.
        n_points = len(self.embedding)
        defaults = {"s": float(np.clip(4000 / n_points, 8, 30)), "alpha": 0.8, "linewidths": 0.3}
        edge = rcParams["axes.edgecolor"]
        self.points_ = []
        for i, (label, name) in enumerate(zip(classes, names, strict=True)):
            color, marker = style(i)
            at = self.embedding if label is None else self.embedding[self.y == label]
            kwargs = {**defaults, "color": color, "marker": marker, "edgecolors": edge}
            kwargs |= {"label": None if label is None else name, **scatter_kwargs}
            self.points_.append(ax.scatter(at[:, 0], at[:, 1], **kwargs))
        ax.set_xlabel(self.axis_names[0], fontsize=SMALL)
        ax.set_ylabel(self.axis_names[1], fontsize=SMALL)
        # Positions have no unit, and in most projections no meaning beyond near and far.
        ax.set(xticks=[], yticks=[])
        if self.title is not None:
            ax.set_title(self.title, fontsize=SMALL, loc="left")
        if self.y is not None:
            legend = ax.legend(
                fontsize=SMALL,
                ncols=n_columns,
                loc="upper left",
                bbox_to_anchor=(0, -0.09),
                borderaxespad=0,
                frameon=False,
                handletextpad=0.2,
                columnspacing=1.0,
            )
            for text in legend.get_texts():
                text.set_parse_math(False)  # a dollar in a name is a dollar
            for handle in legend.legend_handles:
                handle.set(alpha=1, sizes=[24])  # type: ignore[union-attr]
        return ax


def _check_labels(y: Any, n_images: int, target_names: Any, who: str) -> np.ndarray:
    y = column_or_1d(y)
    check_classification_targets(y)
    if len(y) != n_images:
        raise ValueError(
            f"{who} needs one label per image. Got {n_images} images and {len(y)} labels."
        )
    n_classes = len(np.unique(y))
    if n_classes > N_STYLES:
        raise ValueError(
            f"{who} has {N_STYLES} different colours and markers. Got {n_classes}: select some of "
            "them, or merge them into groups."
        )
    if target_names is not None and len(target_names) != n_classes:
        raise ValueError(
            f"The 'target_names' parameter of {who} must name each of the {n_classes} classes. "
            f"Got {len(target_names)} names: {list(target_names)}."
        )
    return y


def _names_left(
    y: np.ndarray, rows: np.ndarray, target_names: Sequence[str] | None
) -> Sequence[str] | None:
    """Select the names of the classes in a sample, which may have missed one."""
    if target_names is None:
        return None
    left = np.isin(np.unique(y), y[rows])
    return [name for name, is_left in zip(target_names, left, strict=True) if is_left]


def _transform(extractor: Any, X: Any) -> np.ndarray:
    try:
        check_is_fitted(extractor)
    except NotFittedError:
        extractor = clone(extractor).fit(X)
    # Of data frames, which set_output may ask for, in the order that sums are taken in otherwise.
    return np.ascontiguousarray(extractor.transform(X))


def _name_axes(projection: Any) -> tuple[str, str]:
    """Name the axes, with their part of the variance where the projection gives it."""
    last = projection.steps[-1][1] if hasattr(projection, "steps") else projection
    parts = getattr(last, "explained_variance_ratio_", None)
    if parts is None:
        name = type(last).__name__
        return f"{name}, dimension 1", f"{name}, dimension 2"
    first, second = (f"component {i + 1}, {100 * parts[i]:.0f} % of variance" for i in (0, 1))
    return first, second
