"""Estimates of prompts."""

from __future__ import annotations

import pytest

from tollgate.core.models.deployment import Deployment
from tollgate.core.requests.estimate import (
    InputEstimates,
    Lately,
    OutputMeans,
    hidden_tokens,
    sound_seconds,
)


def test_an_estimate_learns_from_what_the_provider_counted() -> None:
    """A model that counts three quarters of what its prompts look like is soon held for
    about that.
    """
    estimates = InputEstimates()
    assert estimates.tokens("m", 400) == 400
    for _ in range(20):
        estimates.learn("m", estimates.tokens("m", 400), 300)
    assert abs(estimates.tokens("m", 400) - 300) <= 3
    assert estimates.tokens("other", 400) == 400


def test_requests_with_tools_are_learned_apart() -> None:
    """Providers write definitions of tools in ways of their own."""
    estimates = InputEstimates()
    for _ in range(20):
        estimates.learn("m", estimates.tokens("m", 400, tools=True), 800, tools=True)
    assert abs(estimates.tokens("m", 400, tools=True) - 800) <= 8
    assert estimates.tokens("m", 400) == 400


def test_names_that_clients_make_up_displace_what_learned_longest_ago() -> None:
    """A wildcard's deployments are named by clients: what is still in use is kept."""
    estimates, means = InputEstimates(), OutputMeans()
    for number in range(20_000):
        if number % 100 == 0:
            estimates.learn("m", 400, 800)
            means.learn("m", 70, 0)
        estimates.learn(f"made-up/{number}", 400, 800)
        means.learn(f"made-up/{number}", 70, 0)
    assert estimates.tokens("m", 400) > 400
    assert means.lately("m") == Lately(70, 0)
    assert estimates.tokens("made-up/0", 400) == 400
    assert means.lately("made-up/0") is None


def test_what_is_learned_is_bounded() -> None:
    """However odd the replies, an estimate stays within two fifths and two and a half of the plain
    one.
    """
    estimates = InputEstimates()
    for _ in range(500):
        estimates.learn("low", estimates.tokens("low", 1000), 1)
        estimates.learn("high", estimates.tokens("high", 1000), 1_000_000)
    assert (estimates.tokens("low", 1000), estimates.tokens("high", 1000)) == (400, 2500)
    for number in range(20_000):
        estimates.learn(f"m{number}", 100, 50)
    assert (estimates.tokens("m0", 100), estimates.tokens("m19999", 100)) == (100, 50)


def test_short_prompts_teach_nothing() -> None:
    """A hello of ten tokens is mostly the provider's template."""
    estimates = InputEstimates()
    estimates.learn("m", 10, 40)
    assert estimates.tokens("m", 100) == 100


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("claude-opus-4-6", 346), ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 346), ("gpt-4o", 0)],
)
def test_what_a_provider_adds_for_tools_is_known(model: str, tokens: int) -> None:
    """Anthropic's own prompt for them, whoever serves the model."""
    assert hidden_tokens(Deployment("d", "d", "any", model, "http://x")) == tokens


@pytest.mark.parametrize(
    ("told", "size", "seconds"),
    [
        (59.2, 480_000, 60),
        (None, 480_000, 80),
        (None, 0, 60),
        # a header that lies is not believed
        (1.0, 38_400_000, 100),
    ],
)
def test_sound_is_as_long_as_its_file_tells_or_its_size(
    told: float | None, size: int, seconds: int
) -> None:
    """Never nothing."""
    assert sound_seconds(told, size) == seconds


def test_the_mean_output_is_that_of_the_replies_so_far() -> None:
    """A deployment that nobody heard of yet has none; another's replies do not count."""
    means = OutputMeans()
    assert means.lately("m") is None
    for output_tokens, hidden in ((100, 0), (200, 60), (600, 0)):
        means.learn("m", output_tokens, hidden)
    means.learn("other", 9, 0)
    assert (means.lately("m"), means.lately("other")) == (Lately(300, 20), Lately(9, 0))


def test_the_mean_output_follows_a_change_of_the_traffic() -> None:
    """After many replies of one length, a hundred of another move the mean most of the way."""
    means = OutputMeans()
    for _ in range(10_000):
        means.learn("m", 100, 0)
    assert means.lately("m") == Lately(100, 0)
    for _ in range(100):
        means.learn("m", 1100, 0)
    found = means.lately("m")
    assert found is not None
    assert 1000 < found.output_tokens < 1100


def test_as_many_means_are_kept_as_there_may_be_deployments() -> None:
    """The first that was learned makes room."""
    means = OutputMeans()
    for number in range(5000):
        means.learn(f"m{number}", number, 0)
    assert [means.lately(each) for each in ("m0", "m903", "m904")] == [None, None, Lately(904, 0)]
