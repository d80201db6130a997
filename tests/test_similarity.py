"""Linear CKA against its definition, and where the usual estimate goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from sktransfer.evaluation.sweep.similarity import centred_gram, linear_cka


def _cka(*features: np.ndarray) -> np.ndarray:
    return linear_cka([centred_gram(each) for each in features])


def test_gram_matrices_give_what_the_features_give() -> None:
    """For many images and few features, the ratio of covariances that defines linear CKA."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 6))
    y = np.column_stack([x[:, :3] + rng.normal(size=(4000, 3)), rng.normal(size=(4000, 2))])
    x0, y0 = x - x.mean(axis=0), y - y.mean(axis=0)

    def norm(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(a.T @ b) ** 2)

    expected = norm(x0, y0) / np.sqrt(norm(x0, x0) * norm(y0, y0))
    cka = _cka(x, y)
    assert cka[0, 1] == pytest.approx(expected, abs=2e-3)
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(cka, cka.T)
    np.testing.assert_allclose(np.diag(cka), 1)


def test_the_estimate_is_that_of_sums_over_different_images() -> None:
    """Song et al.'s statistic: sums over pairs, triples and quadruples of different images."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 4))
    n = len(x)

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        k, m = a @ a.T, b @ b.T
        pairs = triples = quadruples = 0.0
        for i in range(n):
            for j in set(range(n)) - {i}:
                pairs += k[i, j] * m[i, j]
                for q in set(range(n)) - {i, j}:
                    triples += k[i, j] * m[i, q]
                    for r in set(range(n)) - {i, j, q}:
                        quadruples += k[i, j] * m[q, r]
        two = n * (n - 1)
        three = two * (n - 2)
        return pairs / two - 2 * triples / three + quadruples / (three * (n - 3))

    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert _cka(x, y)[0, 1] == pytest.approx(expected)


def test_rotation_scale_and_shift_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 8)).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    assert _cka(x, 3 * x @ rotation + 5)[0, 1] == pytest.approx(1, abs=1e-5)


def test_wide_noise_has_nothing_in_common() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 100, 5000)).astype(np.float32)
    assert abs(_cka(x, y)[0, 1]) < 0.05
    # As the diagonals, left in, would have it:
    grams = [(z - z.mean(axis=0)) @ (z - z.mean(axis=0)).T for z in (x, y)]
    assert linear_cka(grams)[0, 1] > 0.9


def test_what_is_the_same_for_all_images_is_like_nothing() -> None:
    cka = _cka(np.ones((10, 3), dtype=np.float32), np.random.default_rng(0).normal(size=(10, 3)))
    assert np.isnan(cka[0]).all()
    assert cka[1, 1] == pytest.approx(1)
