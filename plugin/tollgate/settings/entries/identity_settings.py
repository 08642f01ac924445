"""Define `tollgate.identity`: who asks by what Envoy vouches for, without a key or beside one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from tollgate.core.callers.credentials import AUTHORIZATION, KEY_HEADERS
from tollgate.core.callers.identity import IdentityRules, Sources
from tollgate.core.callers.verified import (
    CLAIMS_HEADER,
    Network,
    SourceKind,
    VerifiedSource,
    certificate_header,
    metadata_header,
)
from tollgate.core.envoy_contract import HEADER_PREFIX

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
_NAMESPACE = re.compile(r"[\w.-]{1,200}")


def _header(name: str) -> str:
    lower = name.lower()
    if not _HEADER.fullmatch(lower):
        raise ValueError(f"{name!r} is no name of a header")
    if lower.startswith(HEADER_PREFIX):
        raise ValueError(f"{name!r} is a header of Tollgate's own")
    return lower


def _pattern(text: str) -> str:
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    if compiled.groups > 1:
        raise ValueError("has more than one group: which of them counts?")
    return text


def _address(url: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+(/\S*)?", url):
        raise ValueError("must be an address that begins with https:// or http://")
    return url


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network, such as 10.0.0.0/8: {error}") from error


def _listed(given: Any) -> Any:
    """Return one entry as a list of one."""
    return [given] if isinstance(given, dict) else given


HeaderName = Annotated[str, AfterValidator(_header)]


class SourceSetting(BaseModel):
    """Where a value that Envoy vouches for stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: str | None = Field(None, min_length=1)
    metadata: str | None = None
    at: str | None = None
    certificate: Literal["uri", "dns", "email"] | None = None
    trusted_header: HeaderName | None = None
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None

    def _choices(self) -> list[str]:
        return [each.value for each in SourceKind]

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [each for each in self._choices() if getattr(self, each) is not None]
        if len(given) != 1:
            raise ValueError(f"each source is one of {', '.join(self._choices())}")
        if (self.metadata is None) != (self.at is None):
            raise ValueError("metadata: NAMESPACE and at: PLACE belong together")
        if self.metadata is not None and not _NAMESPACE.fullmatch(self.metadata):
            raise ValueError(f"{self.metadata!r} is no namespace of Envoy's metadata")
        if self.pattern is not None and not self.is_verified:
            raise ValueError("pattern is for what Envoy vouches for")
        return self

    @property
    def is_verified(self) -> bool:
        """Whether Envoy vouches for it."""
        return any(getattr(self, each) is not None for each in SourceKind)

    def made(self) -> VerifiedSource:
        """Return the source, which must be a verified one."""
        pattern = self.pattern or ""
        if self.claim is not None:
            return VerifiedSource(SourceKind.CLAIM, self.claim, CLAIMS_HEADER, "", pattern)
        if self.metadata is not None:
            header, at = metadata_header(self.metadata), self.at or ""
            return VerifiedSource(SourceKind.METADATA, at, header, self.metadata, pattern)
        if self.certificate is not None:
            header = certificate_header(self.certificate)
            return VerifiedSource(SourceKind.CERTIFICATE, self.certificate, header, "", pattern)
        assert self.trusted_header is not None
        return VerifiedSource(
            SourceKind.TRUSTED_HEADER, self.trusted_header, self.trusted_header, "", pattern
        )


SourceSettings = Annotated[tuple[SourceSetting, ...], BeforeValidator(_listed)]


class TokenSettings(BaseModel):
    """Whose tokens are accepted. Envoy checks signature, issuer, audience and expiry.

    https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/jwt_authn_filter
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1, description="who issues the tokens: the claim `iss`")
    audiences: tuple[str, ...] = Field(
        min_length=1, description="one of them must be in the claim `aud`"
    )
    jwks_file: Path | None = Field(None, description="the issuer's public keys, a JWKS document")
    jwks_url: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="where Envoy fetches them, and fetches them anew every ten minutes"
    )
    headers: tuple[HeaderName, ...] = Field(
        KEY_HEADERS, min_length=1, description="where clients send a token"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("name either jwks_file or jwks_url")
        return self

    @property
    def prefixed(self) -> list[tuple[str, str]]:
        """The headers, each with what stands before the token."""
        return [(each, "Bearer " if each == AUTHORIZATION else "") for each in self.headers]


class IdentitySettings(BaseModel):
    """Who asks by what Envoy vouches for; docs/identity.md describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jwt: Annotated[tuple[TokenSettings, ...], BeforeValidator(_listed)] = Field(
        (), description="whose tokens are accepted"
    )
    trusted_proxies: tuple[Annotated[Network, PlainValidator(_network)], ...] = Field(
        (), description="networks of proxies whose headers are believed"
    )
    key: SourceSettings = Field((), description="the alias of a key")
    user: SourceSettings = Field((), description="the id of an internal user")
    team: SourceSettings = Field((), description="the id of a team")
    organization: SourceSettings = Field((), description="the id of an organization")
    customer: SourceSettings = Field(
        (), description="the customer, instead of one that the request names"
    )
    unknown: Literal["refuse", "allow"] = Field(
        "refuse",
        description=(
            "users, teams and organizations that nobody registered: refused, or allowed within the"
            " default limits"
        ),
    )

    @property
    def sources(self) -> Sources:
        """All sources that say who asks."""
        rules = self.rules()
        return (*rules.key, *rules.user, *rules.team, *rules.organization, *rules.customer)

    def rules(self) -> IdentityRules:
        """Return the rules for admission."""

        def made(sources: tuple[SourceSetting, ...]) -> Sources:
            return tuple(each.made() for each in sources)

        return IdentityRules(
            made(self.key),
            made(self.user),
            made(self.team),
            made(self.organization),
            made(self.customer),
            self.unknown == "allow",
            self.trusted_proxies,
        )

    def find_unverifiable(self, others: Iterable[VerifiedSource] = ()) -> str | None:
        """Return why a source would never tell anything; None if there is no such. `others`: those
        of dimensions.
        """
        kinds = {each.kind for each in (*self.sources, *others)}
        if SourceKind.CLAIM in kinds and not self.jwt:
            return "a claim is read, but identity.jwt names no issuer of tokens"
        if SourceKind.TRUSTED_HEADER in kinds and not self.trusted_proxies:
            return "a trusted_header is read, but identity.trusted_proxies names no proxy"
        return None
