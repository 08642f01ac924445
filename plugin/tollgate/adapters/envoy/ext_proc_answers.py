"""Word what ext_proc answers to Envoy, as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.struct_pb2 import Struct

from tollgate.core.calls.decision import Header
from tollgate.pb.common_pb2 import HeaderValue, HeaderValueOption
from tollgate.pb.ext_proc_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    ProcessingMode,
    ProcessingResponse,
    StreamedBodyResponse,
    TrailersResponse,
)


def encoded(**members: object) -> bytes:
    """Return an answer as Envoy reads it."""
    response: ProcessingResponse = ProcessingResponse(**members)  # type: ignore[arg-type]
    return response.SerializeToString()


UNCHANGED: Final = {
    "request_headers": encoded(request_headers=HeadersResponse()),
    "request_body": encoded(request_body=BodyResponse()),
    "request_trailers": encoded(request_trailers=TrailersResponse()),
    "response_headers": encoded(response_headers=HeadersResponse()),
    "response_body": encoded(response_body=BodyResponse()),
    "response_trailers": encoded(response_trailers=TrailersResponse()),
}
"""Answers to messages that need no change, by the kind of message."""


def streamed(body: bytes, *, end: bool) -> BodyResponse:
    """Return a piece in FULL_DUPLEX_STREAMED."""
    piece = StreamedBodyResponse(body=body, end_of_stream=end)
    return BodyResponse(
        response=CommonResponse(body_mutation=BodyMutation(streamed_response=piece))
    )


def replaced(body: bytes) -> BodyResponse:
    """Return other bytes in the place of a piece, in all other modes."""
    mutation = BodyMutation(body=body) if body else BodyMutation(clear_body=True)
    return BodyResponse(response=CommonResponse(body_mutation=mutation))


def unchanged_body(headers: Iterable[Header]) -> BodyResponse:
    """Return a held body as it came, with headers set over those of the same name."""
    return BodyResponse(response=CommonResponse(header_mutation=_mutation(headers, ())))


def headers_answer(
    headers: Iterable[Header] = (),
    removed: Iterable[str] = (),
    *,
    metadata: Struct,
    override: ProcessingMode | None = None,
) -> bytes:
    """Return the answer to a reply's headers: those to set, and names of those to remove."""
    common = CommonResponse(header_mutation=_mutation(headers, removed))
    return encoded(
        response_headers=HeadersResponse(response=common),
        mode_override=override,
        dynamic_metadata=metadata,
    )


def _mutation(headers: Iterable[Header], removed: Iterable[str]) -> HeaderMutation:
    action = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return HeaderMutation(
        set_headers=[
            HeaderValueOption(
                header=HeaderValue(key=each.name, raw_value=each.value.encode()),
                append_action=action,
            )
            for each in headers
        ],
        remove_headers=removed,
    )
