"""Colours and forms that drawings share: told apart by everybody, on light grounds and on dark."""

from __future__ import annotations

import matplotlib.style
import numpy as np
import pytest

from sktransfer.displays import _palette


def test_each_of_many_things_has_a_look_of_its_own():
    looks = [_palette.style(i) for i in range(_palette.N_STYLES)]
    assert len(set(looks)) == len(looks) == 42
    few = looks[: len(_palette.COLORS)]
    assert len({color for color, _ in few}) == len({marker for _, marker in few}) == len(few)


def lightness(color: str) -> float:
    return float(simulate(color, np.eye(3))[0])


def test_inks_follow_the_style_in_force():
    light = _palette.inks()
    assert (light.text, light.ground) == ("#000000", "#ffffff")
    with matplotlib.style.context("dark_background"):
        dark = _palette.inks()
    assert (dark.text, dark.ground) == ("#ffffff", "#000000")
    for ink in (light, dark):
        order = [lightness(color) for color in (ink.text, ink.muted, ink.faint, ink.ground)]
        assert sorted(order) in (order, order[::-1])
        # Readable on the ground, and hardly to be seen on it.
        assert abs(order[1] - order[3]) > 55 and abs(order[2] - order[3]) < 25


def simulate(color: str, matrix: np.ndarray) -> np.ndarray:
    """Return CIE Lab coordinates of a colour as a dichromat sees it."""
    parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = np.clip(matrix @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ seen / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, "A Physiologically-based Model for Simulation
# of Color Vision Deficiency", 2009, severity 1.
_PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]]  # fmt: skip
_DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                 [-0.011820, 0.042940, 0.968881]]  # fmt: skip


@pytest.mark.parametrize("matrix", [np.eye(3), _PROTANOPIA, _DEUTERANOPIA])
def test_colours_differ_to_those_who_see_two_primaries(matrix):
    seen = [simulate(color, np.asarray(matrix)) for color in _palette.COLORS]
    for i, a in enumerate(seen):
        for b in seen[:i]:
            assert np.linalg.norm(a - b) > 15  # some seven times what can just be told apart
    # The first two, which most pictures end with, differ in lightness as well.
    assert abs(seen[0][0] - seen[1][0]) > 15
