"""What Envoy's own access log can print of a call, as ext_proc tells it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from tests.unit.adapters.envoy.ext_proc_door import BODY, DONE, JSON, STREAM, USAGE, WORD, Door

from tollgate.pb.ext_proc_pb2 import HttpTrailers, ProcessingMode, ProcessingResponse

CHARGED = {
    "settled": True,
    "cost_nanousd": "11",
    "certainty": "exact",
    "input_tokens": "3",
    "output_tokens": "4",
    "usage": {"input_tokens": 3.0, "output_tokens": 4.0},
}
FOR_FREE = {
    "settled": True,
    "cost_nanousd": "0",
    "certainty": "none",
    "input_tokens": "0",
    "output_tokens": "0",
    "usage": {},
}


def logged(response: ProcessingResponse | None) -> Any:
    """What an answer leaves for Envoy's own access log."""
    assert response is not None
    return MessageToDict(response.dynamic_metadata)["tollgate"]


@pytest.mark.parametrize("config", [None, ProcessingMode.FULL_DUPLEX_STREAMED])
async def test_the_answer_that_settles_tells_the_access_log_usage_and_cost(config: Any) -> None:
    """Of held replies, of streams and their trailers, and of errors, in each mode of Envoy's."""
    door = Door(config=config, logged=True)
    await door.headers(JSON, content_length="100")
    (held,) = await door.body(BODY.encode(), end=True)
    assert logged(held) == CHARGED
    for pieces in ((WORD, USAGE, DONE), (WORD, USAGE, DONE, b"")):
        door = Door(STREAM, config=config, logged=True)
        await door.headers()
        *_, last = await door.body(*pieces, end=True)
        assert logged(last) == CHARGED
    door = Door(STREAM, config=config, logged=True)
    await door.headers()
    await door.body(WORD, USAGE, DONE)
    assert logged(await door.hear(response_trailers=HttpTrailers())) == CHARGED
    assert logged(await Door(config=config, logged=True).headers(JSON, 429)) == FOR_FREE
