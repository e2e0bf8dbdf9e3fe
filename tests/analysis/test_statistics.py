import numpy as np
import pytest
from scipy import special
from scipy import stats as scipy_stats

from sparse_search.analysis import stats
from sparse_search.analysis.layout import fit_two_way, within_sd


def test_t_interval_by_hand():
    mean, low, high = stats.t_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert np.isnan(stats.t_interval([1.0, np.nan])[1:]).all()


def test_holm_by_hand():
    adjusted = stats.holm([0.01, 0.04, 0.03, np.nan])
    assert adjusted[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(adjusted[3])


def test_two_way_fit_by_hand():
    fit = fit_two_way(np.array([[1.0, 2.0], [3.0, 6.0]]))
    assert fit.structure == pytest.approx([1.5, 4.5])
    assert fit.seed == pytest.approx([-1, 1])
    # Residuals are all 1/2, one degree of freedom.
    assert (fit.error, fit.dof) == (pytest.approx(1.0), 1)
    assert fit.replicates == pytest.approx(2)
    assert fit.per_seed == pytest.approx(2)
    assert fit.mean_factor == pytest.approx(1 / 4)
    # F = 2 * var([1.5, 4.5]) / 1 = 9 on (1, 1).
    assert fit.p == pytest.approx(scipy_stats.f.sf(9, 1, 1))
    assert within_sd(np.array([[1.0, 2.0], [3.0, 6.0]])) == pytest.approx(2.5**0.5)


def test_two_way_fit_with_missing_cells_is_least_squares():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(6, 4)) + np.arange(6)[:, None]
    y[[0, 2, 5], [1, 3, 0]] = np.nan
    fit = fit_two_way(y)
    s, k = np.nonzero(np.isfinite(y))
    design = np.zeros((len(s), 10))
    design[np.arange(len(s)), s] = 1
    design[np.arange(len(s)), 6 + k] = 1
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ design.T @ y[s, k]
    coefficients[:6] += coefficients[6:].mean()
    residual = ((y[s, k] - design @ (inverse @ design.T @ y[s, k])) ** 2).sum()
    assert fit.structure == pytest.approx(coefficients[:6])
    assert fit.dof == len(s) - 9
    assert fit.error == pytest.approx(residual / fit.dof)
    contrast = np.concatenate([np.full(6, 1 / 6), np.full(4, 1 / 4)])
    assert fit.mean_factor == pytest.approx(contrast @ inverse @ contrast)
    centre = np.eye(6) - 1 / 6
    replicates = 5 / np.trace(centre @ inverse[:6, :6])
    assert fit.replicates == pytest.approx(replicates)


def test_structures_without_common_seeds_are_fitted_one_way():
    y = np.full((4, 4), np.nan)
    y[:2, :2] = [[1, 3], [2, 4]]
    y[2:, 2:] = [[5, 7], [6, 8]]
    fit = fit_two_way(y)
    assert len(fit.seed) == 0
    assert fit.structure == pytest.approx([2, 3, 6, 7])
    assert (fit.error, fit.dof) == (pytest.approx(2), 4)


def test_equal_seeds_have_no_variance():
    fit = fit_two_way(np.array([[0.1] * 6, [0.3] * 6]))
    assert (fit.error, fit.p) == (0, 0)
    assert fit_two_way(np.full((2, 6), 0.1)).p == 1
    assert np.isnan(fit_two_way(np.full((2, 3), 0.1)).error)
    assert fit_two_way(np.full((2, 3), np.nan)) is None


def test_a_structure_sd_of_zero_is_the_f_test():
    rms, groups, n, error, dof = 0.8, 5, 3, 1.0, 8
    values, mass = stats.sd_distribution(rms, groups, n, error, dof)
    assert values[0] == 0
    expected = scipy_stats.f.sf(n * rms**2 / error, groups - 1, dof)
    assert mass[0] == pytest.approx(expected, abs=2e-3)


def test_a_large_structure_sd_has_a_t_interval():
    distribution = stats.sd_distribution(10.0, 5, 3, 1.0, 8)
    low, high = stats.quantiles(distribution, [0.025, 0.975])
    half = special.stdtrit(8, 0.975) * (1 / (3 * 4)) ** 0.5
    assert (low, high) == pytest.approx((10 - half, 10 + half), abs=0.03)


@pytest.mark.parametrize("dof", [1, 11, 99])
@pytest.mark.parametrize("noncentrality", [0.5, 35.0, 45.0, 1e4])
def test_noncentral_chi_square(dof, noncentrality):
    sd = (2 * (dof + 2 * noncentrality)) ** 0.5
    x = np.maximum(dof + noncentrality + np.linspace(-3, 3, 13) * sd, 1e-3)
    ours = stats.noncentral_cdf(x, dof, np.full(13, noncentrality))
    exact = scipy_stats.ncx2.cdf(x, dof, noncentrality)
    assert ours == pytest.approx(exact, abs=1e-3)


def test_a_ratio_to_zero_is_unbounded():
    ones = np.ones(len(stats.LEVELS))
    assert stats.ratio_interval(stats.ratios(ones, 0 * ones)) == (np.inf, np.inf)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.995, 0.999])
