"""What a person reads when a limit refuses: the text of each SDK's own error names the limit and
whose it is, and no SDK repeats what waiting will not help.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import anthropic
import openai
import pytest
import pytest_asyncio
from google import genai
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from tests.e2e import sdk_programs
from tests.e2e.counted import counted
from tests.e2e.gateway import CONFIG, Gateway, gateway

GEMINI = """
  - model_name: flash
    litellm_params: {model: gemini/gemini-2.5-flash, api_base: http://mock-llm,
        api_key: provider-key}
general_settings:"""
HI: Any = [{"role": "user", "content": "hi"}]
# Limits that refuse the first call, and what the message says of each. LiteLLM's page words a spent
# budget its own way.
LIMITS = {
    "rpm_limit": "on requests per min (RPM): Limit 0",
    "tpm_limit": "on tokens per min (TPM): Limit 0",
    "max_parallel_requests": "on parallel calls: Limit 0",
    "max_budget": "Max Budget",
}


def call_openai(url: str, key: str) -> object:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        return client.chat.completions.create(model="gpt-4o", messages=HI)


def stream_openai(url: str, key: str) -> object:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        return list(client.chat.completions.create(model="gpt-4o", messages=HI, stream=True))


def respond_openai(url: str, key: str) -> object:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        return client.responses.create(model="gpt-4o", input="hi")


def call_anthropic(url: str, key: str) -> object:
    with anthropic.Anthropic(base_url=url, api_key=key) as client:
        return client.messages.create(model="claude", max_tokens=5, messages=HI)


def call_google(url: str, key: str) -> object:
    client = genai.Client(api_key=key, http_options=genai.types.HttpOptions(base_url=url))
    return client.models.generate_content(model="flash", contents="hi")


def call_langchain_openai(url: str, key: str) -> object:
    return ChatOpenAI(model="gpt-4o", base_url=f"{url}/v1", api_key=SecretStr(key)).invoke("hi")


def call_langchain_anthropic(url: str, key: str) -> object:
    return ChatAnthropic(
        model_name="claude", base_url=url, api_key=SecretStr(key), max_tokens_to_sample=5
    ).invoke("hi")


PYTHON: Sequence[Callable[[str, str], object]] = (
    call_openai,
    stream_openai,
    respond_openai,
    call_anthropic,
    call_google,
    call_langchain_openai,
    call_langchain_anthropic,
)
JAVASCRIPT = ("openai", "anthropic", "google", "vercel-openai", "vercel-anthropic", "langchain")


@pytest_asyncio.fixture(scope="module", params=["grpc", "native"])
async def ours(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with a model of each API."""
    config = CONFIG.replace("\ngeneral_settings:", GEMINI)
    async with gateway(tmp_path_factory.mktemp("sdks"), config, "--mode", request.param) as running:
        yield running


async def refused(running: Gateway, limit: str) -> tuple[str, str]:
    """A key that the limit refuses, and its name."""
    name = f"payments-{uuid4()}"
    return await running.key(key_alias=name, **{limit: 0}), name


@pytest.mark.parametrize("call", PYTHON, ids=lambda each: each.__name__)
@pytest.mark.parametrize("limit", LIMITS)
async def test_pythons_sdks_show_whose_limit_it_is(
    ours: Gateway, call: Callable[[str, str], object], limit: str
) -> None:
    """str(exception); and the SDK has called once."""
    key, name = await refused(ours, limit)
    async with counted(ours.url) as door:
        with pytest.raises(Exception) as raised:  # each SDK has its own
            await asyncio.to_thread(call, door.url, key)
    shown = str(raised.value)
    assert LIMITS[limit] in shown
    assert name in shown
    if call is not call_google or limit == "max_budget":
        assert door.calls == 1


async def said_by(running: Gateway, command: Sequence[str], sdks: Sequence[str]) -> None:
    """Every SDK with every limit, in one run of its language.

    Not all obey `x-should-retry`, so of limits that are worth trying again they are told not to; of
    a spent budget they decide themselves.
    """
    jobs, wanted, doors = [], [], []
    async with AsyncExitStack() as stack:
        for limit in LIMITS:
            key, name = await refused(running, limit)
            for sdk in sdks:
                door = await stack.enter_async_context(counted(running.url))
                retries = None if limit == "max_budget" else 0
                jobs.append({"sdk": sdk, "url": door.url, "key": key, "retries": retries})
                wanted.append((sdk, LIMITS[limit], name))
                doors.append(door)
        said = await sdk_programs.run(command, jobs)
        calls = [each.calls for each in doors]
    told = [
        (sdk, words in text, name in text)
        for (sdk, words, name), text in zip(wanted, said, strict=True)
    ]
    assert told == [(sdk, True, True) for sdk, _, _ in wanted], said
    assert calls == [1] * len(calls)


async def test_javascripts_sdks_show_whose_limit_it_is(ours: Gateway) -> None:
    """String(error) of openai, anthropic, Google's, Vercel's `ai` and LangChain."""
    await said_by(ours, await asyncio.to_thread(sdk_programs.javascript), JAVASCRIPT)


async def test_gos_sdk_shows_whose_limit_it_is(ours: Gateway) -> None:
    """The error's own message in openai-go, whose Error() tells nothing but the status since
    version 3.
    """
    await said_by(ours, await asyncio.to_thread(sdk_programs.go), ("openai",))
