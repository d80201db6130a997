"""The drawing of a network: what it says, that it can be read, and that it leaves no trace."""

from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from interpreter import run_python
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Polygon

from sktransfer import VGGFeatureExtractor, networks
from sktransfer.displays import ArchitectureDisplay, _drawing
from sktransfer.networks import describe_network, list_layers, plan_cut

VGG16 = [layer.name for layer in list_layers("vgg16")[1:]]
VGG19 = [layer.name for layer in list_layers("vgg19")[1:]]


pytestmark = pytest.mark.usefixtures("no_windows")


def texts_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def cuts_of(ax: Axes) -> list[str]:
    return [text for text in texts_of(ax) if text.startswith("cut")]


def dashed_lines(ax: Axes) -> list[Any]:
    return [line for line in ax.lines if line.get_linestyle() == "--"]


# -- what is drawn


def test_the_default_drawing_says_it_all():
    display = ArchitectureDisplay.from_architecture()
    assert isinstance(display, ArchitectureDisplay)
    assert display.network == describe_network("vgg16")
    assert display.cut == plan_cut("flatten")
    assert display.figure_ is display.ax_.figure
    texts = texts_of(display.ax_)
    times = " \N{MULTIPLICATION SIGN} "
    assert f"VGG16 on an image of 224{times}224 pixels" in texts
    assert cuts_of(display.ax_) == ["cut: flatten, 25,088 features"]
    assert len(dashed_lines(display.ax_)) == 1
    for name in ("input", "block1", "block5", "flatten", "fc1", "fc2", "predictions"):
        assert texts.count(name) == 1
    for shape in ("224 x 224 x 3", "224 x 224 x 64", "pool 112 x 112 x 64", "pool 7 x 7 x 512"):
        assert shape.replace(" x ", times) in texts
    assert (texts.count("conv1"), texts.count("conv3"), texts.count("pool")) == (5, 3, 5)
    assert (texts.count("25,088"), texts.count("4,096"), texts.count("1,000")) == (1, 2, 1)
    assert "14.7 M parameters, 15.3 G multiply-adds per image" in texts
    assert "not built, not read" in texts
    assert "123.6 M parameters" in texts


def test_convolutions_of_vgg19_are_all_there():
    texts = texts_of(ArchitectureDisplay.from_architecture("vgg19").ax_)
    assert texts.count("conv4") == 3
    assert "VGG19" in texts[0]


@pytest.mark.parametrize(
    ("cut", "label"),
    [
        ("block1_conv1", "cut: block1_conv1, 3,211,264 features"),
        ("block3_pool", "cut: block3_pool, 200,704 features"),
        ("fc2", "cut: fc2, 4,096 features"),
        ("predictions", "cut: predictions, 1,000 features"),
    ],
)
def test_cut_is_labelled_and_what_lies_beyond_is_grey(cut, label):
    display = ArchitectureDisplay.from_architecture(cut=cut)
    assert cuts_of(display.ax_) == [label]
    faces = [to_hex(p.get_facecolor()) for p in display.ax_.patches if isinstance(p, Polygon)]
    n_boxes = 1 + len(VGG16)
    assert len(faces) == 3 * n_boxes
    n_kept = 3 * (VGG16.index(cut) + 2)
    grey = _drawing._FADED_FACE.lower()
    assert grey not in faces[:n_kept]
    assert set(faces[n_kept:]) <= {grey}
    assert ("not built, not read" in texts_of(display.ax_)) == (cut != "predictions")


def test_the_line_parts_what_is_kept_from_what_is_not():
    display = ArchitectureDisplay.from_architecture(cut="block4_conv2")
    (line,) = dashed_lines(display.ax_)
    at = line.get_xdata()[0]
    n_kept = 3 * (VGG16.index("block4_conv2") + 2)
    boxes = [p.get_xy()[:, 0] for p in display.ax_.patches if isinstance(p, Polygon)]
    assert max(xs.max() for xs in boxes[:n_kept]) < at < min(xs.min() for xs in boxes[n_kept:])


