"""How a real Envoy calls the providers: credentials of each kind, TLS with names, and one
deployment after the other.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from tests.e2e.envoy_lab import Lab, Seen, Server, lab

# Envoy still fills it in; reading it is what betterproto2 warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:AccessLogCommon.intermediate_log_entry is deprecated"
)

_FILE = """
model_list:
  - model_name: azure
    litellm_params: {{model: azure/dep, api_base: "http://127.0.0.1:{provider}",
        api_key: os.environ/AZURE}}
  - model_name: gemini
    litellm_params: {{model: gemini/g, api_base: "http://127.0.0.1:{provider}/v1beta",
        api_key: os.environ/GEMINI}}
  - model_name: cohere
    litellm_params: {{model: cohere/command, api_base: "http://127.0.0.1:{provider}",
        api_key: os.environ/COHERE}}
  - model_name: bedrock-own
    litellm_params:
      model: bedrock/amazon.nova
      api_base: "http://127.0.0.1:{provider}"
      aws_region_name: eu-west-1
      aws_access_key_id: os.environ/ELSEWHERE
      aws_secret_access_key: os.environ/ELSEWHERE
  - model_name: bedrock
    litellm_params: {{model: bedrock/amazon.nova, api_base: "http://127.0.0.1:{provider}",
        aws_region_name: us-east-1}}
  - model_name: bedrock-key
    litellm_params: {{model: bedrock/amazon.nova, api_base: "http://127.0.0.1:{provider}",
        api_key: os.environ/BEDROCK}}
  - model_name: tls
    litellm_params: {{model: openai/m, api_base: "https://localhost:TLS/v1"}}
  - model_name: tls-other-name
    litellm_params: {{model: openai/m, api_base: "https://127.0.0.1:TLS/v1"}}
  - model_name: tls-unknown-authority
    litellm_params: {{model: openai/m, api_base: "https://localhost:SELF_SIGNED/v1"}}
  - model_name: pool
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:FIRST/one/v1",
        api_key: os.environ/ONE}}
  - model_name: pool
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{closed}/two"}}
  - model_name: pool
    litellm_params: {{model: openai/m, api_base: "http://localhost:{provider}/three/v1",
        api_key: os.environ/THREE}}
  - model_name: pool # another model upstream: it takes over from nobody, and nobody from it
    litellm_params: {{model: openai/other, api_base: "http://127.0.0.1:FIRST/v1"}}
  - model_name: aws-pool
    litellm_params: {{model: bedrock/amazon.nova, api_base: "http://127.0.0.1:FIRST",
        aws_region_name: us-west-2}}
  - model_name: aws-pool
    litellm_params: {{model: bedrock/amazon.nova, api_base: "http://localhost:{provider}/x",
        aws_region_name: us-east-1}}
