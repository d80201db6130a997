"""Traces of damage in the pixels of one image, which a small copy would not show."""

from __future__ import annotations

import numpy as np

# Side of the blocks in which JPEG drops detail, in pixels, and how many of them are looked at in
# either direction.
_BLOCK, _MOST_BLOCKS = 8, 64
# Amplitude, of 255, from which a wave of a block's cosine transform counts.
_WAVE = 20.0
# Difference of neighbouring values, of 255, that is an edge, and that only wrapping makes so often.
_EDGE, _WRAP = 128.0, 210.0
# Values within so many of 255 are the same to the eye.
_SAME = 2.0


def measure_traces(image: np.ndarray, opaque: np.ndarray | None) -> dict[str, np.ndarray | float]:
    """Measure an image.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_colours)
        What the network gets, from black 0 to white 255, laid over white where it is transparent.
    opaque : ndarray of shape (height, width, n_colours) or None
        The same if nothing were transparent; None of an image without alpha.

    Returns
    -------
    dict
        ``frame``, means and deviations of the outermost pixels on each side; ``corners``, the mean
        of each corner; ``light``, mean and deviation in grey; ``flat_below``, the share of the rows
        from the bottom up that are one and the same value, and ``ground``, the share of the pixels
        above them that are this value; ``waves``, how many waves the cosine transforms of
        blocks hold, of JPEG's blocks and of those that lie across them; ``wraps`` and ``edges``,
        pairs of neighbours that differ by most or by about two thirds of the range, black and white
        themselves left out; ``shown``, the part of the contrast of colours that transparency
        leaves.
    """
    grey = image.mean(axis=2, dtype=np.float64)
    height, width = grey.shape
    corner = max(1, min(height, width) // 8)
    sides = [grey[0], grey[-1], grey[:, 0], grey[:, -1]]
    corners = [grey[:corner], grey[-corner:]]
    wraps, edges = _count_jumps(image)
    below, ground = _find_flat(image)
    return {
        "frame": np.array([[side.mean(), side.std()] for side in sides]).ravel(),
        "corners": np.array(
            [part.mean() for rows in corners for part in (rows[:, :corner], rows[:, -corner:])]
        ),
        "light": np.array([grey.mean(), grey.std()]),
        "flat_below": below,
        "ground": ground,
        "waves": np.array([_count_waves(grey, start) for start in (0, _BLOCK // 2)]),
        "wraps": wraps,
        "edges": edges,
        "shown": _share_shown(image, opaque),
    }


def _find_flat(image: np.ndarray) -> tuple[float, float]:
    """Return which part at the bottom holds one value only, and how much of the rest does."""
    last = image[-1, 0]
    same = _SAME * float(np.ptp(image)) / 255  # dim images differ less anywhere
    is_same = (np.abs(image - last) <= same).all(axis=2)
    is_flat = is_same.all(axis=1)
    if is_flat.all():
        return 1.0, 1.0
    n_flat = int(np.argmin(is_flat[::-1]))
    return n_flat / len(is_flat), float(is_same[: len(is_flat) - n_flat].mean())


def _count_waves(grey: np.ndarray, start: int) -> float:
    """Count what the cosine transforms of blocks hold besides their means, in the mean.

    JPEG keeps few waves of each of its own blocks; blocks across their borders show steps.
    """
    from scipy.fft import dctn

    n_down, n_across = (min((side - _BLOCK // 2) // _BLOCK, _MOST_BLOCKS) for side in grey.shape)
    if n_down < 1 or n_across < 1:
        return 0.0
    part = grey[start : start + _BLOCK * n_down, start : start + _BLOCK * n_across]
    blocks = part.reshape(n_down, _BLOCK, n_across, _BLOCK)
    waves = np.abs(dctn(blocks, axes=(1, 3), norm="ortho")) >= _WAVE
    waves[:, 0, :, 0] = False
    return float(waves.sum() / (n_down * n_across))


def _count_jumps(image: np.ndarray) -> tuple[float, float]:
    """Count neighbours far apart, of which neither is all black or all white.

    Whatever is drawn or scanned passes from dark to light through what lies between, or goes all
    the way. Where a sum left eight bits, just below white lies next to just above black.
    """
    n_wraps = n_edges = 0
    for values in (image, image.transpose(1, 0, 2)):
        one, other = values[1:], values[:-1]
        is_between = (np.minimum(one, other) > 0) & (np.maximum(one, other) < 255)
        steps = np.abs(one - other)[is_between]
        n_wraps += int((steps > _WRAP).sum())
        n_edges += int(((steps > _EDGE) & (steps <= _WRAP)).sum())
    n_pairs = max(1, 2 * image.size)
    return n_wraps / n_pairs, n_edges / n_pairs


def _share_shown(image: np.ndarray, opaque: np.ndarray | None) -> float:
    if opaque is None:
        return 1.0
    contrast = float(opaque.std())
    return float(image.std()) / contrast if contrast > _SAME else 1.0
