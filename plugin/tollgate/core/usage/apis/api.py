"""Define the table of APIs: where each keeps its counts, and what they mean.

YAML is parsed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tollgate.core.usage.apis.paths import Condition, Path, Wanted
from tollgate.core.usage.output import Output


class Meaning(StrEnum):
    """What a provider's input and output counts include."""

    INCLUSIVE = "inclusive"  # input includes cached tokens, output includes reasoning
    EXCLUSIVE = "exclusive"  # cache reads and writes are beside input; output includes reasoning
    # Input includes cached tokens but not the prompts of tools; thoughts are beside output.
    GEMINI = "gemini"


class Field(StrEnum):
    """A fact that a row of the table locates."""

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
    INPUT_VIDEO = "input_video"
    OUTPUT_VIDEO = "output_video"
    CACHE_READ_AUDIO = "cache_read_audio"
    CACHE_READ_IMAGE = "cache_read_image"
    CITATION = "citation"
    SEARCHES = "searches"
    IMAGE_SEARCHES = "image_searches"  # searches for pictures, beside those of the web
    SEARCH_CALLS = "search_calls"  # calls of a tool that searches or opens pages
    PAGE_VISITS = "page_visits"  # those of them that opened pages, which cost nothing
    GROUNDED = "grounded"  # the answer rests on a search, whether or not its queries are reported
    CITED = "cited"  # the same, shown by citations
    MAP_SEARCHES = "map_searches"
    SOURCES = "sources"
    FILE_SEARCHES = "file_searches"
    CODE_CONTAINERS = "code_containers"
    IMAGE_CALLS = "image_calls"
    IMAGE_TOOL_INPUT = "image_tool_input"  # of the model behind a hosted tool that draws
    IMAGE_TOOL_OUTPUT = "image_tool_output"
    IMAGE_TOOL_INPUT_IMAGE = "image_tool_input_image"
    IMAGE_TOOL_OUTPUT_IMAGE = "image_tool_output_image"
    AUDIO_SECONDS = "audio_seconds"
    PAGES = "pages"
    IMAGES = "images"  # pictures that the reply holds; they count where a model is priced by them
    COST = "cost"  # dollars
    COST_UPSTREAM = "cost_upstream"  # dollars charged by somebody behind the provider
    COST_TICKS = "cost_ticks"  # ten billion make a dollar
    OWN_KEY = "own_key"  # whether `cost_upstream` is charged to the caller's own account there
    MODEL = "model"
    SERVICE_TIER = "service_tier"
    GEOGRAPHY = "geography"
    SEARCH_CONTEXT = "search_context"
    IMAGE_TOOL_MODEL = "image_tool_model"


@dataclass(frozen=True, slots=True)
class Root:
    """A place in a document where usage may be.

    `early`: counts there are not final. `stream_only`: outside a stream it means something else.
    """

    path: Path
    early: bool = False
    stream_only: bool = False


ANYWHERE = (Root(Path((), ())),)
NAMES = (
    Field.MODEL,
    Field.SERVICE_TIER,
    Field.GEOGRAPHY,
    Field.SEARCH_CONTEXT,
    Field.IMAGE_TOOL_MODEL,
)
"""The fields that are not counts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table's rows grouped by object, so that fields of one object are read together.

    Reading each path from the top would repeat the walk for every row.

    - `places`: the objects, each as the index of its parent (0: the document) and its name there.
    - `rows`: a field, the index of its object, and its name there.
    - `walks`: fields whose paths walk lists, the index of the object that holds the list, and the
      path from there.
    - `names`: the fields that are not counts.

    Rows of one field keep the table's order; those that walk lists come last.
    """

    places: tuple[tuple[int, str], ...]
    rows: tuple[tuple[Field, int, str], ...]
    walks: tuple[tuple[Field, int, Path], ...]
    names: tuple[tuple[Field, tuple[Path, ...]], ...]

    @classmethod
    def of(cls, where: Mapping[Field, tuple[Path, ...]]) -> Layout:
        """Build the layout of a table."""
        numbers: dict[tuple[str, ...], int] = {(): 0}
        places: list[tuple[int, str]] = []
        rows, walks = [], []
        for name, path in (
            (name, path) for name, paths in where.items() if name not in NAMES for path in paths
        ):
            first = next(
                (number for number, step in enumerate(path.steps) if step.each), len(path.steps) - 1
            )
            above = tuple(step.name for step in path.steps[:first])
            for depth in range(1, len(above) + 1):
                if (names := above[:depth]) not in numbers:
                    places.append((numbers[names[:-1]], names[-1]))
                    numbers[names] = len(places)
            if path.plain is None:
                walks.append((name, numbers[above], Path(path.steps[first:], None)))
            else:
                rows.append((name, numbers[above], path.plain[-1]))
        return cls(
            tuple(places),
            tuple(rows),
            tuple(walks),
            tuple((n, where[n]) for n in NAMES if n in where),
        )


@dataclass(frozen=True, slots=True)
class Api:
    """One entry of providers.yaml.

    - `marker`: bytes without which an event of a stream neither reports usage nor ends it.
      `rare_markers`: the same for events without text.
    - `done_line`: the event that ends a stream and is not JSON. `done`: the condition on the JSON
      event that does.
    - `final`: usage is final once one of these conditions held on this or an earlier event. Empty:
      usage is always final.
    - `wrapped`: the key whose base64 value is the actual event.
    - `passes`: where runs of models are listed, each with counts of its own.
    - `output`: which part of a reply is output.
    - `wanted`: all fields that the table reads.
    """

    name: str
    meaning: Meaning = Meaning.INCLUSIVE
    free: bool = False
    marker: bytes = b'"usage"'
    rare_markers: tuple[bytes, ...] = ()
    done_line: bytes = b""
    done: Condition | None = None
    final: tuple[Condition, ...] = ()
    needs: tuple[Field, ...] = ()
    zeros_omitted: bool = False
    roots: tuple[Root, ...] = ANYWHERE
    where: Mapping[Field, tuple[Path, ...]] = field(default_factory=dict)
    headers: Mapping[Field, str] = field(default_factory=dict)
    output: Output = field(default_factory=Output)
    passes: Path | None = None
    wrapped: str = ""
    wanted: Wanted = field(default_factory=dict)
    layout: Layout = field(init=False)
    """Derived from `where` once, since every reply needs it."""

    def __post_init__(self) -> None:
        """Derive what follows from the table."""
        object.__setattr__(self, "layout", Layout.of(self.where))
