"""Read and write the dynamic metadata that a request carries between Envoy's filters.

The state of a request travels with it, never in a process.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Final

from google.protobuf.struct_pb2 import Struct

from tollgate.core.calls import reservation_text as reservations
from tollgate.core.calls.decision import Admission, Edit
from tollgate.core.calls.reservation import Reservation, Settlement
from tollgate.core.calls.usage import Counts
from tollgate.core.envoy_contract import (
    AUTHZ_FILTER,
    EDITS,
    EXT_PROC_NAMESPACE,
    LOGGED_PREFIX,
    METER_HEADER,
    METERED,
    READ_BY_EXT_PROC,
    RESERVATION,
    SETTLED,
    USAGE_NAMESPACE,
)
from tollgate.pb.common_pb2 import Metadata

_UNPRINTABLE = re.compile(r"[^ -~]")


def admitted(admission: Admission) -> Struct | None:
    """Return what ext_authz leaves for the other filters: reservation and edits,
    one string each.
    """
    reservation, edits = admission.reservation, admission.edits
    if reservation is None and not edits:
        return None
    struct = Struct()
    if reservation is not None:
        text = reservations.encode(reservation, admission.levels)
        struct.fields[RESERVATION].string_value = text
    if edits:
        struct.fields[EDITS].string_value = edits_text(edits)
    return struct


def edits_text(edits: tuple[Edit, ...]) -> str:
    """Return the edits in the form that Lua reads: offset, bytes to delete, inserted bytes in
    hexadecimal.
    """
    return "".join(f"{each.offset},{each.delete},{each.insert.encode().hex()};" for each in edits)


def reservation_text(reservation: Reservation, levels: tuple[int, ...] = ()) -> str:
    """Return the reservation as a header value: ASCII JSON without control characters.

    Ids may be in any script.
    """
    text = reservations.encode(reservation, levels)
    # JSON escapes every control character except this one.
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNPRINTABLE.sub(_escaped, text)


def find_admitted(metadata: Metadata) -> tuple[Reservation, str] | None:
    """Return the reservation of a request, and which of Envoy's filters reads its reply (or
    `READ_BY_EXT_PROC`); None if it was refused or is not ours.
    """
    namespaces = metadata.filter_metadata
    if AUTHZ_FILTER not in namespaces:
        return None
    fields = namespaces[AUTHZ_FILTER].fields
    if RESERVATION not in fields:
        return None
    reader = fields[METER_HEADER].string_value if METER_HEADER in fields else READ_BY_EXT_PROC
    return reservations.decode(fields[RESERVATION].string_value), reader


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def usage_fields(metadata: Metadata) -> dict[str, object]:
    """Return the usage that Envoy's own filters found."""
    namespaces = metadata.filter_metadata
    if USAGE_NAMESPACE not in namespaces:
        return {}
    fields, found = namespaces[USAGE_NAMESPACE].fields, dict[str, object]()
    for name in fields:  # items() would go through a Python generator
        value = fields[name]
        # Numbers and texts are most of it; a zero looks like any other kind until it is asked.
        if text := value.string_value:
            found[name] = text
        elif (number := value.number_value) or value.HasField("number_value"):
            # A double, whatever the reply said.
            found[name] = int(number) if number.is_integer() else number
        elif (kind := value.WhichOneof("kind")) is not None:
            found[name] = getattr(value, kind)
    return found


def _flag(name: str) -> Struct:
    struct = Struct()
    struct.fields[EXT_PROC_NAMESPACE].struct_value.fields[name].bool_value = True
    return struct


def logged_facts(admission: Admission) -> Iterator[tuple[str, str]]:
    """Yield names and values of an admission for Envoy's own access log, as printable ASCII.

    Escaped like JSON, because a log must not be broken by an alias with a line end.
    """
    reservation = admission.reservation
    if reservation is None:
        return
    for name, value in (
        ("request_id", reservation.id),
        ("key_alias", admission.key_name),
        ("model", reservation.model),
        ("held_nanousd", str(reservation.cost_nanousd)),
    ):
        yield LOGGED_PREFIX + name, _UNPRINTABLE.sub(_escaped, value)


def logged_settlement(settlement: Settlement) -> Struct:
    """Return SETTLED_FLAG with what Envoy's own access log may print of a settlement.

    What is printed alone is text: of a number, Envoy prints six digits.
    """
    struct = Struct()
    fields = struct.fields[EXT_PROC_NAMESPACE].struct_value.fields
    fields[SETTLED].bool_value = True
    usage = settlement.usage
    for name, value in (
        ("cost_nanousd", str(settlement.cost_nanousd)),
        ("certainty", settlement.certainty),
        ("input_tokens", str(usage.input_tokens)),
        ("output_tokens", str(usage.output_tokens)),
    ):
        fields[name].string_value = value
    counts = fields["usage"].struct_value
    counts.SetInParent()
    for kind in Counts.__struct_fields__:
        if amount := getattr(usage, kind):
            counts.fields[kind].number_value = amount
    return struct


METERED_FLAG: Final = _flag(METERED)
SETTLED_FLAG: Final = _flag(SETTLED)


def flags_of(metadata: Metadata) -> Container[str]:
    """Return the flags that ext_proc set."""
    namespaces = metadata.filter_metadata
    return namespaces[EXT_PROC_NAMESPACE].fields if EXT_PROC_NAMESPACE in namespaces else ()
