"""Intervals hold what they say, and slopes and labels are what one reads off a curve by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats
from sklearn.isotonic import isotonic_regression

from sktransfer.evaluation.curves.draws import choose_sizes, split
from sktransfer.evaluation.curves.estimates import (
    Design,
    estimate,
    first_part,
    labels_for,
    resample,
    slope_terms,
)
from sktransfer.evaluation.curves.judging import judge
from sktransfer.evaluation.curves.rows import CurveDraw, CurveRow
from sktransfer.evaluation.probing import check_labels


def _design(sizes: list[int], n_images: int, n_test: int, is_test_fixed: bool = False) -> Design:
    return Design(np.array(sizes), n_images, n_test, is_test_fixed)


def test_with_all_labels_the_interval_is_that_of_nadeau_and_bengio() -> None:
    # So little spread that all of it may come from the test images.
    scores = np.array([0.90, 0.91, 0.92, 0.90, 0.91])
    found = estimate([(1.0, scores, 75)], _design([10, 75], 100, 25))
    half = stats.t.ppf(0.975, 4) * scores.std(ddof=1) * np.sqrt(1 / 5 + 25 / 75)
    assert found.value == pytest.approx(scores.mean())
    assert found.high - found.value == pytest.approx(half)
    assert found.value - found.low == pytest.approx(half)


def test_few_labels_and_many_test_images_are_nearly_independent_draws() -> None:
    scores = np.array([0.5, 0.9, 0.6, 0.8, 0.7])
    found = estimate([(1.0, scores, 10)], _design([10, 6000], 8000, 2000))
    half = stats.t.ppf(0.975, 4) * scores.std(ddof=1) / np.sqrt(5)
    assert found.high - found.value == pytest.approx(half, rel=0.01)
    assert found.high - found.value > half


def test_a_fixed_test_part_leaves_the_draws_of_labels_alone() -> None:
    scores = np.array([0.5, 0.9, 0.6])
    found = estimate([(1.0, scores, 75)], _design([10, 75], 100, 25, is_test_fixed=True))
    half = stats.t.ppf(0.975, 2) * scores.std(ddof=1) / np.sqrt(3)
    assert found.high - found.value == pytest.approx(half)


def test_scores_beyond_shares_are_taken_with_the_larger_overlap() -> None:
    scores = np.array([-0.5, -0.9, -0.6])
    found = estimate([(1.0, scores, 75)], _design([10, 75], 100, 25))
    half = stats.t.ppf(0.975, 2) * scores.std(ddof=1) * np.sqrt(1 / 3 + 0.75 / 0.25)
    assert found.high - found.value == pytest.approx(half)


def test_equal_scores_are_luck_and_no_certainty() -> None:
    for score, likely in ((0.9, 90.5 / 101), (1.0, 100.5 / 101)):
        found = estimate([(1.0, np.full(4, score), 75)], _design([10, 75], 100, 25))
        variance = likely * (1 - likely) / 25
        half = stats.t.ppf(0.975, 3) * np.sqrt(variance * (1 / 4 + 25 / 75))
        assert found.value == score
        assert found.high - found.value == pytest.approx(half)
    drawn = resample(np.ones((1, 2, 4)), _design([10, 75], 100, 25), 0)
    assert drawn.std() > 0.01
    # Other draws of all labels there are none, on the same test images.
    fixed = estimate([(1.0, np.ones(4), 75)], _design([10, 75], 100, 25, is_test_fixed=True))
    assert (fixed.low, fixed.high) == (1.0, 1.0)


def test_intervals_hold_the_mean_of_new_images_as_often_as_they_say() -> None:
    """A classifier of two overlapping classes; its true mean score is found on endless images."""
    n_images, n_test, n_repeats, sizes = 80, 20, 8, [4, 16, 60]
    design = _design(sizes, n_images, n_test)

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(n) % 2
        return rng.normal(y[:, None] * [1.2, 0.6], 1.0), y

    def score(X: np.ndarray, y: np.ndarray, train: np.ndarray, tested: np.ndarray) -> float:
        centres = [X[train][y[train] == label].mean(axis=0) for label in (0, 1)]
        distances = [((X[tested] - centre) ** 2).sum(axis=1) for centre in centres]
        return float(np.mean((distances[1] < distances[0]) == y[tested]))

    rng = np.random.default_rng(0)
    truth = []
    for n in sizes:
        scores = []
        for _ in range(400):
            X, y = draw(rng, n + 2000)
            scores.append(score(X, y, np.arange(n), np.arange(n, n + 2000)))
        truth.append(np.mean(scores))
    n_held, n_pools = np.zeros(3), 200
    for seed in range(n_pools):
        X, y = draw(rng, n_images)
        labels = check_labels(y, n_images, who="")
        splits = split(labels, 0.25, n_repeats, np.random.RandomState(seed), who="")
        for i, n in enumerate(sizes):
            scores = [score(X, y, order[:n], tested) for order, tested in splits]
            found = estimate([(1.0, np.array(scores), n)], design)
            n_held[i] += found.low <= truth[i] <= found.high
    # Of 95 %; the correction is an approximation, meant to err towards too wide.
    assert (n_held >= 0.93 * n_pools).all(), n_held
    # And not endless: without it, far fewer would hold.
    assert (n_held[:2] < n_pools).all(), n_held


def test_slope_is_the_gain_per_doubling_up_to_half_of_the_doublings() -> None:
    sizes = np.array([4, 8, 16, 32, 64])
    assert first_part(sizes) == 2
    scores = np.array([[0.5, 0.6], [0.6, 0.7], [0.8, 0.8], [0.9, 0.9], [0.9, 1.0]])
    terms = slope_terms(scores, sizes)
    found = sum(weight * values for weight, values, _ in terms)
    np.testing.assert_allclose(found, [(0.8 - 0.5) / 2, (0.8 - 0.6) / 2])
    assert estimate(terms, _design(sizes.tolist(), 100, 36)).value == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("sizes", "end"), [([4, 8], 1), ([10, 1000], 1), ([4, 100, 128], 1), ([2, 4, 8, 90], 2)]
)
def test_the_first_part_has_two_sizes_at_least(sizes: list[int], end: int) -> None:
    assert first_part(sizes) == end


def test_labels_for_a_score_are_read_between_sizes_on_a_logarithmic_axis() -> None:
    sizes = np.array([4, 16, 64])
    curve = np.array([0.5, 0.7, 0.8])
    scores = np.array([0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.81])
    expected = [4, 4, 8, 16, 32, 64, np.inf]
    np.testing.assert_allclose(labels_for(scores, sizes, curve), expected)


def test_falling_curves_are_made_to_rise_before_they_are_read() -> None:
    risen = isotonic_regression(np.array([0.5, 0.8, 0.6, 0.9]))
    np.testing.assert_allclose(risen, [0.5, 0.7, 0.7, 0.9])
    # A flat part is reached where it begins.
    found = labels_for(np.array([0.7]), np.array([4, 8, 16, 32]), risen)
    np.testing.assert_allclose(found, [8])


@given(
    scores=st.lists(st.floats(0, 1), min_size=2, max_size=8),
    wanted=st.floats(0, 1),
)
def test_a_curve_reaches_a_score_with_the_labels_found_for_it(
    scores: list[float], wanted: float
) -> None:
    sizes = 4 * 2 ** np.arange(len(scores))
    rising = isotonic_regression(np.array(scores))
    (n,) = labels_for(np.array([wanted]), sizes, rising)
    if np.isinf(n):
        assert rising[-1] < wanted
    else:
        assert sizes[0] <= n <= sizes[-1]
        assert np.interp(np.log2(n), np.log2(sizes), rising) >= wanted - 1e-6


def test_resampled_means_spread_as_the_intervals_do() -> None:
    rng = np.random.default_rng(0)
    curves = rng.uniform(0.5, 0.9, (2, 3, 10))
    design = _design([4, 16, 60], 80, 20)
    drawn = resample(curves, design, 0)
    assert drawn.shape == (2, 500, 3)
    for curve, some in zip(curves, drawn, strict=True):
        for i, n in enumerate(design.sizes):
            found = estimate([(1.0, curve[i], int(n))], design)
            half = (np.quantile(some[:, i], 0.975) - np.quantile(some[:, i], 0.025)) / 2
            assert half == pytest.approx((found.high - found.low) / 2, rel=0.15)
    np.testing.assert_array_equal(drawn, resample(curves, design, 0))


def _row(name: str, kind: str, means: list[float], spread: float = 0.002) -> CurveRow:
    deviations = spread * np.array([-1, 0, 1, 0, 0.5, -0.5])
    return CurveRow(name, kind, scores=[(mean + deviations).tolist() for mean in means])


def test_savings_against_computation_by_hand() -> None:
    raw = _row("raw", "raw", [0.5, 0.6, 0.7, 0.8, 0.9])
    worse = _row("worse raw", "raw", [0.4, 0.5, 0.6, 0.7, 0.8])
    random = _row("random", "control", [0.45, 0.55, 0.65, 0.75, 0.85])
    vgg = _row("vgg", "transfer", [0.65, 0.75, 0.85, 0.9, 0.95])
    vgg.control = "random"
    design = _design([4, 8, 16, 32, 64], 4000, 1000)
    judged = judge([raw, worse, random, vgg], design, 0)
    criteria, savings = judged.criteria, judged.savings
    found = {(s.name, s.than, s.n_labels): s for s in savings}
    assert {(s.name, s.than) for s in savings} == {
        ("random", "raw"),
        ("vgg", "raw"),
        ("vgg", "random"),
    }
    assert [found["vgg", "raw", n].needed for n in (4, 8)] == [4, 4]
    assert found["vgg", "raw", 16].needed == pytest.approx(2**2.5)
    assert found["vgg", "raw", 32].needed == pytest.approx(2**3.5)
    assert found["vgg", "raw", 64].needed == pytest.approx(32)
    assert found["random", "raw", 16].needed == pytest.approx(2**4.5)
    assert found["random", "raw", 64].needed is None
    for saving in savings:
        assert saving.low is None or saving.needed is None or saving.low <= saving.needed
        assert saving.high is None or saving.needed is None or saving.needed <= saving.high
    start, slope, everything, _ = criteria
    assert (start.best, start.value) == ("vgg", pytest.approx(0.65, abs=1e-9))
    assert slope.value == pytest.approx(0.1)
    assert everything.best == "vgg"
    assert [lead.over for lead in everything.leads] == ["raw", "worse raw", "random"]
    assert everything.leads[0].difference.value == pytest.approx(0.05)
    # The repeats of all rows go up and down together: the difference is certain.
    assert not everything.leads[0].is_noise


def test_what_is_missing_shrinks_by_the_same_part_with_each_doubling() -> None:
    row = _row("raw", "raw", [0.6, 0.8, 0.9, 0.95, 0.975], spread=1e-6)
    judge([row], _design([4, 8, 16, 32, 64], 100, 36), 0)
    assert row.error_reduction is not None
    assert row.error_reduction.value == pytest.approx(0.5, abs=1e-4)
    assert row.error_reduction.low <= row.error_reduction.value <= row.error_reduction.high


def test_differences_are_taken_repeat_by_repeat() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0.8, 0.1, (4, 8))
    one = CurveRow("one", "raw", scores=common.tolist())
    two = CurveRow("two", "transfer", scores=(common + rng.normal(0.01, 0.001, (4, 8))).tolist())
    start = judge([one, two], _design([4, 8, 16, 32], 4000, 2000), 0).criteria[0]
    assert start.best == "two"
    assert not start.leads[0].is_noise
    assert one.means[0].high > two.means[0].low  # though the intervals overlap


def test_a_lead_that_chance_may_give_is_called_noise() -> None:
    rng = np.random.default_rng(1)
    rows = [
        CurveRow(name, kind, scores=np.clip(rng.normal(0.8, 0.1, (4, 8)), 0, 1).tolist())
        for name, kind in (("one", "raw"), ("two", "transfer"))
    ]
    criteria = judge(rows, _design([4, 8, 16, 32], 4000, 2000), 0).criteria
    assert all(lead.is_noise for criterion in criteria for lead in criterion.leads)


def test_leads_of_all_criteria_are_one_family() -> None:
    """Of equal rows, some lead by some criterion is called real in at most one of 20 runs."""
    # On a fixed test set repeats are independent, so that the tests have just the size they say.
    design = _design([4, 8, 16], 4000, 1000, is_test_fixed=True)
    rng = np.random.default_rng(0)
    n_alone, n_together, n_runs = 0, 0, 100
    for seed in range(n_runs):
        scores = rng.normal([[0.6], [0.7], [0.78]], 0.03, (4, 3, 10))
        if not _leads_by_itself(scores, design):
            continue
        n_alone += 1
        rows = [CurveRow(f"row {i}", "raw", scores=each.tolist()) for i, each in enumerate(scores)]
        judged = judge(rows, design, seed)
        leads = [lead for criterion in judged.criteria for lead in criterion.leads]
        n_together += any(not lead.is_noise for lead in leads)
        assert judged.n_comparisons == 18  # six pairs by start, slope and all labels
    assert n_alone > 0.08 * n_runs
    assert n_together <= 0.05 * n_runs


def _leads_by_itself(scores: np.ndarray, design: Design) -> bool:
    """Tell whether a pair differs by a criterion that counts its own six comparisons only."""
    for one, other in itertools.combinations(scores, 2):
        difference = one - other
        slope = slope_terms(difference, design.sizes)
        for terms in ([(1.0, difference[0], 4)], slope, [(1.0, difference[2], 16)]):
            found = estimate(terms, design, n_comparisons=6)
            if not found.low <= 0 <= found.high:
                return True
    return False


def test_a_lead_of_many_criteria_needs_more_than_a_lead_by_one() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0.8, 0.02, (4, 8))
    other = common + rng.normal(0, 0.002, (4, 8))
    other[3] += 0.004
    both = {"one": common, "two": other}
    rows = [CurveRow(name, "raw", scores=scores.tolist()) for name, scores in both.items()]
    judged = judge(rows, _design([4, 8, 16, 32], 4000, 1000), 0)
    everything = judged.criteria[2]
    (lead,) = everything.leads
    terms = [(1.0, other[3], 32), (-1.0, common[3], 32)]
    alone = estimate(terms, _design([4, 8, 16, 32], 4000, 1000))
    assert lead.difference.value == pytest.approx(alone.value)
    assert lead.difference.low < alone.low
    assert judged.n_comparisons >= 3


def test_the_spread_of_several_seeds_counts() -> None:
    """The same mean scores of three seeds: alike, or a lucky and an unlucky one among them."""
    rng = np.random.default_rng(0)
    design = _design([4, 8, 16, 32], 4000, 1000)
    noise = rng.normal(0, 0.01, (3, 4, 10))
    noise -= noise.mean(axis=0)
    base = np.array([0.5, 0.6, 0.7, 0.8])[:, None] + rng.normal(0, 0.005, (4, 10))
    found = []
    for luck in (0.0, 0.05):
        seeds = base + noise + luck * np.array([-1.0, 0.0, 1.0])[:, None, None]
        control = CurveRow("control", "control", scores=seeds.mean(axis=0).tolist())
        control.drawn = [CurveDraw(each.tolist()) for each in seeds]
        once = CurveRow("once", "control", scores=seeds.mean(axis=0).tolist())
        raw = CurveRow("raw", "raw", scores=(base - 0.03).tolist())
        judged = judge([raw, control], design, 0)
        lead = judged.criteria[2].leads[0]
        assert judged.criteria[2].best == "control"
        judge([raw, once], design, 0)
        found.append((control, once, lead))
    (alike, alike_once, sure), (spread, once, unsure) = found

    def half(row: CurveRow) -> float:
        return row.means[2].high - row.means[2].low

    assert half(alike) == pytest.approx(half(alike_once), rel=0.15)
    assert half(spread) > 3 * half(once)
    assert spread.means[2].value == pytest.approx(once.means[2].value)
    assert not sure.is_noise
    assert unsure.is_noise
    assert unsure.difference.value == pytest.approx(sure.difference.value)


def test_seeds_count_on_a_fixed_test_set_with_all_labels() -> None:
    """There is one draw of all labels, so that nothing but the seed varies."""
    seeds = np.array([[0.90] * 4, [0.92] * 4, [0.94] * 4])
    design = _design([10, 75], 100, 25, is_test_fixed=True)
    found = estimate([(1.0, seeds, 75)], design)
    half = stats.t.ppf(0.975, 2) * 0.02 / np.sqrt(3)
    assert found.value == pytest.approx(0.92)
    assert found.high - found.value == pytest.approx(half)


@pytest.mark.parametrize(
    ("sizes", "shift", "reason"),
    [
        ([4, 8, 16], 0.0, "it needs at least 4 numbers of labels"),
        ([4, 8, 16, 32], -1.0, "it is for scores from 0 to 1"),
    ],
)
def test_no_law_without_what_it_needs(sizes: list[int], shift: float, reason: str) -> None:
    means = [0.5 + 0.1 * i + shift for i in range(len(sizes))]
    row = _row("raw", "raw", means)
    criteria = judge([row], _design(sizes, 100, 36), 0).criteria
    assert row.law is None
    assert row.doubt == reason
    assert criteria[3].best is None
    assert criteria[3].left_out == {"raw": reason}


@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_beginning_of_a_draw_is_stratified(
    counts: list[int], share: float, seed: int
) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    labels = check_labels(y, len(y), who="")
    splits = split(labels, share, 3, np.random.RandomState(seed), who="")
    assert len({len(tested) for _, tested in splits}) == 1
    for order, tested in splits:
        # Every image once, and each class on both sides.
        assert sorted([*order, *tested]) == list(range(len(y)))
        n_tested = np.bincount(y[tested], minlength=len(counts))
        assert (n_tested >= 1).all()
        assert (np.abs(n_tested - share * np.array(counts)) <= 1).all()
        n_train = np.array(counts) - n_tested
        for n in range(len(counts), len(order) + 1):
            drawn = np.bincount(y[order[:n]], minlength=len(counts))
            assert (drawn >= 1).all()
            # Others may have waited for the first of each class.
            assert (np.abs(drawn - n * n_train / n_train.sum()) <= len(counts)).all()


def test_even_classes_are_drawn_evenly() -> None:
    labels = check_labels(np.arange(80) % 4, 80, who="")
    for order, _ in split(labels, 0.25, 3, np.random.RandomState(0), who=""):
        for n in range(4, 61, 4):
            assert np.bincount(labels.y[order[:n]]).tolist() == [n // 4] * 4


@pytest.mark.parametrize(
    ("n_train", "expected"),
    [(64, [4, 8, 16, 32, 64]), (88, [4, 8, 16, 32, 88]), (6150, [4 * 2**i for i in range(11)])],
)
def test_auto_sizes_double_from_two_of_each_class_to_all(n_train: int, expected: list[int]) -> None:
    labels = check_labels(np.arange(8200) % 2, 8200, who="")
    found = choose_sizes("auto", labels, n_train, who="").tolist()
    assert found[: len(expected) - 1] == expected[:-1]
    assert found[-1] == n_train
    assert found[-1] / found[-2] > 1.41