def test_a_layer_with_several_poolings_is_one_cut():
    extractor = VGGFeatureExtractor(
        ["block1_pool", "block2_pool", "block1_pool"], pooling=["avg", "max", None]
    )
    display = ArchitectureDisplay.from_estimator(extractor)
    assert cuts_of(display.ax_) == [
        "cut 1: block1_pool (avg, flat), 802,880 features",
        "cut 2: block2_pool (max), 128 features",
    ]


def test_several_cuts():
    display = ArchitectureDisplay.from_architecture(cut=["flatten", "block1_pool", "block4_pool"])
    # Drawn in the order of the network, whatever the order of the features.
    assert cuts_of(display.ax_) == [
        "cut 1: block1_pool, 802,816 features",
        "cut 2: block4_pool, 100,352 features",
        "cut 3: flatten, 25,088 features",
    ]
    # Above each line stands its number.
    places = {text.get_text(): text.get_position()[0] for text in display.ax_.texts}
    lines = dashed_lines(display.ax_)
    assert [line.get_xdata()[0] for line in lines] == [places["1"], places["2"], places["3"]]
    assert "14.7 M parameters, 15.3 G multiply-adds per image" in texts_of(display.ax_)


def test_other_sizes_end_with_flatten():
    display = ArchitectureDisplay.from_architecture(input_size=np.int64(32))
    texts = texts_of(display.ax_)
    assert cuts_of(display.ax_) == ["cut: flatten, 512 features"]
    assert not {"fc1", "fc2", "predictions", "not built, not read"} & set(texts)
    assert display.network.input_size == 32


def test_boxes_shrink_in_height_and_grow_in_width():
    display = ArchitectureDisplay.from_architecture()
    fronts = [p.get_xy() for p in display.ax_.patches if isinstance(p, Polygon)][::3]
    sizes = dict(zip(["input", *VGG16], (np.ptp(xy, axis=0) for xy in fronts), strict=True))
    convs = [sizes[f"block{block}_conv1"] for block in range(1, 6)]
    assert all(a[1] > b[1] for a, b in itertools.pairwise(convs))
    assert all(a[0] < b[0] for a, b in itertools.pairwise(convs[:4]))
    assert convs[3][0] == pytest.approx(convs[4][0])  # both have 512 channels
    assert sizes["flatten"][1] > sizes["fc1"][1] > sizes["predictions"][1]


# -- from an extractor


def extractor(**params: Any) -> Any:
    from sktransfer.extractor import VGGFeatureExtractor

    return VGGFeatureExtractor(**params)


def test_from_unfitted_estimator():
    display = ArchitectureDisplay.from_estimator(extractor(layer="block3_pool", pooling="avg"))
    assert display.cut == plan_cut("block3_pool", pooling="avg")
    assert cuts_of(display.ax_) == ["cut: block3_pool (avg), 256 features"]


def test_from_estimator_with_several_layers():
    several = extractor(layer=["block5_pool", "block2_pool"], architecture="vgg19", input_size=64)
    display = ArchitectureDisplay.from_estimator(several)
    assert display.network == describe_network("vgg19", cut="flatten", input_size=64)
    assert [layer.name for layer in display.cut.layers] == ["block5_pool", "block2_pool"]
    assert len(cuts_of(display.ax_)) == 2


def test_from_fitted_estimator_takes_the_size_found_in_fit():
    fitted = extractor(layer="block2_pool")
    fitted.input_size_ = 48
    assert ArchitectureDisplay.from_estimator(fitted).cut.input_size == 48


def test_from_estimator_changes_nothing():
    unfitted = extractor(layer=["block1_pool", "flatten"])
    before = dict(vars(unfitted))
    ArchitectureDisplay.from_estimator(unfitted)
    assert vars(unfitted) == before


# -- readable


