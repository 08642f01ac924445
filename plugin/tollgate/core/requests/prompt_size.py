"""Estimate the tokens of a prompt from its JSON: text by its characters, media by their kind.

No tokenizer runs: a sample of the text gives its density, so a long prompt costs one scan for
media. Bytes per token were measured with o200k and cl100k over prose, code, JSON and several
scripts; each model's replies teach the remaining error (core/requests/estimate.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil

from tollgate.core.requests.json_members import Span

# Base64 counts as media only where an API keeps media: in a data URL, in a dedicated field, in
# Ollama's list of pictures. Elsewhere it is text. Encrypted reasoning and signatures count little,
# as media do.
_FIELDS = (
    b"data|b64_json|file_data|bytes|bytesBase64Encoded|image|image_url|audio|video|signature|thoughtSignature|"
    b"thought_signature|encrypted_content"
)
# JSON may write a slash as two bytes.
_BASE64 = re.compile(rb'[A-Za-z0-9+/_-]*+(?:\\/[A-Za-z0-9+/_-]*+)*+={0,2}"')
_HEAD = re.compile(
    rb'(?:"(?:' + _FIELDS + rb')"\s{0,8}+:\s{0,8}+"'
    rb'|("images"\s{0,8}+:\s{0,8}+\[\s{0,8}+")|"data:[^",]{0,100};base64,)\Z'
)
_NEXT_IN_LIST = re.compile(rb'\s{0,8}+,\s{0,8}+"')
_LONGEST_MEDIA_HEAD = 150
_SHORTEST_MEDIA = 256
# How many runs of base64 are examined; the rest counts as text. No API accepts as many pictures.
_MOST_MEDIA = 4_000
# Jumps to the last non-base64 byte of the next 256. It stops where 256 bytes of base64 begin, or
# where fewer remain.
_NO_MEDIA = re.compile(rb"(?:.{0,255}[^A-Za-z0-9+/_\\-])*+", re.DOTALL)
# A regular expression is three times as fast here as bytes.find, whose two-byte searches are slow.
_ESCAPE_OF_TWO = re.compile(rb"\\u0[0-7][0-9A-Fa-f]{2}")
_ESCAPE = re.compile(rb"\\u[0-9A-Fa-f]{4}")

_SAMPLE, _SLICE = 384, 128
_DIGITS = b"0123456789"
_LEADS_OF_TWO = bytes(range(0xC2, 0xE0))
_LEADS_OF_THREE = bytes(range(0xE0, 0xF0))
_LEADS_OF_FOUR = bytes(range(0xF0, 0xF5))
_ASCII = bytes(range(0x80))
_WORD_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

# Bytes per token. Dense: long runs without space or punctuation, such as keys and base64 in text.
_OF_ASCII, _OF_DIGITS, _OF_TWO, _OF_THREE, _OF_FOUR, _OF_DENSE = 4.2, 2.0, 5.5, 3.4, 2.6, 1.7
_LEAST_DENSE = 200
_MOST_MARKS_IN_DENSE = 0.02

# Tokens of a picture, a page and a second of media whose size is unknown.
# https://platform.openai.com/docs/guides/images-vision: 765 tokens for a square picture in high
# detail; https://platform.claude.com/docs/en/build-with-claude/vision: at most some 1,600;
# https://ai.google.dev/gemini-api/docs/tokens: 258 a tile, 32 a second of sound, 263 of film.
_OF_PICTURE = 900
_OF_OPAQUE = 100  # the model does not read a signature as text
_BYTES_OF_SOUND = 500  # 16 kB a second at 32 tokens
_BYTES_OF_FILM = 950  # 250 kB a second at 263 tokens
_BYTES_OF_DOCUMENT = 50  # 75 kB a page at 1,500 tokens
_LOOK_BACK = 120
_KINDS = re.compile(
    rb"(audio|wav|mp3|ogg|flac)|(video|mp4|webm)|(pdf|file_data|document)|(signature|ignature|encrypted)"
)


def tokens_of(raw: bytes, start: int, end: int) -> int:
    """Return the estimated tokens of the JSON between two positions."""
    text, media_tokens, at, begin, stop = 0, 0, start, start, end
    for first, last in _find_media(raw, start, end) if end - start >= _SHORTEST_MEDIA else ():
        text += _text_bytes(raw, at, first)
        media_tokens += _media_tokens(raw, first, last)
        # Sample the text before the first media, or the text after the last.
        stop = first if at == start else stop
        at = last
    text += _text_bytes(raw, at, end)
    if end - at > stop - begin:
        begin, stop = at, end
    if not text:
        return media_tokens
    escaped = text != end - start and _ESCAPE.search(raw, begin, stop) is not None
    return ceil(text / _bytes_per_token(raw, begin, stop, escaped=escaped)) + media_tokens


def _find_media(raw: bytes, start: int, end: int) -> Iterator[Span]:
    """Yield the span of each media value, from the head that identifies it to its closing quote."""
    at, list_end = start, -1
    for _ in range(_MOST_MEDIA):
        at = _NO_MEDIA.match(raw, at, end).end()  # type: ignore[union-attr] # an empty match at least
        if end - at < _SHORTEST_MEDIA:
            return
        found = _BASE64.match(raw, at, end)
        if found is not None and found.end() - at > _SHORTEST_MEDIA:
            after = _NEXT_IN_LIST.match(raw, list_end, at) if list_end >= 0 else None
            head = _HEAD.search(raw, max(start, at - _LONGEST_MEDIA_HEAD), at)
            in_list = after is not None and after.end() == at
            if in_list or head is not None:
                if in_list or (head is not None and head[1] is not None):
                    list_end = found.end()
                yield (at - 1 if head is None else head.start()), found.end()
        # No media begins before the next quotation mark.
        at = raw.find(b'"', at, end)
        if at < 0:
            return


def _media_tokens(raw: bytes, start: int, end: int) -> int:
    """Return the tokens of media, judged by the type or field name before them."""
    kinds = list(
        _KINDS.finditer(raw, max(0, start - _LOOK_BACK), min(end, start + _LONGEST_MEDIA_HEAD))
    )
    kind = kinds[-1].lastindex if kinds else 0
    decoded = (end - start) * 3 // 4
    if kind == 1:
        return decoded // _BYTES_OF_SOUND
    if kind == 2:
        return decoded // _BYTES_OF_FILM
    if kind == 3:
        return decoded // _BYTES_OF_DOCUMENT
    if kind == 4:
        return _OF_OPAQUE
    return _OF_PICTURE


def _text_bytes(raw: bytes, start: int, end: int) -> int:
    """Return the bytes of text; an escaped \\uXXXX counts as three, its usual UTF-8 length."""
    first = _ESCAPE.search(raw, start, end)
    if first is None:
        return end - start
    return end - start - 3 * raw.count(b"\\u", first.start(), end)


def _bytes_per_token(raw: bytes, start: int, end: int, *, escaped: bool) -> float:
    """Return the bytes per token of text, from a sample; `escaped` allows for \\uXXXX in it."""
    middle = (start + end) // 2
    if end - start <= _SAMPLE:
        sample = raw[start:end]
    else:
        sample = (
            raw[start : start + _SLICE] + raw[middle : middle + _SLICE] + raw[end - _SLICE : end]
        )
    if escaped:
        sample = _ESCAPE.sub(b"\xe6\x95\xb0", _ESCAPE_OF_TWO.sub(b"\xd0\xb0", sample))
    size = len(sample)
    digits = size - len(sample.translate(None, _DIGITS))
    plain = size - digits
    tokens = digits / _OF_DIGITS
    if not sample.isascii():
        two = 2 * (size - len(sample.translate(None, _LEADS_OF_TWO)))
        three = 3 * (size - len(sample.translate(None, _LEADS_OF_THREE)))
        four = 4 * (size - len(sample.translate(None, _LEADS_OF_FOUR)))
        tokens += two / _OF_TWO + three / _OF_THREE + four / _OF_FOUR
        plain -= len(sample.translate(None, _ASCII))
    elif size >= _LEAST_DENSE:
        inner = raw[middle : middle + _SLICE // 2]
        if b" " not in inner:
            marks = len(inner.translate(None, _WORD_BYTES))
            if marks < len(inner) * _MOST_MARKS_IN_DENSE:
                return _OF_DENSE
    return size / (tokens + plain / _OF_ASCII)