def test_a_ratio_of_known_distributions(confidence):
    # A normal over a chi is a noncentral t.
    top = stats.t_values(10.0, 1.0, np.inf)
    chi = (2 * special.gammaincinv(5 / 2, stats.LEVELS) / 5) ** 0.5
    found = stats.ratio_interval(stats.ratios(-top, chi), confidence)
    exact = scipy_stats.nct.interval(confidence, 5, 10)
    assert found == pytest.approx(exact, rel=0.02)


def test_moderation_finds_what_variances_have_in_common():
    rng = np.random.default_rng(0)
    count, prior, dof, scale_dof = 4000, 6, 2, 8
    true = 3.0 * prior / rng.chisquare(prior, count)
    own = true * rng.chisquare(dof, count) / dof
    scale = rng.chisquare(scale_dof, count) / scale_dof
    whole = np.ones(count)
    found = stats.moderation(own / scale, dof * whole, scale_dof * whole)
    # To scales as they are seen, whose logarithms are too low in the mean.
    low = special.digamma(scale_dof / 2) - np.log(scale_dof / 2)
    assert found.ratio == pytest.approx(3.0 / np.exp(low), rel=0.05)
    assert found.dof == pytest.approx(prior, rel=0.15)
    alike = np.array([1.0, 2.0, 3.0])  # by chance: their own logarithms spread by 1.28
    assert stats.moderation(alike, np.full(3, dof), np.full(3, scale_dof)) is None


@pytest.mark.parametrize("ratios", [(2, 2, 2, 2, 2, 200), (1, 3, 10, 100, 1000, 3000)])
def test_variances_that_differ_do_not_share_one(ratios):
    """As where small dense networks fail with some seeds at some budgets."""
    rng, tables, seeds, dof = np.random.default_rng(1), 400, 3, 60
    variances = np.array(ratios, float)
    covered, width, shared = np.zeros(6), np.zeros(6), np.zeros(6, bool)
    for _ in range(tables):
        seen = rng.normal(size=(6, seeds)) * np.sqrt(variances)[:, None]
        own, scale = seen.var(axis=1, ddof=1), rng.chisquare(dof, 6) / dof
        found = stats.pooled_variance(
            own, np.full(6, seeds - 1), scale, np.full(6, dof), 6, shared
        )
        half = [
            stats.t_quantile(f) * np.sqrt(v / seeds)
            for v, f in zip(*found, strict=True)
        ]
        covered += np.abs(seen.mean(axis=1)) <= half
        width += half / np.sqrt(variances / seeds)
    covered, width = covered / tables, width / tables
    assert covered.min() > 0.9, covered
    # One ratio for all gives 0.57 and 0.65 at the last, and widths of 8.5 and 55.
    assert width.max() < 6, width


def test_two_seeds_share_nothing():
    """Of single differences that vary most some are small by accident."""
    rng, tables, dof = np.random.default_rng(1), 400, 60
    variances = np.array([200.0, 12, 1, 1, 1])
    covered, whole, shared = np.zeros(5), np.ones(5), np.zeros(5, bool)
    for _ in range(tables):
        seen = rng.normal(size=(5, 2)) * np.sqrt(variances)[:, None]
        own, scale = seen.var(axis=1, ddof=1), rng.chisquare(dof, 5) / dof
        variance, found = stats.pooled_variance(
            own, whole, scale, dof * whole, 5, shared
        )
        half = stats.t_quantile(found[0]) * np.sqrt(variance / 2)
        assert (found == found[0]).all()
        covered += np.abs(seen.mean(axis=1)) <= half
    # One ratio for all gives 0.60 at the first.
    assert covered.min() > 0.92 * tables, covered


def shared_variances(own, alone=False, least=0.0):
    """Of contrasts with three seeds, or, alone, with five."""
    alone = np.broadcast_to(alone, len(own))
    own, dof = np.array(own), np.where(alone, 4, 2)
    ones = np.ones(len(own))
    found = stats.pooled_variance(own, dof, ones, 60 * ones, len(own), alone, least)
    return [values.tolist() for values in found]


def test_equal_differences_say_nothing_of_a_variance():
    usual = [2.0, 1.5, 3.0, 1.0, 2.5]
    variance, dof = shared_variances([*usual, 1e-33])
    assert variance == shared_variances([*usual, 0.0])[0]
    assert min(variance) > 1 and min(dof) > 5
    # With five seeds, too: where there is no variance of its own, it is shared.
    variance, _ = shared_variances([*usual, 1e-33], alone=True)
    assert variance[:5] == usual and variance[5] > 1


def test_few_seeds_learn_from_what_has_enough():
    own = [2.0, 200.0, 2.0, 3.0, 1.5]
    variance, dof = shared_variances(own, alone=[False, False, True, True, True])
    assert variance[2:] == own[2:] and dof[2:] == [4, 4, 4]
    assert 1 < variance[0] < 5
    assert (variance[1], dof[1]) == (200, 2)  # believed
