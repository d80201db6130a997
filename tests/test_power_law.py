"""Power laws are found where there are any, and doubted where there are none."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, example, given, strategies as st

from sktransfer.evaluation.curves.power_law import PowerLaw, fit_power_law

SIZES = 4 * 2 ** np.arange(10)


def _fit(
    means: np.ndarray, errors: float | np.ndarray = 0.001, seed: int = 0
) -> tuple[PowerLaw, np.ndarray]:
    errors = np.broadcast_to(errors, np.shape(means)).astype(float)
    noise = np.random.default_rng(seed).normal(0, errors, (200, len(means)))
    return fit_power_law(SIZES[: len(means)], np.asarray(means), errors, means + noise)


@example(asymptote=0.99999, start=0.25, exponent=0.3515625)  # the ceiling holds resampled laws down
@given(
    asymptote=st.floats(0.6, 1.0),
    start=st.floats(0.05, 0.55),
    exponent=st.floats(0.35, 2.5),
)
def test_a_law_is_recovered(asymptote: float, start: float, exponent: float) -> None:
    scale = (asymptote - start) * SIZES[0] ** exponent
    means = asymptote - scale * SIZES**-exponent
    law, asymptotes = _fit(means, 1e-5)
    assert law.asymptote == pytest.approx(asymptote, abs=1e-4)
    assert law.exponent == pytest.approx(exponent, rel=1e-3)
    assert law.scale == pytest.approx(scale, rel=2e-3)
    np.testing.assert_allclose(law.predict(SIZES), means, atol=1e-4)
    assert law.doubt is None
    assert law.asymptote_interval[0] <= law.asymptote <= law.asymptote_interval[1]
    assert asymptotes.shape == (200,)


@given(asymptote=st.floats(0.7, 0.99), exponent=st.floats(0.4, 1.2), seed=st.integers(0, 10**6))
def test_a_law_never_leaves_what_a_score_can_be(
    asymptote: float, exponent: float, seed: int
) -> None:
    means = asymptote - 0.6 * (SIZES / 4.0) ** -exponent
    noisy = np.clip(means + np.random.default_rng(seed).normal(0, 0.05, len(SIZES)), 0, 1)
    assume(noisy[-1] > noisy[0])
    law, asymptotes = _fit(noisy, 0.05, seed)
    assert 0 <= law.asymptote <= 1
    assert law.scale >= 0
    assert (asymptotes <= 1).all()
    low, high = law.asymptote_interval
    assert 0 <= low <= high <= 1
    assert (np.diff(law.predict(SIZES)) >= 0).all()


def test_the_interval_holds_the_asymptote_as_often_as_it_says() -> None:
    means = 0.95 - 0.5 * (SIZES / 4.0) ** -0.8
    errors = 0.03 * (SIZES / 4.0) ** -0.3
    n_held = 0
    for seed in range(100):
        noisy = means + np.random.default_rng(1000 + seed).normal(0, errors)
        low, high = _fit(noisy, errors, seed)[0].asymptote_interval
        n_held += low <= 0.95 <= high
    assert n_held >= 88  # of 95; fewer have a chance of 0.3 %


def test_uncertain_means_count_less() -> None:
    means = 0.9 - 0.4 * (SIZES / 4.0) ** -0.8
    errors = np.full(len(SIZES), 0.001)
    means[0] += 0.1
    errors[0] = 0.2
    assert _fit(means, errors)[0].asymptote == pytest.approx(0.9, abs=0.002)


@pytest.mark.parametrize(
    ("means", "errors", "message"),
    [
        (np.full(10, 0.5), 0.01, "the curve does not rise beyond noise"),
        (np.linspace(0.9, 0.6, 10), 0.01, "the curve does not rise beyond noise"),
        (0.5 + 0.02 * np.random.default_rng(0).normal(size=10), 0.02, "does not rise beyond"),
        # A step is no power law.
        (
            np.repeat([0.5, 0.9], 5),
            0.005,
            r"a poor fit: the law misses the mean score by 0\.\d+ at (64|128) labels",
        ),
        # Equal gains with each doubling lead nowhere yet.
        (np.linspace(0.3, 0.6, 10), 0.005, "not determined: from 0.600 with all labels"),
        (np.linspace(0.3, 0.6, 4), 0.05, "not determined|does not rise"),
    ],
)
def test_what_is_no_law_or_leads_nowhere_is_doubted(
    means: np.ndarray, errors: float, message: str
) -> None:
    law, _ = _fit(means, errors)
    assert law.doubt is not None
    assert re.search(message, law.doubt)


def test_at_the_ceiling_the_interval_reaches_down_to_what_was_seen() -> None:
    means = 1 - 0.5 * (SIZES / 4.0) ** -1.0
    law, _ = _fit(means, 1e-6)
    assert law.asymptote == pytest.approx(1)
    assert law.asymptote_interval == pytest.approx([means[-1], 1.0], abs=1e-4)
    assert law.doubt is None
