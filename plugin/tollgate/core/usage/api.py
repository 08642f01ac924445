"""The table of APIs, as providers.yaml writes it: where each keeps its counts, and what they mean. It parses no YAML itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tollgate.core.usage.paths import Condition, Path, Wanted


class Meaning(StrEnum):
    """What a provider's input and output counts include."""

    INCLUSIVE = "inclusive"  # input holds cached tokens, output holds reasoning
    EXCLUSIVE = "exclusive"  # cache reads and writes stand beside input; output holds reasoning
    GEMINI = "gemini"  # input holds cached tokens but not the prompts of tools; thoughts stand beside output


class Merge(StrEnum):
    """What to do when several events of one reply tell counts."""

    LAST = "last"  # the last event that tells any replaces all before it
    OVERRIDE = "override"  # each field that an event tells replaces that field


class Field(StrEnum):
    """What a row of the table locates."""

    INPUT = "input"
    OUTPUT = "output"
    TOTAL = "total"
    TOOL_INPUT = "tool_input"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    REASONING = "reasoning"
    INPUT_AUDIO = "input_audio"
    OUTPUT_AUDIO = "output_audio"
    INPUT_IMAGE = "input_image"
    OUTPUT_IMAGE = "output_image"
    SEARCHES = "searches"
    AUDIO_SECONDS = "audio_seconds"
    MODEL = "model"
    SERVICE_TIER = "service_tier"


@dataclass(frozen=True, slots=True)
class Root:
    """A place in a document where usage may stand. `early`: what stands there is not final; `stream_only`: elsewhere it means something else."""

    path: Path
    early: bool = False
    stream_only: bool = False


ANYWHERE = (Root(Path((), ())),)
NAMES = (Field.MODEL, Field.SERVICE_TIER)
"""The fields that are no counts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a table as they are read: what stands in one object is read from it together, instead of each path from the top.

    `places`: the objects, each by the number of the one that it stands in (0: the document) and its name there. `rows`: a field, the
    number of its object, and its name there; `walks`: the fields whose paths walk lists. Rows of one field are in the table's order,
    and those that walk lists come last. `names`: the fields that are no counts.
    """

    places: tuple[tuple[int, str], ...]
    rows: tuple[tuple[Field, int, str], ...]
    walks: tuple[tuple[Field, Path], ...]
    names: tuple[tuple[Field, tuple[Path, ...]], ...]

    @classmethod
    def of(cls, where: Mapping[Field, tuple[Path, ...]]) -> Layout:
        """The layout of a table."""
        numbers: dict[tuple[str, ...], int] = {(): 0}
        places: list[tuple[int, str]] = []
        rows, walks = [], []
        for name, path in ((name, path) for name, paths in where.items() if name not in NAMES for path in paths):
            if path.plain is None:
                walks.append((name, path))
                continue
            *above, leaf = path.plain
            for depth in range(1, len(above) + 1):
                if (names := tuple(above[:depth])) not in numbers:
                    places.append((numbers[names[:-1]], names[-1]))
                    numbers[names] = len(places)
            rows.append((name, numbers[tuple(above)], leaf))
        return cls(tuple(places), tuple(rows), tuple(walks), tuple((n, where[n]) for n in NAMES if n in where))


@dataclass(frozen=True, slots=True)
class Api:
    """One entry of providers.yaml.

    `marker`: bytes without which an event of a stream tells neither usage nor that it is done.
    `done_line`: the event that ends a stream and is no JSON; `done`: the condition on the JSON event that does.
    `final`: conditions of which one holds on the event, or on one before it, that makes usage final; none: usage is final when seen.
    `wrapped`: the key whose base64 value is the real event. `wanted`: all fields that the table reads.
    """

    name: str
    meaning: Meaning = Meaning.INCLUSIVE
    merge: Merge = Merge.LAST
    free: bool = False
    marker: bytes = b'"usage"'
    done_line: bytes = b""
    done: Condition | None = None
    final: tuple[Condition, ...] = ()
    needs: tuple[Field, ...] = ()
    zeros_omitted: bool = False
    roots: tuple[Root, ...] = ANYWHERE
    where: Mapping[Field, tuple[Path, ...]] = field(default_factory=dict)
    headers: Mapping[Field, str] = field(default_factory=dict)
    text: tuple[bytes, ...] = ()
    wrapped: str = ""
    wanted: Wanted = field(default_factory=dict)
    layout: Layout = field(init=False)
    """Of `where`; every reply needs it, so it is made once."""

    def __post_init__(self) -> None:
        """Find what follows from the table."""
        object.__setattr__(self, "layout", Layout.of(self.where))
