"""The official SDKs as clients: nothing but a base URL and a key."""

from __future__ import annotations

import anthropic
import openai
import pytest
from tests.e2e.gateway import Gateway

HI = [{"role": "user", "content": "hi"}]


async def test_openai_calls_and_streams(tollgate: Gateway) -> None:
    """A completion, and a stream of the same words."""
    async with openai.AsyncOpenAI(
        base_url=f"{tollgate.url}/v1", api_key=await tollgate.key()
    ) as client:
        reply = await client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=3)  # type: ignore[arg-type]
        assert reply.choices[0].message.content == "tollgate " * 3
        stream = await client.chat.completions.create(
            model="fast", messages=HI, max_tokens=3, stream=True
        )  # type: ignore[call-overload]
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(words) == "tollgate " * 3


async def test_openai_calls_claude(tollgate: Gateway) -> None:
    """At Anthropic's own endpoint for OpenAI's clients; the key is charged at Claude's price."""
    key = await tollgate.key()
    async with openai.AsyncOpenAI(base_url=f"{tollgate.url}/v1", api_key=key) as client:
        reply = await client.chat.completions.create(model="claude", messages=HI, max_tokens=3)  # type: ignore[arg-type]
    assert reply.choices[0].message.content == "tollgate " * 3
    assert await tollgate.spend(key) > 0


async def test_azures_client_calls_a_model_of_openais(tollgate: Gateway) -> None:
    """Its path names a deployment; the provider is asked at its own path, by the model's name."""
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=tollgate.url, api_key=await tollgate.key(), api_version="2024-10-21"
    ) as client:
        reply = await client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=3)  # type: ignore[arg-type]
    assert reply.choices[0].message.content == "tollgate " * 3


async def test_openai_streams_a_response_with_its_helper(tollgate: Gateway) -> None:
    """The helper checks the events' order, and puts the reply together from them."""
    key = await tollgate.key()
    async with openai.AsyncOpenAI(base_url=f"{tollgate.url}/v1", api_key=key) as client:
        async with client.responses.stream(model="gpt-4o", input="hi") as stream:
            deltas = [
                each.delta async for each in stream if each.type == "response.output_text.delta"
            ]
            reply = await stream.get_final_response()
        assert reply.output_text == "".join(deltas) == "tollgate " * 20
        assert reply.usage is not None
        assert reply.usage.output_tokens == 20
    assert await tollgate.spend(key) > 0


async def test_openai_raises_its_own_exceptions(tollgate: Gateway) -> None:
    """RateLimitError with the code; AuthenticationError; NotFoundError; BadRequestError."""
    key = await tollgate.key(rpm_limit=1)
    async with openai.AsyncOpenAI(
        base_url=f"{tollgate.url}/v1", api_key=key, max_retries=0
    ) as client:
        await client.chat.completions.create(model="gpt-4o", messages=HI)  # type: ignore[arg-type]
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="gpt-4o", messages=HI)  # type: ignore[arg-type]
        assert refused.value.code == "rate_limit_exceeded"
        unlimited = client.with_options(api_key=await tollgate.key())
        with pytest.raises(openai.NotFoundError):
            await unlimited.chat.completions.create(model="gpt-9", messages=HI)  # type: ignore[arg-type]
        with pytest.raises(openai.BadRequestError):
            await unlimited.responses.create(model="claude", input="hi")
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-no").chat.completions.create(
                model="gpt-4o", messages=HI
            )  # type: ignore[arg-type]


async def test_openai_does_not_retry_a_spent_budget(tollgate: Gateway) -> None:
    """x-should-retry: false is obeyed: one request, not three."""
    key = await tollgate.key(max_budget=0, rpm_limit=100)
    async with openai.AsyncOpenAI(
        base_url=f"{tollgate.url}/v1", api_key=key, max_retries=2
    ) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.chat.completions.create(model="gpt-4o", messages=HI)  # type: ignore[arg-type]
    assert "ExceededTokenBudget" in refused.value.response.json()["detail"]
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"


async def test_openai_leaves_a_stream_early(tollgate: Gateway) -> None:
    """Closing the stream settles it: the only slot is free for the next call."""
    key = await tollgate.key(max_parallel_requests=1)
    async with openai.AsyncOpenAI(
        base_url=f"{tollgate.url}/v1", api_key=key, max_retries=5
    ) as client:
        slow = {"x-mock-chunk-ms": "20", "x-mock-chunks": "500"}
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=HI, stream=True, extra_headers=slow
        )  # type: ignore[call-overload]
        async for _ in stream:
            break
        await stream.close()
        assert await tollgate.spend(key) > 0
        await client.chat.completions.create(model="gpt-4o", messages=HI)  # type: ignore[arg-type]


async def test_anthropic_calls_and_streams(tollgate: Gateway) -> None:
    """A message, and a stream with its usage at the end."""
    async with anthropic.AsyncAnthropic(
        base_url=tollgate.url, api_key=await tollgate.key()
    ) as client:
        reply = await client.messages.create(model="claude", max_tokens=4, messages=HI)  # type: ignore[arg-type]
        assert reply.usage.output_tokens == 4
        async with client.messages.stream(model="claude", max_tokens=4, messages=HI) as stream:  # type: ignore[arg-type]
            assert await stream.get_final_text() == "tollgate " * 4
            assert (await stream.get_final_message()).usage.output_tokens == 4


async def test_anthropic_raises_its_own_exceptions(tollgate: Gateway) -> None:
    """rate_limit_error and authentication_error, as its SDK knows them."""
    key = await tollgate.key(rpm_limit=1)
    async with anthropic.AsyncAnthropic(
        base_url=tollgate.url, api_key=key, max_retries=0
    ) as client:
        await client.messages.create(model="claude", max_tokens=4, messages=HI)  # type: ignore[arg-type]
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(model="claude", max_tokens=4, messages=HI)  # type: ignore[arg-type]
        with pytest.raises(anthropic.AuthenticationError):
            await client.with_options(api_key="sk-no").messages.create(
                model="claude", max_tokens=4, messages=HI
            )  # type: ignore[arg-type]
