"""Decide whose streams must be asked for their usage, and how.

OpenAI's streams report usage only if `stream_options.include_usage` is set
(https://platform.openai.com/docs/api-reference/chat/create), and most compatible providers know
that field. The others always report usage and may reject a field that their reference lacks.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

STREAM_OPTIONS = "stream_options"
"""The member that asks for usage, as `additional_drop_params` of a deployment may name it."""

TELL_UNASKED = {
    # ChatCompletionRequest has no such field; the last event carries `usage`.
    "mistral": "https://docs.mistral.ai/api/",
    "codestral": "https://docs.mistral.ai/api/",
    # Every event carries `usage`; the last one is complete.
    "perplexity": "https://docs.perplexity.ai/docs/sonar/features",
    # The last event carries `usage`.
    "ai21": "https://docs.ai21.com/reference/jamba-1-6-api-ref",
    "ai21_chat": "https://docs.ai21.com/reference/jamba-1-6-api-ref",
}
"""OpenAI-compatible providers without `stream_options`, each with its reference."""

# Their streams report running counts with every event if asked, so a stream that is cut is charged
# exactly: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
# `continuous_usage_stats`.
_TELL_RUNNING_USAGE = frozenset({"hosted_vllm", "vllm"})


class StreamUsage(Struct, frozen=True):
    """How a deployment's streams are made to report usage.

    - `asked`: by `stream_options`.
    - `running`: with every event.
    - `dropped`: `stream_options` is removed, including the client's own.
    """

    asked: bool = True
    running: bool = False
    dropped: bool = False

    @classmethod
    def of(cls, provider: str, drop_params: Collection[str] = ()) -> StreamUsage:
        """Return the setting for a provider whose configuration drops these parameters."""
        dropped = STREAM_OPTIONS in drop_params
        asked = not dropped and provider not in TELL_UNASKED
        return cls(asked, provider in _TELL_RUNNING_USAGE, dropped)


ASKED = StreamUsage()
"""The setting for OpenAI itself."""