def assert_readable(display: ArchitectureDisplay) -> None:
    """Hold that no text touches another, leaves the figure, or is crossed by a cut's line."""
    figure, ax = display.figure_, display.ax_
    figure.canvas.draw()
    boxes = {}
    for i, text in enumerate(ax.texts):
        boxes[i, text.get_text()] = text.get_window_extent().padded(-0.5)
    page = figure.bbox
    for name, box in boxes.items():
        assert page.x0 <= box.x0 and box.x1 <= page.x1, name
        assert page.y0 <= box.y0 and box.y1 <= page.y1, name
    for (a, box_a), (b, box_b) in itertools.combinations(boxes.items(), 2):
        assert not box_a.overlaps(box_b), (a, b)
    for line in dashed_lines(ax):
        (x, low), (_, high) = ax.transData.transform(line.get_xydata())
        for name, box in boxes.items():
            assert not (box.x0 < x < box.x1 and low < box.y1 and box.y0 < high), name


@pytest.mark.parametrize(
    ("architecture", "cut", "input_size"),
    [
        ("vgg16", "flatten", 224),
        ("vgg16", "block1_conv1", 224),
        ("vgg19", "block4_conv2", 224),
        ("vgg19", "predictions", 224),
        ("vgg16", "block1_conv2", 1024),
        ("vgg19", "flatten", 32),
        ("vgg16", ["block1_conv1", "block1_conv2", "block1_pool", "fc1", "fc2"], 224),
        ("vgg19", ["block1_conv1", "block3_conv4"], 224),
        ("vgg19", VGG19, 224),
    ],
)
def test_texts_do_not_collide(architecture, cut, input_size):
    display = ArchitectureDisplay.from_architecture(architecture, cut=cut, input_size=input_size)
    assert_readable(display)


@given(cut=st.lists(st.sampled_from(VGG19), min_size=1, max_size=6, unique=True))
@settings(max_examples=8, deadline=None)
def test_texts_of_any_cuts_do_not_collide(cut):
    assert_readable(ArchitectureDisplay.from_architecture("vgg19", cut=cut))
    plt.close("all")


def test_texts_shrink_with_the_axes():
    figure, (above, below) = plt.subplots(2, 1, figsize=(5, 6))
    for ax in (above, below):
        assert_readable(ArchitectureDisplay.from_architecture(cut="block3_pool", ax=ax))
    assert figure.axes == [above, below]


def test_about_as_wide_as_a_column():
    for cut in ("block1_conv1", "block3_pool", "block4_conv2", "flatten", "predictions"):
        width, height = ArchitectureDisplay.from_architecture(cut=cut).figure_.get_size_inches()
        assert 7 <= width <= 7.8
        assert height < width
        plt.close("all")


def test_dark_styles_keep_a_white_ground(tmp_path):
    with plt.style.context("dark_background"):
        display = ArchitectureDisplay.from_architecture()
        display.figure_.savefig(tmp_path / "drawing.png")
    picture = plt.imread(tmp_path / "drawing.png")
    corners = picture[[5, 5, -5, -5], [5, -5, 5, -5]]
    assert corners.min() > 0.99


# -- as scikit-learn's displays


def test_plot_draws_in_the_axes_given_and_returns_itself():
    display = ArchitectureDisplay(describe_network(), cut=plan_cut("block2_pool"))
    assert not hasattr(display, "ax_")
    figure, ax = plt.subplots()
    assert display.plot(ax=ax) is display
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.plot().figure_ is not figure
    assert display.ax_ is not ax


def test_subfigures_are_figures_too():
    parts = plt.figure(figsize=(7, 7)).subfigures(2, 1)
    ax = parts[0].add_subplot()
    assert ArchitectureDisplay.from_architecture(ax=ax).figure_ is parts[0]


def test_a_figure_is_made_only_where_no_axes_are_given():
    ArchitectureDisplay.from_architecture()
    assert len(plt.get_fignums()) == 1
    _, ax = plt.subplots()
    ArchitectureDisplay.from_architecture(ax=ax)
    assert len(plt.get_fignums()) == 2


