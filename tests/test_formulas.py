import json
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sktransfer import make_formula_images
from sktransfer.training.formulas import FormulaImages
from sktransfer.training.formulas.classes import FAMILIES
from sktransfer.training.formulas.painting import draw_colours, draw_palette, shade, take_colours
from sktransfer.training.formulas.textures import Cells, Grating, Layers, Leaves


def draw(formula, label, number=0, size=32):
    return formula(label, np.random.default_rng([7, label, number]), size)


@pytest.mark.parametrize("size", [32, 48, 65])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_pictures(family, size):
    formula = FormulaImages(3, families=[family])
    for label in formula.classes_:
        image = draw(formula, label, size=size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8


@pytest.mark.parametrize("family", FAMILIES)
def test_few_pictures_are_empty(family):
    # An even picture says nothing about its class. Noise alone has a standard deviation up to 20.
    formula = FormulaImages(20, families=[family], seed=5)
    images = [draw(formula, label, number) for label in range(20) for number in range(5)]
    assert np.mean([image.astype(float).std() < 4 for image in images]) < 0.1


def test_there_are_at_least_six_families_and_the_default_has_all():
    assert len(FAMILIES) >= 6
    assert set(FormulaImages(25).families_) == set(FAMILIES)
    assert FormulaImages(50).families_.count("strokes") == 2 * FAMILIES["strokes"]


def test_the_same_numbers_give_the_same_picture_and_others_another():
    first, second = FormulaImages(20), FormulaImages(20)
    for label in range(20):
        assert_array_equal(draw(first, label), draw(second, label))
        assert not np.array_equal(draw(first, label), draw(first, label, number=1))
        assert not np.array_equal(draw(first, label), draw(FormulaImages(20, seed=1), label))


def test_pictures_depend_on_nothing_drawn_before():
    formula = FormulaImages(20)
    alone = draw(FormulaImages(20), 13)
    for label in range(20):
        draw(formula, label, size=48)
    assert_array_equal(draw(formula, 13), alone)


def test_more_classes_leave_the_first_ones_as_they_are():
    few, many = FormulaImages(10), FormulaImages(50)
    assert many.families_[:10] == few.families_
    for label in range(10):
        assert_array_equal(draw(few, label), draw(many, label))


def test_global_random_numbers_are_neither_used_nor_changed():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_formula_images(6, random_state=0)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_formula_survives_pickling_and_says_what_it_is():
    formula = FormulaImages(12, families=["strokes", "cells"], seed=3)
    again = pickle.loads(pickle.dumps(formula))
    assert_array_equal(draw(again, 5), draw(formula, 5))
    assert json.loads(json.dumps(formula.describe())) == {
        "formula": "sktransfer.FormulaImages",
        "format": 2,
        "n_classes": 12,
        "families": ["strokes", "cells"],
        "seed": 3,
    }
    assert repr(formula) == "FormulaImages(n_classes=12, families=['strokes', 'cells'], seed=3)"


def test_grey_and_coloured_pictures_both_occur():
    images = make_formula_images(60, n_classes=20, random_state=0).images.astype(int)
    # Noise is drawn for each channel by itself: pictures without it tell.
    spread = np.median(np.ptp(images, axis=3), axis=(1, 2))
    assert (spread == 0).any()
    assert (spread > 30).any()


def test_classes_can_be_told_apart_by_simple_means():
    # By the nearest mean of spectra, twice as often as by chance, which is 1 in 6.
    data = make_formula_images(240, n_classes=6, families=["gratings", "fields"], random_state=0)
    grey = data.images.mean(axis=3)
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) / grey.std(axis=(1, 2), keepdims=True)
    spectra = np.log1p(np.abs(np.fft.rfft2(grey))).reshape(240, -1)
    half = np.arange(240) < 120
    means = np.stack([spectra[half & (data.target == label)].mean(axis=0) for label in range(6)])
    distances = ((spectra[~half, None] - means) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == data.target[~half]).mean() > 2 / 6


def test_data_set_is_balanced_and_in_scikit_learns_form():
    data = make_formula_images(25, n_classes=5, size=40, random_state=1)
    assert data.images.shape == (25, 40, 40, 3)
    assert_array_equal(np.bincount(data.target), [5] * 5)
    assert len(data.families) == 5
    images, target = make_formula_images(25, n_classes=5, size=40, random_state=1, return_X_y=True)
    assert_array_equal(images, data.images)
    assert_array_equal(target, data.target)
    other = make_formula_images(25, n_classes=5, size=40, random_state=2)
    assert not np.array_equal(other.images, images)


def test_colours_keep_their_contrast():
    luma = np.array([0.299, 0.587, 0.114])
    for seed in range(50):
        colours = draw_colours(np.random.default_rng(seed), 2, contrast=0.4)
        assert abs((colours[0] - colours[1]) @ luma) > 0.399


