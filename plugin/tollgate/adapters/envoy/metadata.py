"""The dynamic metadata that a request carries between Envoy's filters: state travels with it, never in a process."""

from __future__ import annotations

from typing import Final

import msgspec
from google.protobuf.struct_pb2 import Struct

from tollgate.core.entities import Edit, Reservation
from tollgate.pb.common_pb2 import Metadata

# ext_authz writes under the filter's own name; ext_proc under the namespace that its configuration lets it have.
AUTHZ_NAMESPACE: Final = "envoy.filters.http.ext_authz"
TOLLGATE_NAMESPACE: Final = "tollgate"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Reservation).decode


def admitted(reservation: Reservation | None, edits: tuple[Edit, ...]) -> Struct | None:
    """What ext_authz leaves for the others: the reservation as one string, and the edits as Lua reads them."""
    if reservation is None and not edits:
        return None
    struct = Struct()
    if reservation is not None:
        struct.fields["reservation"].string_value = _encode(reservation).decode()
    for edit in edits:
        fields = struct.fields["edits"].list_value.values.add().struct_value.fields
        fields["offset"].number_value = edit.offset
        fields["delete"].number_value = edit.delete
        fields["insert"].string_value = edit.insert
    return struct


def find_reservation(metadata: Metadata) -> Reservation | None:
    """The reservation of a request; None for one that was refused, or is none of ours."""
    if AUTHZ_NAMESPACE not in metadata.filter_metadata:
        return None
    fields = metadata.filter_metadata[AUTHZ_NAMESPACE].fields
    return _decode(fields["reservation"].string_value) if "reservation" in fields else None


def _flag(name: str) -> Struct:
    struct = Struct()
    struct.fields[TOLLGATE_NAMESPACE].struct_value.fields[name].bool_value = True
    return struct


METERED: Final = _flag("metered")
"""ext_proc has seen the reply's headers and will settle."""
SETTLED: Final = _flag("settled")
"""ext_proc has settled, or is about to in a task that will."""


def has_flag(metadata: Metadata, name: str) -> bool:
    """Whether ext_proc left that flag."""
    if TOLLGATE_NAMESPACE not in metadata.filter_metadata:
        return False
    return name in metadata.filter_metadata[TOLLGATE_NAMESPACE].fields
