"""Build the filters that check tokens and tell Tollgate what Envoy vouches for.

Only where the settings read any of it. A token that is not accepted stops nobody here: Tollgate
refuses in the words of the API that was called, and a key of the gateway is no token.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from tollgate.core.callers.identity import Sources
from tollgate.core.callers.verified import (
    CLAIMS_HEADER,
    FAULT_HEADER,
    PEER_HEADER,
    SourceKind,
    VerifiedSource,
)
from tollgate.core.envoy_contract import (
    TOKEN_CLAIMS,
    TOKEN_FAULT,
    TOKEN_FILTER,
    TOKEN_NAMESPACE,
    VERIFIED_FILTER,
)
from tollgate.envoy_config.literals import Json, overwritten, typed
from tollgate.settings import TollgateSettings
from tollgate.settings.entries.dimension_settings import dimensions_of
from tollgate.settings.entries.identity_settings import IdentitySettings, TokenSettings

_FILTERS = "envoy.extensions.filters.http"
# https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
_CERTIFICATE_NAMES = {
    "uri": "%DOWNSTREAM_PEER_URI_SAN%",
    "dns": "%DOWNSTREAM_PEER_DNS_SAN%",
    "email": "%DOWNSTREAM_PEER_EMAIL_SAN%",
}
_PEER = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"


def jwks_cluster_name(url: str) -> str:
    """Return the name of the cluster from which Envoy fetches an issuer's public keys."""
    return f"tollgate_jwks_{urlsplit(url).netloc}"


def verifying_filters(ours: TollgateSettings) -> list[Json]:
    """Return the filters, which must come before all that ask Tollgate."""
    built = {TOKEN_FILTER: _token_filter, VERIFIED_FILTER: _verified_filter}
    return [built[name](ours) for name in verifying_names(ours)]


def verifying_names(ours: TollgateSettings) -> tuple[str, ...]:
    """Return the names of the filters, in their order; none if the settings read nothing."""
    token = (TOKEN_FILTER,) if _identity(ours).jwt else ()
    return (*token, VERIFIED_FILTER) if _told(ours) else token


def verified_headers(ours: TollgateSettings) -> tuple[str, ...]:
    """Return the request headers that tell Tollgate what Envoy vouches for."""
    return tuple(dict.fromkeys((*_told(ours), *(each.header for each in verified_sources(ours)))))


def identity_headers(ours: TollgateSettings) -> tuple[str, ...] | None:
    """Return the request headers that may tell who asks; None if something else may, too."""
    identity = _identity(ours)
    rules = identity.rules()
    naming = (*rules.key, *rules.user, *rules.team, *rules.organization)
    if any(each.kind in (SourceKind.CERTIFICATE, SourceKind.METADATA) for each in naming):
        return None
    headers = [each.header for each in naming if each.kind is SourceKind.TRUSTED_HEADER]
    return (*headers, *token_headers(ours))


def token_headers(ours: TollgateSettings) -> tuple[str, ...]:
    """Return the request headers in which tokens are looked for."""
    return tuple(dict.fromkeys(name for each in _identity(ours).jwt for name in each.headers))


def verified_sources(ours: TollgateSettings) -> Sources:
    """Return every source that Envoy vouches for, of identities and of dimensions."""
    others = (source for each in dimensions_of(ours.dimensions) for source in each.verified)
    return (*_identity(ours).sources, *others)


def _identity(ours: TollgateSettings) -> IdentitySettings:
    return ours.identity or IdentitySettings()


def _token_filter(ours: TollgateSettings) -> Json:
    providers = {
        f"issuer{number}": _issuer(each) for number, each in enumerate(_identity(ours).jwt)
    }
    everywhere = {"match": {"prefix": "/"}, "requires": {"allow_missing_or_failed": {}}}
    config = typed(
        f"{_FILTERS}.jwt_authn.v3.JwtAuthentication", providers=providers, rules=[everywhere]
    )
    return {"name": TOKEN_FILTER, "typed_config": config}


def _issuer(token: TokenSettings) -> Json:
    """Return how tokens of an issuer are checked. An accepted one is taken off the request."""
    return {
        "issuer": token.issuer,
        "audiences": list(token.audiences),
        "require_expiration": True,
        "from_headers": [
            {"name": name, **({"value_prefix": prefix} if prefix else {})}
            for name, prefix in token.prefixed
        ],
        "payload_in_metadata": TOKEN_CLAIMS,
        "failed_status_in_metadata": TOKEN_FAULT,
        **_public_keys(token),
    }


def _public_keys(token: TokenSettings) -> Json:
    if token.jwks_url is None:
        return {"local_jwks": {"filename": str(token.jwks_file)}}
    where = {
        "uri": token.jwks_url,
        "cluster": jwks_cluster_name(token.jwks_url),
        "timeout": "5s",
    }
    # Fetched before the first request waits for them.
    return {"remote_jwks": {"http_uri": where, "async_fetch": {}}}


def _verified_filter(ours: TollgateSettings) -> Json:
    """Return the filter that sets the headers. A value that is absent sets none."""
    mutations = [{"append": each} for each in overwritten(_told(ours))]
    config = typed(
        f"{_FILTERS}.header_mutation.v3.HeaderMutation", mutations={"request_mutations": mutations}
    )
    return {"name": VERIFIED_FILTER, "typed_config": config}


def _told(ours: TollgateSettings) -> dict[str, str]:
    """Return the headers to set, each with its value in Envoy's format."""
    sources = verified_sources(ours)
    told = dict(pair for each in sources for pair in _told_of(each))
    if _identity(ours).jwt:
        told[FAULT_HEADER] = f"%DYNAMIC_METADATA({TOKEN_NAMESPACE}:{TOKEN_FAULT}:message)%"
    return told


def _told_of(source: VerifiedSource) -> Iterator[tuple[str, str]]:
    match source.kind:
        case SourceKind.CLAIM:
            yield CLAIMS_HEADER, f"%DYNAMIC_METADATA({TOKEN_NAMESPACE}:{TOKEN_CLAIMS})%"
        case SourceKind.METADATA:
            yield source.header, f"%DYNAMIC_METADATA({source.namespace})%"
        case SourceKind.CERTIFICATE:
            yield source.header, _CERTIFICATE_NAMES[source.name]
        case SourceKind.TRUSTED_HEADER:
            yield PEER_HEADER, _PEER