def test_palettes_are_few_and_classes_share_them():
    palettes = [draw_palette(np.random.default_rng(seed)) for seed in range(500)]
    own = [palette for palette in palettes if palette is not None]
    assert 0.5 < len(own) / len(palettes) < 0.7
    kinds = {palette.tobytes() for palette in own}
    assert 10 < len(kinds) < 40
    luma = np.array([0.299, 0.587, 0.114])
    for palette in own:
        assert palette.min() >= 0
        assert palette.max() <= 1
        assert abs((palette[0] - palette[1]) @ luma) > 0.15  # a shape stands out from its ground


def test_colours_of_a_class_stay_near_its_palette_and_others_do_not():
    palette = np.array([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [0.5, 0.1, 0.6], [0.2, 0.6, 0.2]])
    for seed in range(20):
        colours = take_colours(palette, np.random.default_rng(seed), 3)
        assert colours.shape == (3, 3)
        assert np.abs(colours - palette[:3]).max() < 0.3
    first, second = (take_colours(None, np.random.default_rng(seed), 3) for seed in (0, 1))
    assert np.abs(first - second).max() > 0.1


def test_mean_colour_alone_narrows_a_class_down():
    # Three times as often right as by chance, which is 1 in 20.
    data = make_formula_images(600, n_classes=20, families=["fields"], random_state=0)
    colours = data.images.mean(axis=(1, 2))
    half = np.arange(600) < 300
    means = np.stack([colours[half & (data.target == label)].mean(axis=0) for label in range(20)])
    distances = ((colours[~half, None] - means) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == data.target[~half]).mean() > 3 / 20


def test_bricks_are_wider_than_high():
    bricks = Cells(across=4, down=12, jitter=0, form="joints", stagger=0.5, bend=0)
    field = bricks.field(np.random.default_rng(0), 96)
    # Rows of joints come three times as often as those between two bricks of a row.
    down, across = (np.abs(np.diff(field, axis=axis)).sum() for axis in (0, 1))
    assert down > 1.5 * across


def test_a_bend_moves_lines_and_its_absence_does_not():
    waves = (("sine", 4.0, 0.0),)
    straight = Grating(waves, "mean", bend=0.0).field(np.random.default_rng(3), 64)
    bent = Grating(waves, "mean", bend=0.1).field(np.random.default_rng(3), 64)
    assert np.abs(straight - bent).max() > 0.3


def test_leaves_of_one_direction_make_grass():
    def energies(spread):
        grass = Leaves(4, 0.04, 2.5, 7.0, angle=0.0, spread=spread)
        field = grass.field(np.random.default_rng(0), 96)
        return [np.abs(np.diff(field, axis=axis)).sum() for axis in (0, 1)]

    down, along = energies(0.05)
    assert down > 2 * along
    down, along = energies(30.0)
    assert 0.7 < down / along < 1.4


@pytest.mark.parametrize("is_mosaic", [False, True])
def test_layers_hold_both_textures(is_mosaic):
    first, second = Grating((("sine", 2.0, 0.0),), "mean", 0.0), Cells(3, 3, 0, "domes", 0, 0)
    mask = Grating((("square", 0.0, 1.0),), "mean", 0.0) if is_mosaic else None
    rng = np.random.default_rng(0)
    field = Layers(first, second, mask, share=0.5).field(rng, 48)
    rng = np.random.default_rng(0)
    one, other = first.field(rng, 48), second.field(rng, 48)
    amount = mask.field(rng, 48) if is_mosaic else 0.5
    np.testing.assert_allclose(field, (1 - amount) * one + amount * other, atol=1e-6)
    assert field.dtype == np.float32


def test_an_even_surface_is_lit_evenly_and_a_slope_by_its_side():
    even = shade(np.full((16, 16), 0.5, np.float32), np.random.default_rng(0), relief=0.2)
    assert np.ptp(even) == 0
    slope = np.tile(np.abs(np.linspace(-1, 1, 17, dtype=np.float32)), (17, 1))
    lit = shade(slope, np.random.default_rng(0), relief=0.2)
    assert not np.isclose(lit[8, 3], lit[8, 13])


@pytest.mark.parametrize("n_classes", [1, 0, 2.0, True, "10"])
def test_number_of_classes_is_checked(n_classes):
    with pytest.raises(ValueError, match="'n_classes' parameter of FormulaImages must be a whole"):
        FormulaImages(n_classes)


@pytest.mark.parametrize("families", [["stroke"], [], "strokes"])
def test_families_are_checked(families):
    with pytest.raises(ValueError, match="'families' parameter of FormulaImages must be a list"):
        FormulaImages(families=families)


def test_parameters_of_the_data_set_are_checked():
    with pytest.raises(ValueError, match="'size' parameter of make_formula_images"):
        make_formula_images(size=4)
    with pytest.raises(ValueError, match="'n_samples' parameter of make_formula_images"):
        make_formula_images(0)
