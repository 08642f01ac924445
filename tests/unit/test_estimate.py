"""Estimates of prompts."""

from __future__ import annotations

from tollgate.core.estimate import InputEstimates, OutputMeans


def test_an_estimate_learns_from_what_the_provider_counted() -> None:
    """A model whose tokens have four bytes is soon held for about that."""
    estimates = InputEstimates()
    assert estimates.tokens("m", 1200) == 400
    for _ in range(200):
        estimates.learn("m", estimates.tokens("m", 1200), 300)
    assert abs(estimates.tokens("m", 1200) - 300) <= 3
    assert estimates.tokens("other", 1200) == 400


def test_what_is_learned_is_bounded() -> None:
    """However odd the replies, an estimate stays within half and twice the plain one."""
    estimates = InputEstimates()
    for _ in range(500):
        estimates.learn("low", estimates.tokens("low", 3000), 1)
        estimates.learn("high", estimates.tokens("high", 3000), 1_000_000)
    assert (estimates.tokens("low", 3000), estimates.tokens("high", 3000)) == (500, 2000)


def test_short_prompts_teach_nothing() -> None:
    """A hello of ten tokens is mostly the provider's template."""
    estimates = InputEstimates()
    estimates.learn("m", 10, 40)
    assert estimates.tokens("m", 300) == 100


def test_the_mean_output_is_that_of_the_replies_so_far() -> None:
    """A deployment that nobody heard of yet has none; another's replies do not count."""
    means = OutputMeans()
    assert means.mean("m") is None
    for output_tokens in (100, 200, 600):
        means.learn("m", output_tokens)
    means.learn("other", 9)
    assert (means.mean("m"), means.mean("other")) == (300, 9)


def test_the_mean_output_follows_a_change_of_the_traffic() -> None:
    """After many replies of one length, a hundred of another move the mean most of the way."""
    means = OutputMeans()
    for _ in range(10_000):
        means.learn("m", 100)
    assert means.mean("m") == 100
    for _ in range(100):
        means.learn("m", 1100)
    found = means.mean("m")
    assert found is not None
    assert 1000 < found < 1100


def test_as_many_means_are_kept_as_there_may_be_deployments() -> None:
    """The first that was learned makes room."""
    means = OutputMeans()
    for number in range(5000):
        means.learn(f"m{number}", number)
    assert (means.mean("m0"), means.mean("m903"), means.mean("m904")) == (None, None, 904)
