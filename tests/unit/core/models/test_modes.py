"""What models are for, by their names."""

from __future__ import annotations

import pytest

from tollgate.core.models.modes import mode_of


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        ("gpt-4o", "chat"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "chat"),
        ("text-embedding-3-small", "embedding"),
        ("amazon.titan-embed-text-v2:0", "embedding"),
        ("whisper-1", "audio_transcription"),
        ("gpt-4o-mini-transcribe", "audio_transcription"),
        ("tts-1-hd", "audio_speech"),
        ("gpt-4o-mini-tts", "audio_speech"),
        ("dall-e-3", "image_generation"),
        ("gpt-image-1", "image_generation"),
        ("imagen-4.0-generate-001", "image_generation"),
        ("rerank-v3.5", "rerank"),
        ("omni-moderation-latest", "moderation"),
        ("gpt-realtime", "realtime"),
        ("veo-3.0-generate-001", "video_generation"),
        ("", "chat"),
    ],
)
def test_a_mode_is_read_from_the_name(model: str, mode: str) -> None:
    """Whatever prefix, region or version stands around it."""
    assert mode_of(model) == mode
