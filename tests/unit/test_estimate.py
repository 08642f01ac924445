"""Estimates of prompts."""

from __future__ import annotations

from tollgate.core.estimate import InputEstimates


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
