"""OpenAI's images, audio and moderations (OpenAI API reference).

Of a form, only the flags are read.
"""

from __future__ import annotations

import time
from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from tollgate.mock_llm.protocol_values import (
    EVENT_STREAM,
    MockCall,
    MockStream,
    Reply,
    decode,
    event,
)
from tollgate.mock_llm.words import answer, input_tokens, is_count, model_json, text_bytes

_PIXEL = b"iVBORw0KGgo="
_PICTURE_TOKENS = 1056  # what OpenAI counts for a square picture of medium quality
_SOUND = b"\xff\xfb\x90\x00" * 64
_SOUND_TOKENS = 50  # five seconds of speech
_MOST_PICTURES = 10
_USAGE = b'"usage":{"input_tokens":%d,"output_tokens":%d,"total_tokens":%d%b}'


class _Body(Struct):
    """The fields of a request that the mock reads. Any of them may hold anything."""

    model: Any = None
    prompt: Any = None
    input: Any = None
    n: Any = None
    stream: Any = None
    stream_format: Any = None


_DECODER = Decoder(_Body)


def images(call: MockCall) -> Reply:
    """POST /v1/images/generations, edits and variations: `n` pictures, or the events of one."""
    body = _body(call)
    pictures = min(body.n, _MOST_PICTURES) if is_count(body.n) and body.n else 1
    tokens, output_tokens = input_tokens(text_bytes(body.prompt)), _PICTURE_TOKENS * pictures
    details = b',"input_tokens_details":{"text_tokens":%d,"image_tokens":0}' % tokens
    usage = _usage(call, tokens, output_tokens, details)
    if body.stream is True:
        partial = (
            b'{"type":"image_generation.partial_image","partial_image_index":0,"b64_json":"%b"}'
            % _PIXEL
        )
        whole = b'{"type":"image_generation.completed","b64_json":"%b"%b}' % (_PIXEL, usage)
        return MockStream(EVENT_STREAM, b"", repeat(event(partial), 1), 1, event(whole))
    rows = b",".join([b'{"b64_json":"%b"}' % _PIXEL] * pictures)
    return b'{"created":%d,"data":[%b]%b}' % (time.time(), rows, usage)


def transcription(call: MockCall) -> Reply:
    """POST /v1/audio/transcriptions and translations: five seconds of speech."""
    said = answer(call.controls, ())
    details = (
        b',"type":"tokens","input_token_details":{"text_tokens":0,"audio_tokens":%d}'
        % _SOUND_TOKENS
    )
    usage = _usage(call, _SOUND_TOKENS, said.words, details)
    if _body(call).stream is not True:
        return b'{"text":"%b"%b}' % (said.text, usage)
    word = event(b'{"type":"transcript.text.delta","delta":"%b"}' % said.word)
    done = event(b'{"type":"transcript.text.done","text":"%b"%b}' % (said.text, usage))
    return MockStream(EVENT_STREAM, b"", repeat(word, said.words), said.words, done)


def speech(call: MockCall) -> Reply:
    """POST /v1/audio/speech: sound, or with `stream_format: sse` its events."""
    body = _body(call)
    if body.stream_format != "sse":
        return MockStream(b"audio/mpeg", b"", repeat(_SOUND, 1), 1, _SOUND)
    usage = _usage(call, input_tokens(text_bytes(body.input)), _SOUND_TOKENS, b"")
    delta = event(b'{"type":"speech.audio.delta","audio":"%b"}' % _PIXEL)
    return MockStream(
        EVENT_STREAM, b"", repeat(delta, 1), 1, event(b'{"type":"speech.audio.done"%b}' % usage)
    )


def moderations(call: MockCall) -> Reply:
    """POST /v1/moderations: flags nothing."""
    model = model_json(_body(call).model)
    return (
        b'{"id":"modr-%b","model":%b,"results":[{"flagged":false,"categories":{},"category_scores":{}}]}'
        % (
            call.id.encode(),
            model,
        )
    )


def _usage(call: MockCall, tokens: int, output_tokens: int, details: bytes) -> bytes:
    usage = _USAGE % (tokens, output_tokens, tokens + output_tokens, details)
    if not call.controls.usage:
        return b""
    return b"," + usage


def _body(call: MockCall) -> _Body:
    """Return the JSON body; of a form only whether it asks for a stream."""
    if call.body.startswith(b"--"):
        return _Body(stream=b'name="stream"\r\n\r\ntrue' in call.body)
    return decode(_DECODER, call.body)
