"""Tell what a model is for, in LiteLLM's terms (`mode` of model_prices_and_context_window.json)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tollgate.core.models.model_names import parse_model_name

# From the providers' lists of models. The first row whose pattern matches a bare name counts.
_MODES = (
    ("rerank", ("*rerank*",)),
    ("moderation", ("*moderation*",)),
    ("embedding", ("*embed*", "bge-*", "e5-*", "voyage-*", "gte-*")),
    ("audio_transcription", ("*whisper*", "*transcribe*", "*-stt*")),
    ("audio_speech", ("tts-*", "*-tts*", "*-speech*")),
    (
        "image_generation",
        ("dall-e*", "*image*", "imagen*", "stable-diffusion*", "flux*", "sd3*", "*-canvas*"),
    ),
    ("video_generation", ("sora*", "veo*", "*-reel*")),
    ("realtime", ("*realtime*",)),
    ("completion", ("*-instruct-0914", "davinci-*", "babbage-*")),
    ("responses", ("*-deep-research*", "*codex*", "computer-use-*", "o1-pro*", "o3-pro*")),
)


def mode_of(model: str) -> str:
    """Return the mode of a model; `chat` if its name implies no other."""
    bare = parse_model_name(model).bare
    return next(
        (mode for mode, patterns in _MODES if any(fnmatchcase(bare, each) for each in patterns)),
        "chat",
    )
