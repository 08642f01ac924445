"""How many tokens a prompt may have, by its JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest
import toktok

from tollgate.core.requests import body, dialects
from tollgate.core.requests.prompt_size import tokens_of


def size(value: object, *, escaped: bool = False) -> int:
    raw = json.dumps(value, ensure_ascii=escaped).encode()
    return tokens_of(raw, 0, len(raw))


BASE64 = "QUJD" * 5000


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [
        # OpenAI, Anthropic, Gemini, Bedrock, Vertex, Ollama
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}}, 800, 1100),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": BASE64},
            },
            800,
            1100,
        ),
        ({"inlineData": {"mimeType": "image/png", "data": BASE64}}, 800, 1100),
        ({"image": {"format": "png", "source": {"bytes": BASE64}}}, 800, 1100),
        ({"image": {"bytesBase64Encoded": BASE64}}, 800, 1100),
        ({"content": "hi", "images": [BASE64, BASE64]}, 800, 2100),
        # 15,000 bytes of sound are a second, of film much less, of a document a fifth of a page
        ({"type": "input_audio", "input_audio": {"format": "wav", "data": BASE64}}, 20, 100),
        ({"inlineData": {"mimeType": "audio/mp3", "data": BASE64}}, 20, 100),
        ({"inlineData": {"mimeType": "video/mp4", "data": BASE64}}, 10, 100),
        ({"file": {"file_data": f"data:application/pdf;base64,{BASE64}"}}, 250, 500),
        # reasoning that goes back encrypted
        ({"type": "thinking", "thinking": "", "signature": BASE64}, 50, 200),
        ({"functionCall": {"name": "f"}, "thoughtSignature": BASE64}, 50, 200),
    ],
)
def test_media_cost_what_they_are_not_what_they_weigh(part: object, least: int, most: int) -> None:
    """By the place where an API keeps them, and the type that stands beside."""
    assert least <= size([{"role": "user", "content": [part]}]) <= most


def test_each_picture_of_a_list_counts() -> None:
    """Ollama's list of pictures, whose slashes may be escaped."""
    one, three = (size([{"content": "hi", "images": [BASE64] * count}]) for count in (1, 3))
    assert 1600 < three - one < 2000
    escaped = b'[{"images": [ "' + BASE64.encode() + b'" , "' + b"QUI\\/" * 3000 + b'"]}]'
    assert 1600 < tokens_of(escaped, 0, len(escaped)) < 2100


def test_media_after_text_that_looks_like_it_are_media() -> None:
    """Each by what stands before it."""
    text, picture = {"text": BASE64}, {"inlineData": {"mimeType": "image/png", "data": BASE64}}
    alone = size([text])
    assert 800 < size([text, picture]) - alone < 1100
    assert 800 < size([picture, text]) - alone < 1100


def test_of_very_many_pictures_the_rest_is_text() -> None:
    """No API takes as many, and each costs a search."""
    most, more = (size([{"images": ["QUJD" * 100] * count}]) for count in (4000, 8000))
    assert most < 4000 * 1000
    assert more - most < 4000 * 400


def test_text_that_looks_like_base64_is_text() -> None:
    """In a message it is read by the model, letter by letter."""
    assert size([{"role": "user", "content": BASE64}]) > len(BASE64) / 2
    assert size("a" * 300) > 100


def test_escapes_count_as_the_characters_that_they_stand_for() -> None:
    """A client that escapes non-ASCII text is held for about as much as one that does not."""
    for text in ("数" * 1000, "длинный текст " * 100, "日本語の文章です。" * 50):
        plain, escaped = size(text), size(text, escaped=True)
        assert 0.8 * plain <= escaped <= 1.7 * plain


def test_a_long_text_is_judged_by_samples() -> None:
    """Of its beginning, middle and end."""
    assert abs(size("The tide is out. " * 5000) / size("The tide is out. " * 50) - 100) < 5


@pytest.mark.parametrize(
    ("dialect", "member"),
    [
        (dialects.OPENAI_CHAT, "response_format"),
        (dialects.OPENAI_CHAT, "tools"),
        (dialects.OPENAI_CHAT, "functions"),
        (dialects.OPENAI_RESPONSES, "text"),
        (dialects.OPENAI_RESPONSES, "instructions"),
        (dialects.ANTHROPIC_MESSAGES, "tools"),
        (dialects.ANTHROPIC_MESSAGES, "output_format"),
        (dialects.GEMINI_GENERATE, "generationConfig"),
        (dialects.GEMINI_GENERATE, "systemInstruction"),
        (dialects.BEDROCK_CONVERSE, "toolConfig"),
        (dialects.COHERE_CHAT, "response_format"),
        (dialects.OLLAMA_GENERATE, "format"),
    ],
)
def test_schemas_and_tools_are_prompt(dialect: dialects.Dialect, member: str) -> None:
    """Providers count them."""
    content = {member: {"schema": {"type": "object", "description": "harbour " * 3000}}}
    facts = body.read(json.dumps(content).encode(), dialect.places)
    assert 3000 <= facts.prompt_tokens <= 9000


# --- against two vocabularies, over what people send

