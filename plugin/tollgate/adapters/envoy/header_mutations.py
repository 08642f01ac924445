"""Changes of headers, as ext_proc tells them to Envoy."""

from __future__ import annotations

from collections.abc import Iterable

from tollgate.core.calls.decision import Header
from tollgate.pb.common_pb2 import HeaderValue, HeaderValueOption
from tollgate.pb.ext_proc_pb2 import (
    HeaderMutation,
)


def header_mutation(headers: Iterable[Header], removed: Iterable[str] = ()) -> HeaderMutation:
    """Return the mutation that sets headers, over those of the same name, and removes others."""
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
