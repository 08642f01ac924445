"""Read what Envoy vouches for: claims of tokens, other filters' metadata, certificates, and headers
that trusted proxies set.

Envoy tells each in a header with VERIFIED_PREFIX. It removes such headers from clients' requests
(`envoy_config/listener/`), so no client can set one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import msgspec
from msgspec import Struct

from tollgate.core.callers.customer_ids import checked_id, value_text
from tollgate.core.envoy_contract import VERIFIED_PREFIX
from tollgate.core.errors import BadRequest
from tollgate.core.memo import Bounded

CLAIMS_HEADER = f"{VERIFIED_PREFIX}claims"
"""The claims of an accepted token, as a JSON object."""
FAULT_HEADER = f"{VERIFIED_PREFIX}fault"
"""Why a token was not accepted, in Envoy's words."""
PEER_HEADER = f"{VERIFIED_PREFIX}peer"
"""The address at the other end of the connection, whatever x-forwarded-for says."""

Network = IPv4Network | IPv6Network

_MOST_BYTES = 4 * 1024 * 1024
# What an object of Python's takes for each character of the JSON that it was made of, about.
_BYTES_A_CHARACTER, _OBJECT_BYTES = 12, 500


class SourceKind(StrEnum):
    """What Envoy vouches for."""

    CLAIM = "claim"
    METADATA = "metadata"
    CERTIFICATE = "certificate"
    TRUSTED_HEADER = "trusted_header"


class VerifiedSource(Struct, frozen=True):
    """A place where a verified value stands.

    - `header`: in which Envoy tells it; of a TRUSTED_HEADER that header itself.
    - `name`: of a claim, a place in metadata, a kind of a certificate's name, or a header.
    - `namespace`: of METADATA.
    - `pattern`: a regular expression that the whole value has to match; its first group, if it has
      one, is what counts.
    """

    kind: SourceKind
    name: str
    header: str
    namespace: str = ""
    pattern: str = ""


def metadata_header(namespace: str) -> str:
    """Return the header in which Envoy tells the metadata of a namespace, as a JSON object.

    Named by a digest, since the names of headers have no upper case.
    """
    return f"{VERIFIED_PREFIX}metadata-{sha256(namespace.encode()).hexdigest()[:12]}"


def certificate_header(name_kind: str) -> str:
    """Return the header in which Envoy tells the alternative names of the client's certificate that
    are of one kind, separated by commas.
    """
    return f"{VERIFIED_PREFIX}certificate-{name_kind}"


class VerifiedReader:
    """Reads verified values. `trusted`: the networks of proxies whose headers are believed."""

    def __init__(self, trusted: tuple[Network, ...] = ()) -> None:
        self._trusted = trusted
        # A client sends the same token again and again.
        self._documents: Bounded[str, Mapping[str, Any]] = Bounded(_MOST_BYTES)
        self._peers: Bounded[str, bool] = Bounded(_MOST_BYTES)

    def find(
        self, source: VerifiedSource, headers: Mapping[str, str], *, several: bool
    ) -> Iterator[str]:
        """Yield the values at a source; none if it tells nothing that its pattern matches.

        `several`: a trusted header may list values, separated by commas. Raises BadRequest for a
        value that cannot be an id.
        """
        text = headers.get(source.header)
        if not text:
            return
        where = f"{source.kind} {source.name!r}"
        for told in self._told(source, text, headers, where, several=several):
            if value := _matched(source.pattern, told):
                yield checked_id(value, where)

    def _told(
        self,
        source: VerifiedSource,
        text: str,
        headers: Mapping[str, str],
        where: str,
        *,
        several: bool,
    ) -> Iterator[str]:
        if source.kind is SourceKind.CERTIFICATE:
            yield from text.split(",")
        elif source.kind is SourceKind.TRUSTED_HEADER:
            if self._is_trusted(headers.get(PEER_HEADER, "")):
                yield from (each.strip() for each in (text.split(",") if several else (text,)))
        else:
            value = _at(self._document(text), source.name)
            for each in value if isinstance(value, list) else (value,):
                if told := value_text(each, where):
                    yield told

    def _document(self, text: str) -> Mapping[str, Any]:
        document = self._documents.get(text)
        if document is None:
            document = _object(text)
            self._documents.put(text, document, _OBJECT_BYTES + _BYTES_A_CHARACTER * len(text))
        return document

    def _is_trusted(self, peer: str) -> bool:
        trusted = self._peers.get(peer)
        if trusted is None:
            trusted = _is_within(peer, self._trusted)
            self._peers.put(peer, trusted, _OBJECT_BYTES)
        return trusted


def _is_within(peer: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address belongs to one of the networks; the peer at a Unix socket has none."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in each for each in networks)


def _object(text: str) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadRequest("Envoy tells verified values that are no JSON object.") from error
    return document if isinstance(document, dict) else {}


def _at(document: Mapping[str, Any], name: str) -> Any:
    """Return the value under a name, or under the steps of a name with dots; None if there is none.

    The whole name comes first: claims are named like `https://example.com/team`, too.
    """
    if name in document:
        return document[name]
    value: Any = document
    for step in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _matched(pattern: str, value: str) -> str:
    """Return what of a value counts; empty if the pattern does not match it."""
    if not pattern:
        return value
    # Patterns are the configuration's, and few: `re` caches them.
    found = re.fullmatch(pattern, value)
    if found is None:
        return ""
    return (found[1] or "") if found.re.groups else found[0]
