"""Images as points: the right points, in colours and forms that can be told apart."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import EmbeddingDisplay, VGGFeatureExtractor
from sktransfer.displays import _palette

pytestmark = pytest.mark.usefixtures("no_windows")


def same() -> FunctionTransformer:
    """Return a transformer whose features are the pixels."""
    return FunctionTransformer()


def rows(n: int = 30, n_columns: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, n_columns))


def legend_of(display: EmbeddingDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


# -- what is computed


def test_points_are_the_projected_features():
    X = rows()
    display = EmbeddingDisplay.from_estimator(same(), X, projection=PCA(3))
    expected = PCA(2).fit_transform(X)
    np.testing.assert_allclose(display.embedding, expected, atol=1e-12)
    np.testing.assert_array_equal(display.points_[0].get_offsets(), display.embedding)


def test_features_of_the_network():
    X = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    unfitted = VGGFeatureExtractor(
        "block1_pool", pooling="avg", weights=None, input_size=32, random_state=0
    )
    display = EmbeddingDisplay.from_estimator(unfitted, X, [0, 0, 0, 1, 1, 1])
    features = unfitted.fit_transform(X)
    np.testing.assert_allclose(
        display.embedding, PCA(2, random_state=0).fit_transform(features), rtol=1e-3, atol=1e-2
    )
    assert display.ax_.get_title(loc="left") == "6 images, 64 features"


def test_a_fitted_extractor_is_not_fitted_again():
    fitted = StandardScaler().fit(rows() + 5)
    display = EmbeddingDisplay.from_estimator(fitted, rows(), projection=same())
    np.testing.assert_allclose(display.embedding, fitted.transform(rows())[:, :2])
    unfitted = StandardScaler()
    EmbeddingDisplay.from_estimator(unfitted, rows())
    assert not hasattr(unfitted, "mean_")


def test_many_images_are_sampled_each_with_its_label():
    X = np.arange(200.0).reshape(100, 2)
    y = np.arange(100) % 3
    first, again, other = (
        EmbeddingDisplay.from_estimator(
            same(), X, y, projection=same(), max_images=20, random_state=seed
        )
        for seed in (0, 0, 1)
    )
    assert first.embedding.shape == (20, 2)
    np.testing.assert_array_equal(first.y, first.embedding[:, 0] / 2 % 3)
    np.testing.assert_array_equal(first.embedding, again.embedding)
    assert not np.array_equal(first.embedding, other.embedding)
    assert first.ax_.get_title(loc="left") == "20 of 100 images, 2 features"


def test_lists_of_images_are_sampled_too():
    images = [np.full((4, 4), i, dtype=np.uint8) for i in range(10)]

    def flatten(items: list[np.ndarray]) -> np.ndarray:
        return np.stack([item.ravel() for item in items]).astype(float)

    display = EmbeddingDisplay.from_estimator(
        FunctionTransformer(flatten), images, projection=same(), max_images=4
    )
    assert display.embedding.shape == (4, 2)


def test_names_stay_with_their_classes_where_the_sample_misses_one():
    y = np.repeat([0, 1, 2], [500, 1, 500])
    display = EmbeddingDisplay.from_estimator(
        same(), rows(1001), y, target_names=["a", "rare", "z"], max_images=30
    )
    assert 1 not in display.y
    assert legend_of(display) == ["a", "z"]


def test_the_axes_say_what_they_are():
    X = rows()
    display = EmbeddingDisplay.from_estimator(same(), X)
    part = PCA(2).fit(X).explained_variance_ratio_[0]
    assert display.ax_.get_xlabel() == f"component 1, {100 * part:.0f} % of variance"
    scaled = make_pipeline(StandardScaler(), PCA(2))
    display = EmbeddingDisplay.from_estimator(same(), X, projection=scaled)
    assert display.ax_.get_ylabel().startswith("component 2, ")
    assert not hasattr(scaled[0], "mean_")  # a copy was fitted
    tsne = TSNE(perplexity=5, max_iter=250, random_state=0)
    display = EmbeddingDisplay.from_estimator(same(), X, projection=tsne)
    assert display.ax_.get_xlabel() == "TSNE, dimension 1"


# -- what is drawn


def test_classes_differ_in_colour_and_form():
    n_classes = _palette.N_STYLES
    y = np.arange(n_classes)
    display = EmbeddingDisplay(rows(n_classes)[:, :2], y=y).plot()
    looks = {
        (to_hex(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes())
        for points in display.points_
    }
    assert len(looks) == n_classes
    few = display.points_[: len(_palette.COLORS)]
    assert len({to_hex(points.get_facecolor()[0]) for points in few}) == len(few)
    assert len({points.get_paths()[0].vertices.tobytes() for points in few}) == len(few)


def test_the_legend_names_the_classes():
    y = np.array([6, 8] * 15)
    assert legend_of(EmbeddingDisplay.from_estimator(same(), rows(), y)) == ["6", "8"]
    named = EmbeddingDisplay.from_estimator(same(), rows(), y, target_names=["six", "eight"])
    assert legend_of(named) == ["six", "eight"]
    assert EmbeddingDisplay.from_estimator(same(), rows()).ax_.get_legend() is None


def test_dollars_in_names_are_no_formulas():
    y = np.array(["$1", "$2"] * 15)
    display = EmbeddingDisplay.from_estimator(same(), rows(), y)
    display.figure_.canvas.draw()
    assert not any(text.get_parse_math() for text in display.ax_.get_legend().get_texts())


@pytest.mark.parametrize("n_classes", [2, 10, 42])
def test_nothing_reaches_beyond_a_column(n_classes):
    y = np.array([f"class {i}" for i in range(n_classes)])
    display = EmbeddingDisplay(rows(n_classes)[:, :2], y=y, title="title").plot()
    figure = display.figure_
    assert figure.get_size_inches()[0] == 3.5
    figure.canvas.draw()
    page = figure.bbox
    inside = figure.get_tightbbox()
    assert inside.x0 >= 0 and inside.x1 * figure.dpi <= page.x1
    assert inside.y0 >= 0 and inside.y1 * figure.dpi <= page.y1
    assert display.ax_.get_window_extent().height > 100


def test_plot_draws_in_the_axes_given_and_passes_options():
    display = EmbeddingDisplay(rows()[:, :2])
    figure, ax = plt.subplots()
    assert display.plot(ax=ax, s=3, alpha=0.1) is display
    assert display.ax_ is ax and display.figure_ is figure
    assert display.points_[0].get_sizes().tolist() == [3]
    assert display.points_[0].get_alpha() == 0.1


# -- errors


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"y": [0, 1]}, r"from_estimator needs one label per image\. Got 30 images and 2 labels"),
        ({"y": np.arange(30) / 7}, r"Unknown label type: continuous"),
        ({"y": [0, 1] * 15, "target_names": ["a"]}, r"'target_names' .* 2 classes\. Got 1 names"),
        ({"projection": PCA(1)}, r"'projection' parameter .* two columns\. Got .* \(30, 1\)"),
        ({"projection": 3}, r"'projection' parameter of EmbeddingDisplay\.from_estimator must be"),
        ({"max_images": 1}, r"'max_images' parameter of .* Got 1 instead"),
        ({"X": rows(1)}, r"needs at least two images\. Got 1"),
        ({"X": rows(86), "y": [*range(43)] * 2}, r"has 42 different colours .* Got 43"),
        ({"extractor": object()}, r"'extractor' parameter of EmbeddingDisplay"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_drawn(kwargs, match):
    call = {"extractor": same(), "X": rows(), **kwargs}
    with pytest.raises((TypeError, ValueError), match=match):
        EmbeddingDisplay.from_estimator(**call)
    assert not plt.get_fignums()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (
        lambda: EmbeddingDisplay.from_estimator(same(), rows()),
        lambda: EmbeddingDisplay(rows()[:, :2]).plot(),
    ):
        with pytest.raises(ImportError, match=r"^EmbeddingDisplay\..* draws with matplotlib"):
            call()
