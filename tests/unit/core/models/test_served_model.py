"""Which names of a reply are those of another model."""

from __future__ import annotations

import pytest

from tollgate.core.models.served import is_other_model


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4", "gpt-4-0613"),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("gemini-2.5-flash", "gemini-2.5-flash-preview-05-20"),
        ("gemini-1.5-pro", "gemini-1.5-pro-002"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307"),
        ("openai/gpt-4o", "gpt-4o"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b-instruct"),
        ("llama3", "llama3:latest"),
        ("mistral-large-latest", "mistral-large-2411"),
        ("command-r-plus", "command-r-plus-08-2024"),
        ("/models/own.gguf", "own.gguf"),
    ],
)
def test_a_dated_name_or_a_path_is_the_same_model(wanted: str, told: str) -> None:
    """Either way round."""
    assert not is_other_model(wanted, told)
    assert not is_other_model(told, wanted)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("cheap", "dear"),
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-4", "gpt-5"),
        ("gpt-4", "gpt-4o"),
        ("gpt-4.1", "gpt-4.5"),
        ("claude-sonnet-4-5", "claude-opus-4-5"),
        ("claude-sonnet-4-5", "claude-sonnet-4-6-20260101"),
        ("claude-3-5-sonnet", "claude-3-7-sonnet"),
        ("gemini-2.5-flash", "gemini-2.5-pro"),
        ("gemini-2.0-flash", "gemini-2.5-flash"),
        ("llama3:8b", "llama3:70b"),
        ("mistral-small-latest", "mistral-large-2411"),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", "us.anthropic.claude-3-opus-20240229-v1:0"),
    ],
)
def test_another_model_is_another(wanted: str, told: str) -> None:
    """A version or a size is no date."""
    assert is_other_model(wanted, told)
    assert is_other_model(told, wanted)
