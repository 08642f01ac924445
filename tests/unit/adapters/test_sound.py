"""How long uploaded sound is, and what text is spoken."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from tests.desk import Desk, admission

from tollgate.adapters.sound import TaggedSound
from tollgate.core.calls.reservation import Reservation
from tollgate.core.models.deployment import Deployment
from tollgate.core.money.pricing import Price, Rates

SPOKEN = Price("test", (Rates(0, 0, 0, 0, 0, character=10**9),))
HEARD = Price("test", (Rates(0, 0, 0, 0, 0, audio_second=10**9),))
MODEL = (Deployment("m", "m", "openai", "m", "http://mock-llm/v1"),)


def wav(seconds: int, rate: int = 8000) -> bytes:
    """A WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(rate)
        sound.writeframes(b"\x80" * seconds * rate)
    return file.getvalue()


def mp3(seconds: int) -> bytes:
    """MPEG-1 layer III at 128 kbit/s and 44.1 kHz: frames of 417 bytes, 26 ms each."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)
    return frame * round(seconds * 44100 / 1152)


def flac(seconds: int) -> bytes:
    """A FLAC file's beginning: what it says of the stream."""
    rate, samples = 44100, 44100 * seconds
    packed = (rate << 44) | (1 << 41) | (15 << 36) | samples
    return b"fLaC\x80\x00\x00\x22" + struct.pack(
        ">HH6s8s16s", 4096, 4096, bytes(6), packed.to_bytes(8, "big"), bytes(16)
    )


@pytest.mark.parametrize(
    ("file", "seconds"),
    [
        (wav(60), 60),
        (wav(3, 44100), 3),
        (mp3(20), 20),
        (flac(90), 90),
        (b"", None),
        (b"\x1aE\xdf\xa3" + bytes(5000), None),
        (b"no sound at all, but a text that somebody calls one" * 100, None),
        (wav(60)[:20], None),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff" + bytes(100), None),
        (b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(50), None),
        (b"fLaC" + b"\xff" * 40, None),
        (b"OggS" + b"\xff" * 60, None),
        (b"\x00\x00\x00\x20ftypM4A " + b"\xff" * 60, None),
    ],
)
def test_a_file_tells_how_long_it_is(file: bytes, seconds: int | None) -> None:
    """By its header, within a form; what is damaged tells nothing and breaks nothing."""
    raw = b"--x\r\n\r\n" + file + b"\r\n--x--"
    found = TaggedSound()(raw, 7, 7 + len(file))
    assert found is None if seconds is None else found == pytest.approx(seconds, rel=0.02)


async def asked(
    desk: Desk, path: str, body: object, content_type: str = "application/json"
) -> Reservation:
    headers = {"authorization": "Bearer sk-test", "content-type": content_type}
    reservation = admission(await desk.ask(body, path=path, headers=headers)).reservation
    assert reservation is not None
    return reservation


@pytest.mark.parametrize(
    ("body", "characters"),
    [
        ({"model": "m", "input": "あ" * 1000}, 1000),
        ({"model": "m", "input": "a" * 300}, 300),
        ({"model": "m", "input": "The tide is out.", "instructions": "Speak slowly. " * 50}, 16),
        # a pair of escapes is one character
        (b'{"model":"m","input":"\\ud83d\\ude00 ok"}', 4),
        ({"model": "m", "input": ["no", "text"]}, 0),
        ({"model": "m"}, 0),
    ],
)
async def test_speech_is_measured_by_its_characters(body: object, characters: int) -> None:
    """Decoded, and without the instructions; they are held as well."""
    reservation = await asked(Desk(deployments=MODEL, price=SPOKEN), "/v1/audio/speech", body)
    assert (reservation.characters, reservation.cost_nanousd) == (
        characters,
        max(1, characters * 1000),
    )


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


NAMED = b'content-disposition: form-data; name="model"\r\n\r\nm'


@pytest.mark.parametrize(
    ("parts", "seconds"),
    [
        ((b'content-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n90',), 90),
        (
            (
                b'content-disposition: form-data; name="file"; filename="a.webm"\r\n\r\n'
                + b"x" * 12_001,
            ),
            3,
        ),
        (
            (b'content-disposition: form-data; name="file_url"\r\n\r\nhttps://example.com/a.mp3',),
            60,
        ),
    ],
)
async def test_sound_is_measured_by_its_file(parts: tuple[bytes, ...], seconds: int) -> None:
    """Its header, or its size; sound that is elsewhere is taken for a minute."""
    content_type = "multipart/form-data; boundary=b"
    reservation = await asked(
        Desk(deployments=MODEL, price=HEARD),
        "/v1/audio/transcriptions",
        form(NAMED, *parts),
        content_type,
    )
    assert (reservation.audio_seconds, reservation.cost_nanousd) == (seconds, seconds * 1000)


async def test_only_what_is_priced_is_measured() -> None:
    """A model that is priced by the token pays for no look into a file."""
    desk = Desk(deployments=MODEL)
    desk.sound_length = None  # type: ignore[assignment,method-assign]
    part = b'content-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n90'
    reservation = await asked(
        desk, "/v1/audio/transcriptions", form(NAMED, part), "multipart/form-data; boundary=b"
    )
    assert reservation.audio_seconds == 0
    assert (await asked(desk, "/v1/audio/speech", {"model": "m", "input": "hi"})).characters == 0


async def test_schemas_and_tools_are_held(  # what a provider counts as prompt
) -> None:
    """And what Anthropic adds for tools."""
    desk = Desk()
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    ask = {"model": "claude", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    plain = await asked(desk, "/v1/messages", ask)
    helped = await asked(desk, "/v1/messages", {**ask, "tools": tools})
    assert (plain.tools, helped.tools) == (False, True)
    assert 346 < helped.input_tokens - plain.input_tokens < 400
    assert not (await asked(desk, "/v1/messages", {**ask, "tools": []})).tools
