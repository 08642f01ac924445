"""Files with the providers' keys, as Envoy takes them (SDS).

The content of a file never changes: another key is another file, which a new version of the
deployment's cluster names. A key that replaced the content of a file would also reach calls of the
deployment's former address. Deployments with the same key share its file, because Envoy has an
inotify instance for each file, and aborts when the kernel grants it no more.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from tollgate.core.errors import NotYet, SettingsError
from tollgate.settings import Credential, Settings
from tollgate.topology import secret_name

_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_PREFIX = "secret-"
_INSTANCES_FILE = Path("/proc/sys/fs/inotify/max_user_instances")
# For Envoy's other files, and other programs of the same user.
_KEPT_FREE = 32
# Envoy's own: clusters, routes, a certificate and its authorities.
_OTHER_FILES = 4
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def granted_watches(wanted: int) -> int:
    """Return how many of so many more inotify instances the kernel would grant now."""
    if _LIBC is None:
        return wanted
    opened: list[int] = []
    try:
        while len(opened) < wanted and (instance := _LIBC.inotify_init1(0)) >= 0:
            opened.append(instance)
        return len(opened)
    finally:
        for each in opened:
            os.close(each)


def most_watched() -> int | None:
    """Return how many inotify instances a user may have; None where nobody knows."""
    try:
        return int(_INSTANCES_FILE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


class SecretFiles:
    """The files of one folder.

    `mode`: who may read them. `aws`: whether credentials for AWS are among them, which Envoy takes
    from files and its environment only. `own`: Envoy's environment, from which it takes its own AWS
    credentials; None if Envoy is somebody else's. `watched`: whether Envoy reads the files itself.
    `granted`: tells how many of so many more inotify instances an Envoy of ours would get.
    """

    def __init__(
        self,
        folder: Path,
        mode: int,
        own: Mapping[str, str] | None = None,
        *,
        aws: bool = True,
        watched: bool = True,
        granted: Callable[[int], int] = granted_watches,
    ) -> None:
        self._folder = folder
        self._aws = aws
        self._watched = watched
        self._mode = mode
        self._own = own
        self._granted = granted

    def write(self, settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
        """Write the settings' credentials, and return each one's file by its variable.

        Raises SettingsError for credentials that nobody has set, for a change of Envoy's own, and
        for more keys than Envoy may watch; NotYet if other programs watch too many files now.
        """
        if missing := settings.missing_variables(environment):
            raise SettingsError("\n".join(missing))
        found, texts = {}, {}
        for name, credential in settings.credentials.items():
            value = credential.value or environment[credential.variable]
            if name == credential.variable:
                self._check_own(name, value)
                continue
            if credential.aws and not self._aws:
                continue
            digest = sha256(value.encode()).hexdigest()[:16]
            file = self._folder / f"{_PREFIX}{digest}.json"
            if not file.exists():
                texts[file] = _text(credential, value, secret_name(str(file)))
            found[credential.variable] = str(file)
        self._check_watched(len(set(found.values())))
        self._check_granted(len(texts))
        for file, text in texts.items():
            self._put(file, text)
        return found

    def forget_others(self, named_in: str) -> None:
        """Remove the files that a text does not name."""
        for each in self._folder.glob(f"{_PREFIX}*.json"):
            if each.name not in named_in:
                each.unlink(missing_ok=True)

    def _check_watched(self, files: int) -> None:
        most = most_watched()
        if self._watched and most is not None and files > most - _KEPT_FREE:
            raise SettingsError(
                f"the deployments have {files} different keys, and Envoy watches a file for each:"
                f" fs.inotify.max_user_instances is {most}; raise it to {files + 2 * _KEPT_FREE}"
                " or more (sysctl)"
            )

    def _check_granted(self, files: int) -> None:
        """Raise NotYet if an Envoy of ours would not get the instances for so many new files: it
        would abort.
        """
        wanted = files + _OTHER_FILES
        if not files or self._own is None or not self._watched:
            return
        if (granted := self._granted(wanted)) < wanted:
            raise NotYet(
                f"Envoy watches a file for each key and needs {wanted} more inotify instances; the"
                f" kernel grants this user {granted} now: raise fs.inotify.max_user_instances"
                " (sysctl), or stop other programs that watch files"
            )

    def _check_own(self, name: str, value: str) -> None:
        if self._own is not None and self._own.get(name) != value:
            raise SettingsError(
                f"{name}: Envoy reads its own AWS credentials at its start only: restart"
            )

    def _put(self, file: Path, text: str) -> None:
        new = file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self._mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            os.fchmod(descriptor, self._mode)
            opened.write(text)
        new.replace(file)


def _text(credential: Credential, value: str, name: str) -> str:
    """Return a secret for Envoy; for AWS, which takes none, a credentials file."""
    if credential.aws:
        return value
    secret = {
        "name": name,
        "generic_secret": {"secret": {"inline_string": value}},
    }
    return json.dumps({"resources": [{"@type": _SECRET, **secret}]})