general_settings: {{master_key: sk-1234}}
tollgate: {{max_request_bytes: 6000000}}
"""
_AWS = (
    "[default]\naws_access_key_id=AKIDOWN\n"
    "aws_secret_access_key=own/secret\naws_session_token=tok\n"
)
_ENVIRONMENT = {
    "AZURE": "k-azure", "GEMINI": "k-gemini", "COHERE": "k-cohere", "BEDROCK": "k-bedrock",
    "ONE": "k-one", "THREE": "k-three",
    "AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env/secret",
    "TOLLGATE_AWS_CREDENTIALS_3": _AWS,
}  # fmt: skip


@dataclass(frozen=True)
class Upstreams:
    """The gateway, and what stands behind it beside the lab's own provider."""

    lab: Lab
    first: Server
    secure: Server

    async def send(
        self, route: str, path: str = "/v1/chat/completions", body: bytes = b"{}"
    ) -> httpx.Response:
        """One request to a deployment."""
        headers = {
            "test-route": route,
            "authorization": "Bearer sk-virtual",
            "content-type": "application/json",
        }
        async with httpx.AsyncClient(timeout=20) as client:
            return await client.post(self.lab.url + path, content=body, headers=headers)

    @property
    def seen(self) -> list[Seen]:
        """What the lab's provider was sent."""
        return self.lab.provider.seen


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate of it for `localhost`, and one that signs itself; made by the
    openssl command.
    """
    folder = tmp_path_factory.mktemp("tls")
    new = [
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-x509",
        "-days",
        "2",
    ]
    name = ["-addext", "subjectAltName=DNS:localhost", "-subj", "/CN=localhost"]
    for command in (
        [*new, "-subj", "/CN=lab authority", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, *name, "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "good.key", "-out",
        "good.pem",
         "-addext", "basicConstraints=critical,CA:FALSE"],
        [*new, *name, "-keyout", "self.key", "-out", "self.pem"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return folder


def _secured(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest_asyncio.fixture(scope="module")
async def running(certificates: Path) -> AsyncIterator[Upstreams]:
    first, secure, itself = Server(), Server(), Server()
    async with (
        first.serving() as first_port,
        secure.serving(ssl=_secured(certificates, "good")) as secure_port,
        itself.serving(ssl=_secured(certificates, "self")) as itself_port,
    ):
        file = _FILE.replace("FIRST", str(first_port)).replace("SELF_SIGNED", str(itself_port))
        file = file.replace(":TLS/", f":{secure_port}/")
        async with lab(file, _ENVIRONMENT, str(certificates / "ca.pem")) as each:
            yield Upstreams(each, first, secure)


@pytest.fixture
def upstreams(running: Upstreams) -> Upstreams:
    """The running gateway, with nothing seen yet."""
    running.first.status = 503
    for memory in (running.first.seen, running.secure.seen, running.seen, running.lab.gate.checks):
        memory.clear()
    for memory in (running.lab.gate.streams, running.lab.gate.entries):
        memory.clear()
    return running


@pytest.mark.parametrize(
    ("route", "header", "value"),
    [
        ("azure", "api-key", "k-azure"),
        ("gemini", "x-goog-api-key", "k-gemini"),
        ("cohere", "authorization", "Bearer k-cohere"),
        ("bedrock-key", "authorization", "Bearer k-bedrock"),
    ],
)
async def test_each_provider_gets_its_key_where_it_wants_it(
    upstreams: Upstreams, route: str, header: str, value: str
) -> None:
    """One credential, and it is the provider's."""
    await upstreams.send(route)
    names = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
    assert {
        name: upstreams.seen[0].headers[name] for name in names if name in upstreams.seen[0].headers
    } == {header: value}


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("azure", "/openai/deployments/dep/chat/completions?api-version=1"),
        ("gemini", "/v1beta/models/g:generateContent?alt=sse"),
        ("cohere", "/v2/chat"),
        ("bedrock", "/model/a%3A0/converse"),
    ],
)
async def test_the_providers_own_paths_are_sent_as_they_are(
    upstreams: Upstreams, route: str, path: str
) -> None:
    """Encoded characters and the query too."""
    await upstreams.send(route, path)
    assert upstreams.seen[0].path == path


def _signature(seen: Seen, secret: str) -> str:
    """What AWS would compute for the request (docs.aws.amazon.com: create a signed request)."""
    scope, names, _ = (part.partition("=")[2] for part in seen.headers["authorization"].split(", "))
    _, day, region, service, _ = scope.split("/")
    headers = "".join(
        f"{name}:{' '.join(seen.headers[name].split())}\n" for name in names.split(";")
    )
    path, _, query = seen.path.partition("?")
    request = (
        seen.method,
        quote(path),
        query,
        headers,
        names,
        hashlib.sha256(seen.body).hexdigest(),
    )
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{seen.headers['x-amz-date']}\n{scope.partition('/')[2]}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


@pytest.mark.parametrize(
    ("route", "identity", "region", "secret"),
    [
        ("bedrock", "AKIDENV", "us-east-1", "env/secret"),
        ("bedrock-own", "AKIDOWN", "eu-west-1", "own/secret"),
    ],
)
async def test_bedrock_is_signed(
    upstreams: Upstreams, route: str, identity: str, region: str, secret: str
) -> None:
    """The signature is the one that AWS computes from what arrives, with the credentials of Envoy's
    environment or of the file.
    """
    await upstreams.send(route, "/model/amazon.nova%3A0/converse", b'{"messages":[]}')
    (seen,) = upstreams.seen
    signed = seen.headers["authorization"]
    assert f"Credential={identity}/" in signed
    assert f"/{region}/bedrock/aws4_request" in signed
    assert signed.rpartition("Signature=")[2] == _signature(seen, secret)


