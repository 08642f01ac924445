"""How many tokens a prompt may have, before anyone has counted them: bytes, and a ratio that each model's own replies teach.

Three bytes a token is a fair hold for all scripts (low only for digits and base64, and base64 is left out); English has four and
more. The ratio takes most of that away. It is a hint in one worker's memory: it decides how much is held, never what is charged.
"""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct

_BYTES_PER_TOKEN = 3
_LEAST_RATIO, _MOST_RATIO = 0.5, 2.0
_WEIGHT = 0.05
_LEAST_TAUGHT_BY = 64  # of short prompts, the provider's own template is the greater part
_MEAN_OF = 32  # replies: the mean follows a change of the traffic within some dozens of calls
_MOST_DEPLOYMENTS = 4096


class Estimate(Struct, frozen=True, gc=False):
    """What a request may use. `guessed`: it names no output limit, so the output is a configured default.
    `money`: whether that costs anything."""

    input_tokens: int
    output_tokens: int
    cost_nanousd: int
    guessed: bool
    money: bool


NOTHING = Estimate(0, 0, 0, guessed=False, money=False)


class InputEstimates:
    """Estimates of prompts by deployment. There are as many as the file lists."""

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def tokens(self, deployment: str, prompt_bytes: int) -> int:
        """What a prompt of so many bytes of text may count, at least 1."""
        return max(1, round(prompt_bytes * self._ratios.get(deployment, 1.0) / _BYTES_PER_TOKEN))

    def learn(self, deployment: str, estimated: int, counted: int) -> None:
        """Bring the next estimate nearer to what the provider counted."""
        if estimated < _LEAST_TAUGHT_BY or counted < 1:
            return
        ratio = self._ratios.get(deployment, 1.0)
        ratio += _WEIGHT * ratio * (counted / estimated - 1)
        self._ratios[deployment] = min(_MOST_RATIO, max(_LEAST_RATIO, ratio))


class OutputMeans:
    """The mean output that deployments had lately. It stands in for output that nobody could see.

    The first replies weigh alike; later ones a 32nd each, so that old ones fade.
    At most 4,096 deployments are kept: the one that was learned first is forgotten first.
    """

    def __init__(self) -> None:
        self._means: dict[str, tuple[float, int]] = {}

    def mean(self, deployment: str) -> int | None:
        """Return the mean output of a deployment's replies in tokens; None before its first."""
        known = self._means.get(deployment)
        return None if known is None else round(known[0])

    def learn(self, deployment: str, output_tokens: int) -> None:
        """Take in the output of one reply, as the provider counted it."""
        mean, count = self._means.get(deployment, (0.0, 0))
        if not count and len(self._means) >= _MOST_DEPLOYMENTS:
            del self._means[next(iter(self._means))]
        count = min(count + 1, _MEAN_OF)
        self._means[deployment] = (mean + (output_tokens - mean) / count, count)


class Lately(Struct, frozen=True, array_like=True, gc=False):
    """The output that a deployment's replies had lately, in tokens.

    The mean of all of it, and of what they did not show.
    """

    output_tokens: int
    hidden_tokens: int


class Lacks(Enum):
    """What is not known of a reply's output."""

    NOTHING = auto()
    HIDDEN = auto()
    """Its visible part was read as far as it came. Whether more was billed was not told: reasoning."""
    OUTPUT = auto()
    """All of it, or nearly all."""


def unseen_output(
    lacks: Lacks,
    seen_tokens: int,
    most_tokens: int,
    lately: Lately | None,
    default_tokens: int,
) -> int:
    """Return what to charge as the output of a reply that nobody saw to its end.

    `most_tokens` is what the call held; `default_tokens` is assumed where nothing was learned yet.
    What was seen is charged at least.
    """
    if lacks is Lacks.HIDDEN:
        likely = seen_tokens + (lately.hidden_tokens if lately is not None else 0)
    else:
        likely = lately.output_tokens if lately is not None else default_tokens
    return max(seen_tokens, min(likely, most_tokens))