def test_settings_of_matplotlib_stay():
    before = mpl.rcParams.copy()
    ArchitectureDisplay.from_architecture(cut=["block1_pool", "flatten"]).figure_.canvas.draw()
    assert mpl.rcParams == before


def test_drawing_imports_no_framework_and_importing_no_matplotlib():
    code = """
import sys
from sktransfer.displays import ArchitectureDisplay
print("matplotlib" in sys.modules)
import matplotlib
matplotlib.use("agg")
ArchitectureDisplay.from_architecture("vgg19", cut="fc2").figure_.canvas.draw()
print(sorted({"keras", "tensorflow", "torch", "jax"} & set(sys.modules)))
"""
    assert run_python(code).split() == ["False", "[]"]


# -- errors


@pytest.mark.parametrize(
    ("call", "who"),
    [
        (lambda: ArchitectureDisplay.from_architecture(), "from_architecture"),
        (lambda: ArchitectureDisplay.from_estimator(None), "from_estimator"),
        (
            lambda: ArchitectureDisplay(describe_network(), cut=plan_cut("fc1")).plot(),
            "plot",
        ),
    ],
)
def test_without_matplotlib_the_extra_is_named(monkeypatch, call, who):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    match = rf"^ArchitectureDisplay\.{who} draws with matplotlib, .* `pip install \"sktransfer\["
    with pytest.raises(ImportError, match=match):
        call()


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"architecture": "vgg61"}, r"'architecture' parameter of Arch.*from_architecture must be"),
        ({"architecture": "vgg61"}, r"Got 'vgg61' instead"),
        ({"input_size": 31}, r"'input_size' .* of at least 32 pixels\. Got 31 instead"),
        ({"input_size": 64.0}, r"'input_size' parameter of .* Got 64\.0 instead"),
        ({"cut": 3}, r"'cut' parameter of .* Got 3 instead"),
        ({"cut": "block3_pol"}, r"'cut' parameter of .* Did you mean 'block3_pool'\?"),
        ({"cut": ["flatten", 3]}, r"'cut' parameter of .* must be a layer .* Got 3 instead"),
        ({"cut": ["flatten", "fc3"]}, r"'cut' parameter of .*from_architecture must be a layer of"),
        ({"cut": "fc1", "input_size": 64}, r"'fc1', which exists at an input size of 224 pixels"),
        (
            {"cut": ["fc1", "fc1"]},
            r"^The 'cut' parameter of ArchitectureDisplay\.from_architecture must name each",
        ),
        ({"cut": []}, r"^The 'cut' parameter of .*from_architecture must name at least one layer"),
    ],
)
def test_wrong_networks_are_refused(kwargs, match):
    with pytest.raises((TypeError, ValueError), match=match):
        ArchitectureDisplay.from_architecture(**kwargs)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"layer": "block3_pol"}, r"'layer' parameter of VGGFeatureExtractor .* 'block3_pool'\?"),
        ({"architecture": "vgg61"}, r"'architecture' parameter of VGGFeatureExtractor must be"),
        ({"input_size": 8}, r"'input_size' parameter of VGGFeatureExtractor must be .* Got 8 inst"),
        ({"pooling": "avg"}, r"'pooling' parameter of VGGFeatureExtractor pools feature maps"),
    ],
)
def test_wrong_extractors_are_refused(params, match):
    with pytest.raises(ValueError, match=match):
        ArchitectureDisplay.from_estimator(extractor(**params))


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (
            SimpleNamespace(layer="flatten"),
            r"a VGGFeatureExtractor\. Got a SimpleNamespace",
        ),
        (None, r"Got a NoneType instead\. For a pipeline, pass the step"),
        (networks.Cut, r"Got the class Cut instead"),
    ],
)
def test_what_is_no_extractor_is_refused(what, match):
    with pytest.raises(TypeError, match=match):
        ArchitectureDisplay.from_estimator(what)
