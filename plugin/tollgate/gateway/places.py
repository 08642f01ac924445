"""Claim what a gateway needs of the machine: its port, state folder, socket folder, certificates.

Each is claimed or refused with one sentence (SettingsError) before anything starts, so that nothing
has to be cleaned up.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tollgate.core.errors import SettingsError
from tollgate.settings import Settings
from tollgate.topology import DEFAULT_TRUST_BUNDLE, Address

# The shortest limit of the supported systems (macOS: 104 bytes with the final zero).
_LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = "/envoy-admin.sock"
_FOLDER_PREFIX = "tollgate-"
# The file whose lock shows that a folder's owner is alive.
_OWNER = "owner"
# Fedora and RHEL, SUSE, Alpine and macOS; Debian's path is tried first.
_TRUST_BUNDLES = (
    DEFAULT_TRUST_BUNDLE,
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def claim_address(host: str, port: int, option: str) -> Address:
    """Return the address to listen on, in numbers; port 0 becomes a free port.

    Raises SettingsError, naming `option`, if it cannot be used.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingsError(
            f"{host} is not an address of this machine: {error.strerror}"
        ) from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Otherwise a port is refused for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            # Two sockets may both bind with SO_REUSEADDR as long as neither listens.
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SettingsError(
                    f"port {port} on {host} is in use: stop the program that uses it, or choose"
                    f" another with {option}"
                ) from error
            raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from error
        bound = probe.getsockname()
    return Address(host=bound[0], port=bound[1])


@contextmanager
def state_folder(path: Path) -> Iterator[int]:
    """Own the folder for the duration of the block; yields the lock's descriptor.

    Whoever holds the descriptor open owns the folder, so a store that outlives us keeps it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"cannot use {path} as state folder: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SettingsError(
            f"the state folder {path} is in use by another Tollgate: stop that one, or choose"
            " another with --state-dir"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def socket_folder() -> Iterator[Path]:
    """Provide a folder for Unix sockets that nobody else may enter, and remove it at the end.

    Also removes the folders of earlier gateways that were killed.
    """
    name = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    if len(os.fsencode(f"{name}{_LONGEST_SOCKET_NAME}")) > _LONGEST_SOCKET_PATH:
        name.rmdir()
        name = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir="/tmp"))
    owned = _own(name)
    _remove_orphans(name.parent)
    try:
        yield name
    finally:
        shutil.rmtree(name, ignore_errors=True)
        os.close(owned)


def _own(folder: Path) -> int:
    """Lock the folder for the lifetime of this process; return the lock's descriptor.

    The lock file gets its name only once it is locked, so nobody finds it unlocked while its owner
    starts.
    """
    new = folder / f"{_OWNER}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(folder / _OWNER)
    return descriptor


def _remove_orphans(folder: Path) -> None:
    """Remove the socket folders in `folder` whose owner is gone.

    Folders of other users cannot be opened and stay.
    """
    for lock in folder.glob(f"{_FOLDER_PREFIX}*/{_OWNER}"):
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def find_trust_bundle(environment: Mapping[str, str]) -> str | None:
    """Return the file of the system's certificate authorities, if any;
    SSL_CERT_FILE overrides it.
    """
    usual = ssl.get_default_verify_paths()
    candidates = (
        environment.get("SSL_CERT_FILE"),
        *_TRUST_BUNDLES,
        usual.cafile,
        usual.openssl_cafile,
    )
    return next((each for each in candidates if each and Path(each).is_file()), None)


def trust_bundle_of(settings: Settings) -> str:
    """Return the file of the system's certificate authorities.

    Raises SettingsError if a deployment needs one and there is none.
    """
    found = find_trust_bundle(os.environ)
    if found is None and any(each.api_base.startswith("https:") for each in settings.deployments):
        raise SettingsError(
            "no certificate authorities were found: install ca-certificates, or name it in"
            " SSL_CERT_FILE"
        )
    return found or DEFAULT_TRUST_BUNDLE


def claim_metrics(settings: Settings) -> None:
    """Check that the metrics' own address can be used, if they have one."""
    if (address := settings.tollgate.metrics.address) is not None:
        where = Address.parse(address)
        if where.path or not where.port:
            raise SettingsError(f"tollgate.metrics.address: {address!r} is not host:port")
        claim_address(where.host, where.port, "tollgate.metrics.address")


def claim_place(address: Address, option: str) -> Address:
    """Return the address, with a free port for port 0. Raises SettingsError if it is taken."""
    return address if address.path else claim_address(address.host, address.port, option)


async def answers_ping(path: Path) -> bool:
    """Whether a store answers at a Unix socket."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        # While it reads its file it answers -LOADING.
        return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
    finally:
        writer.close()