WORDS = [
    "the",
    "tide",
    "is",
    "out",
    "and",
    "boats",
    "lie",
    "still",
    "while",
    "gulls",
    "walk",
    "over",
    "wet",
    "sand",
    "toward",
    "a",
    "harbour",
    "whose",
    "lamps",
    "burn",
    "low",
    "because",
    "nobody",
    "has",
    "told",
    "fishermen",
    "that",
    "morning",
    "came",
    "early",
    "this",
    "year",
    "with",
    "rain",
    "from",
    "western",
    "hills",
    "and",
    "a",
    "wind",
    "that",
    "smells",
    "of",
    "salt",
    "iron",
    "rope",
    "bread",
    "coffee",
    "smoke",
    "tar",
    "old",
    "letters",
    "engines",
    "radio",
    "static",
    "children",
    "laughing",
    "somewhere",
    "behind",
    "walls",
]
CODE = (
    "def settle(self, reservation: Reservation, usage: Usage) -> Standing | None:\n    cost ="
    " price.bill(usage)\n    for account in reservation.accounts:\n        if account.budget is"
    " None:\n            continue\n        self._spent[account.scope] += cost  # nano-dollars\n   "
    " return self._standing(reservation)\n"
)
CHINESE = (
    "潮水退去,船只静静地停泊在港口里,海鸥在湿润的沙滩上行走,没有人告诉渔民今年的早晨来得特别早。"
)
JAPANESE = (
    "潮が引いて、船は港で静かに横たわっています。誰も漁師に今年の朝が早く来たことを伝えていません。"
)
RUSSIAN = (
    "Отлив закончился, лодки неподвижно лежат в гавани, и никто не сказал рыбакам, что утро"
    " наступило рано. "
)


def _prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words)).capitalize() + "."


def _schema(rng: random.Random, count: int) -> dict[str, Any]:
    names = rng.sample(WORDS, min(count, len(WORDS)))
    properties = {
        f"{name}_{number}": {
            "type": rng.choice(["string", "number", "boolean"]),
            "description": _prose(rng, 8),
        }
        for number, name in enumerate(names)
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties)[:3],
        "additionalProperties": False,
    }


def _digits(rng: random.Random, count: int) -> str:
    return "\n".join(
        f"{rng.randrange(10**6)},{rng.random():.6f},{rng.randrange(1000)}" for _ in range(count)
    )


TEXTS: dict[str, Callable[[random.Random, int], str]] = {
    "English": _prose,
    "code": lambda _, n: CODE * max(1, n // 80),
    "JSON": lambda rng, n: json.dumps(_schema(rng, max(2, n // 20))),
    "Chinese": lambda _, n: CHINESE * max(1, n // 30),
    "Japanese": lambda _, n: JAPANESE * max(1, n // 30),
    "Russian": lambda _, n: RUSSIAN * max(1, n // 20),
    "digits": lambda rng, n: _digits(rng, max(2, n // 10)),
    "mixed": lambda rng, n: _prose(rng, n // 2) + CODE + CHINESE + _digits(rng, n // 40 + 1),
}


def _requests(count: Callable[[str], int]) -> Iterator[tuple[str, float, int]]:
    """Kinds of text, and of requests over 100 tokens the estimate and the count."""
    rng = random.Random(7)
    for kind, written in TEXTS.items():
        for turns in (1, 2, 6):
            for words in (60, 250, 1200):
                for tools in (0, 0, 3):
                    messages = [
                        {"role": ("user", "assistant")[turn % 2], "content": written(rng, words)}
                        for turn in range(turns)
                    ]
                    request: dict[str, Any] = {"model": "m", "messages": messages}
                    # https://github.com/openai/openai-cookbook, "How to count tokens with tiktoken"
                    true = 3 + sum(
                        3 + count(each["role"]) + count(each["content"]) for each in messages
                    )
                    if tools:
                        defined = [
                            {
                                "type": "function",
                                "function": {
                                    "name": name,
                                    "description": _prose(rng, 12),
                                    "parameters": _schema(rng, 5),
                                },
                            }
                            for name in WORDS[:tools]
                        ]
                        request["tools"] = defined
                        true += sum(_tool_tokens(count, each["function"]) for each in defined) + 12
                    raw = json.dumps(request, ensure_ascii=rng.random() < 0.2).encode()
                    if true > 100:
                        yield kind, body.read(raw).prompt_tokens / true, true


def _tool_tokens(count: Callable[[str], int], function: dict[str, Any]) -> int:
    found = 7 + count(f"{function['name']}:{function['description']}") + 3
    for name, each in function["parameters"]["properties"].items():
        found += 3 + count(f"{name}:{each['type']}:{each['description']}")
    return found


@pytest.mark.parametrize("vocabulary", ["o200k_base", "cl100k_base"])
def test_estimates_are_near_what_vocabularies_count(vocabulary: str) -> None:
    """Before any model has taught them: the median within a fifth, few below half, nearly all below
    two and a half times.
    """

    def count(text: str) -> int:
        (tokens,) = toktok.batch_count([text], vocabulary, threads=1)
        return int(tokens)

    found = list(_requests(count))
    ratios = sorted(ratio for _, ratio, _ in found)
    for kind in TEXTS:
        of_kind = sorted(ratio for each, ratio, _ in found if each == kind)
        print(f"{vocabulary} {kind:9} {of_kind[0]:.2f} {median(of_kind):.2f} {of_kind[-1]:.2f}")
    low = sum(ratio < 0.5 for ratio in ratios) / len(ratios)
    p95 = ratios[int(len(ratios) * 0.95)]
    print(
        f"{vocabulary} all: median {median(ratios):.2f}, p95 {p95:.2f}, below half {low:.1%} of"
        f" {len(ratios)}"
    )
    assert 0.95 <= median(ratios) <= 1.2
    assert p95 < 2.5
    assert low < 0.05
