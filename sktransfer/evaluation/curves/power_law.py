"""Power laws fitted to learning curves: asymptote, rate, and whether the data determine them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Sizes needed: a law of three numbers goes through any three points.
MIN_SIZES = 4
#: No score is better.
CEILING = 1.0

_MIN_EXPONENT, _MAX_EXPONENT = 0.01, 4.0
# Each grid lies between two neighbours of the best exponent of the one before.
_GRIDS = (64, 17, 17, 17)
# Of the measured rise: what a law may miss, and how far it may lead beyond what was measured.
_MISS, _REACH = 0.1, 0.25


@dataclass
class PowerLaw:
    """A score that approaches its asymptote as a power of the number of labels.

    With `n` labels it is ``asymptote - scale * n ** -exponent``.

    Attributes
    ----------
    asymptote : float
        The score with endlessly many labels, from 0 to 1.
    scale : float
        How far the law lies below it with one label.
    exponent : float
        What is missing shrinks by the factor ``2 ** -exponent`` with each doubling of labels.
    asymptote_interval : list of float
        Where 95 % of the asymptotes of resampled repeats lie.
    exponent_interval : list of float
        The same for the exponent.
    doubt : str or None
        Why the asymptote is unreliable; None if nothing speaks against it.
    """

    asymptote: float
    scale: float
    exponent: float
    asymptote_interval: list[float]
    exponent_interval: list[float]
    doubt: str | None

    def predict(self, n_labels: np.ndarray) -> np.ndarray:
        """Return the law's scores.

        Parameters
        ----------
        n_labels : ndarray
            Numbers of labels, from 1.

        Returns
        -------
        ndarray
            The score at each.
        """
        return self.asymptote - self.scale * np.asarray(n_labels, dtype=float) ** -self.exponent


def fit_power_law(
    sizes: np.ndarray, means: np.ndarray, errors: np.ndarray, resampled: np.ndarray
) -> tuple[PowerLaw, np.ndarray]:
    """Fit a power law to a learning curve, and again to each resampled curve.

    The law is fitted by least squares, weighted by the errors, with an asymptote of at most 1 and a
    curve that never falls. Resampled curves, of shape `(n_resampled, n_sizes)`, give the intervals;
    their asymptotes are returned too.
    """
    from scipy.optimize import curve_fit

    ratios = np.asarray(sizes, dtype=float) / sizes[0]
    curves = np.vstack([means, resampled])
    asymptotes, drops, exponents = _fit_on_grids(ratios, curves, errors)

    # The grids have found the right valley; now find its bottom.
    (asymptote, drop, exponent), _ = curve_fit(
        lambda ratio, asymptote, drop, exponent: asymptote - drop * ratio**-exponent,
        ratios,
        means,
        p0=(asymptotes[0], drops[0], exponents[0]),
        sigma=errors,
        bounds=((0.0, 0.0, _MIN_EXPONENT), (CEILING, np.inf, _MAX_EXPONENT)),
        x_scale=(0.1, 0.1, 0.1),
        max_nfev=2000,
    )
    asymptotes, exponents = asymptotes[1:], exponents[1:]
    low, high = np.quantile(asymptotes, (0.025, 0.975))
    if asymptote > CEILING - 1e-6:
        # Where the ceiling holds them, resampled laws agree without having seen anything. Never
        # falling, the curve ends no lower than where it was last seen.
        low, high = min(low, float(np.quantile(resampled[:, -1], 0.025))), CEILING
    asymptote = float(asymptote)
    law = PowerLaw(
        asymptote=asymptote,
        scale=float(drop * float(sizes[0]) ** exponent),
        exponent=float(exponent),
        # Limited by the ceiling, all resampled laws can lie on one side of the fitted one.
        asymptote_interval=[min(float(low), asymptote), max(float(high), asymptote)],
        exponent_interval=np.quantile(exponents, (0.025, 0.975)).tolist(),
        doubt=None,
    )
    law.doubt = _doubt(law, np.asarray(sizes), means, errors, resampled)
    return law, asymptotes


def _fit_on_grids(
    ratios: np.ndarray, curves: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all curves at once, on ever finer grids of exponents."""
    lows, highs = np.full((2, len(curves)), [[_MIN_EXPONENT], [_MAX_EXPONENT]])
    at = np.arange(len(curves))
    for n_exponents in _GRIDS:
        exponents = np.geomspace(lows, highs, n_exponents, axis=1)
        asymptotes, drops, misses = _fit_lines(ratios, curves, errors, exponents)
        best = np.argmin(misses, axis=1)
        lows = exponents[at, np.maximum(best - 1, 0)]
        highs = exponents[at, np.minimum(best + 1, n_exponents - 1)]
    return asymptotes[at, best], drops[at, best], exponents[at, best]


def _fit_lines(
    ratios: np.ndarray, curves: np.ndarray, errors: np.ndarray, exponents: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit each curve for each of its exponents, for which the law is a straight line."""
    weights = errors**-2 / np.sum(errors**-2)
    powers = ratios ** -exponents[..., None]  # (n_curves, n_exponents, n_sizes)
    power_mean = powers @ weights
    curve_mean = (curves @ weights)[:, None]
    weighted = (curves * weights)[..., None]
    centred = powers - power_mean[..., None]
    drop = np.maximum(-(centred @ weighted)[..., 0] / (centred**2 @ weights), 0.0)
    asymptote = curve_mean + drop * power_mean
    # Where that is above the ceiling, the line goes through the ceiling.
    held = (((CEILING - curves) * weights)[:, None] * powers).sum(axis=2) / (powers**2 @ weights)
    drop = np.where(asymptote > CEILING, np.maximum(held, 0.0), drop)
    asymptote = np.minimum(asymptote, CEILING)
    misses = (curves[:, None] - asymptote[..., None] + drop[..., None] * powers) ** 2 @ weights
    return asymptote, drop, misses


def _doubt(
    law: PowerLaw,
    sizes: np.ndarray,
    means: np.ndarray,
    errors: np.ndarray,
    resampled: np.ndarray,
) -> str | None:
    """Say why an asymptote is unreliable, if so."""
    if np.quantile(resampled[:, -1] - resampled[:, 0], 0.025) <= 0:
        return "the curve does not rise beyond noise"
    rise = means[-1] - means[0]
    misses = np.abs(means - law.predict(sizes))
    is_poor = misses > np.maximum(_MISS * rise, 2 * errors)
    if is_poor.any():
        worst = int(np.argmax(np.where(is_poor, misses, 0)))
        miss = f"{misses[worst]:.3f} at {sizes[worst]:,} labels"
        return f"a poor fit: the law misses the mean score by {miss}"
    low, high = law.asymptote_interval
    if max(law.asymptote - means[-1], (high - low) / 2) > _REACH * rise:
        return (
            f"not determined: from {means[-1]:.3f} with all labels the law may lead anywhere from "
            f"{low:.3f} to {high:.3f}"
            if high - low > 0.0005
            else "not determined: the law ends only at the highest possible score"
        )
    return None
