"""What a gateway takes of the machine before anything starts: its port, its state folder, a folder
for sockets, the system's certificates.

Each is taken or refused with one sentence (SettingsError), so that nothing has to be cleaned up
when it is refused.
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
from tollgate.topology import DEFAULT_TRUST_BUNDLE, Address

# The shortest limit of the systems that we run on (macOS: 104 bytes with the final zero).
_LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = "/envoy-admin.sock"
_FOLDER_PREFIX = "tollgate-"
# The file by which a folder's owner is known to live.
_OWNER = "owner"
# Fedora and RHEL, SUSE, Alpine and macOS; Debian's comes first.
_TRUST_BUNDLES = (
    DEFAULT_TRUST_BUNDLE,
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def claim_address(host: str, port: int, option: str) -> Address:
    """The address to listen on, as numbers; port 0 becomes a free one.

    Raises SettingsError, naming `option`, when it cannot be had.
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
        # Without it a port is refused for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            # Two sockets may both bind with SO_REUSEADDR as long as neither listens.
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SettingsError(
                    f"port {port} on {host} is in use: stop the program that uses it, or choose another with {option}"
                ) from error
            raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from error
        bound = probe.getsockname()
    return Address(host=bound[0], port=bound[1])


@contextmanager
def state_folder(path: Path) -> Iterator[int]:
    """Own the folder; gives the lock's descriptor.

    Who holds it open owns the folder, so a store that outlives us keeps it.
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
            f"the state folder {path} is in use by another Tollgate: stop that one, or choose another with --state-dir"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder for Unix sockets, which nobody else may enter; gone at the end.

    Removes those that earlier gateways left behind when they were killed.
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
    """Lock the folder for as long as this process lives; returns the lock's descriptor.

    The file gets its name once it is locked, so nobody finds it unlocked while its owner starts.
    """
    new = folder / f"{_OWNER}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(folder / _OWNER)
    return descriptor


def _remove_orphans(folder: Path) -> None:
    """Remove the socket folders in `folder` whose owner is gone.

    Those of other users cannot be opened.
    """
    for lock in folder.glob(f"{_FOLDER_PREFIX}*/{_OWNER}"):
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def find_trust_bundle(environment: Mapping[str, str]) -> str | None:
    """The file of the system's certificate authorities, if there is one; SSL_CERT_FILE names
    another.
    """
    usual = ssl.get_default_verify_paths()
    candidates = (
        environment.get("SSL_CERT_FILE"),
        *_TRUST_BUNDLES,
        usual.cafile,
        usual.openssl_cafile,
    )
    return next((each for each in candidates if each and Path(each).is_file()), None)


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