async def test_a_session_token_is_sent(upstreams: Upstreams) -> None:
    """Temporary credentials have three parts."""
    await upstreams.send("bedrock-own", "/model/m/converse")
    assert upstreams.seen[0].headers["x-amz-security-token"] == "tok"


async def test_a_long_body_is_signed(upstreams: Upstreams) -> None:
    """Longer than Envoy's own buffer."""
    body = b'{"messages":"' + b"x" * 3_000_000 + b'"}'
    reply = await upstreams.send("bedrock", "/model/m/converse", body)
    assert (reply.status_code, upstreams.seen[0].body == body) == (200, True)


async def test_a_provider_with_a_known_authority_and_the_right_name_is_called(
    upstreams: Upstreams,
) -> None:
    """https works, with the host of the api_base."""
    reply = await upstreams.send("tls")
    assert (reply.status_code, upstreams.secure.seen[0].headers["host"].partition(":")[0]) == (
        200,
        "localhost",
    )


@pytest.mark.parametrize("route", ["tls-other-name", "tls-unknown-authority"])
async def test_a_provider_that_cannot_prove_its_name_is_not_called(
    upstreams: Upstreams, route: str
) -> None:
    """A certificate for another name, or of an authority that nobody trusts: 503, and nothing was
    sent.
    """
    reply = await upstreams.send(route)
    assert (reply.status_code, upstreams.secure.seen) == (503, [])


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_another_deployment_takes_over(upstreams: Upstreams, status: int) -> None:
    """The first says 429 or 5xx, the second cannot be reached, the third serves, under its own
    host, path and key.
    """
    upstreams.first.status = status
    reply = await upstreams.send("pool", "/v1/chat/completions?a=b")
    tried, served = upstreams.first.seen[0], upstreams.seen[0]
    assert (tried.path, tried.headers["authorization"]) == (
        "/one/v1/chat/completions?a=b",
        "Bearer k-one",
    )
    assert (served.path, served.headers["authorization"]) == (
        "/three/v1/chat/completions?a=b",
        "Bearer k-three",
    )
    assert (reply.status_code, served.headers["host"].partition(":")[0]) == (200, "localhost")


async def test_failover_is_one_request_to_tollgate(upstreams: Upstreams) -> None:
    """One check, one metered reply (the last), one entry in the access log: one settlement."""
    await upstreams.send("pool", "/v1/x?once")
    entries = await upstreams.lab.entries("/three/v1/x?once")
    assert (len(upstreams.lab.gate.checks), len(upstreams.lab.gate.streams), len(entries)) == (
        1,
        1,
        1,
    )


async def test_the_last_deployment_begins_again_at_the_first(upstreams: Upstreams) -> None:
    """Each may be the first choice; those before it in the file stand behind it."""
    await upstreams.send("pool-2")
    assert (len(upstreams.first.seen), len(upstreams.seen)) == (0, 1)


async def test_what_the_caller_did_wrong_is_not_tried_elsewhere(upstreams: Upstreams) -> None:
    """A 400 is the same everywhere."""
    upstreams.first.status = 400
    reply = await upstreams.send("pool")
    assert (reply.status_code, upstreams.seen) == (400, [])


async def test_a_deployment_of_another_upstream_model_takes_over_from_nobody(
    upstreams: Upstreams,
) -> None:
    """The body was edited for one model."""
    reply = await upstreams.send("pool-4")
    assert (reply.status_code, len(upstreams.first.seen), upstreams.seen) == (503, 1, [])


async def test_a_long_body_is_sent_again(upstreams: Upstreams) -> None:
    """Longer than Envoy's own buffer."""
    body = b"x" * 3_000_000
    reply = await upstreams.send("pool", body=body)
    assert (reply.status_code, upstreams.seen[0].body == body) == (200, True)


async def test_each_attempt_is_signed_for_its_own_host_and_region(upstreams: Upstreams) -> None:
    """A signature covers path and host."""
    await upstreams.send("aws-pool", "/model/m/converse", b"{}")
    (seen,) = upstreams.seen
    signed = seen.headers["authorization"]
    assert (seen.path, "/us-east-1/bedrock/" in signed) == ("/x/model/m/converse", True)
    assert signed.rpartition("Signature=")[2] == _signature(seen, "env/secret")
