"""Read the files that TLS is served with."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from tollgate.core.errors import SettingsError


class TlsFiles(Struct, frozen=True):
    """Files in PEM.

    `client_ca`: authorities for required client certificates; None: clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """Return certificate, key and authorities as they are now. Raises SettingsError."""
        try:
            authorities = None if self.client_ca is None else self.client_ca.read_bytes()
            return self.certificate.read_bytes(), self.key.read_bytes(), authorities
        except OSError as error:
            raise SettingsError(f"cannot read {error.filename}: {error.strerror}") from error

    def stamps(self) -> tuple[int, ...]:
        """Return the time of change of each file; 0 for a missing one."""
        files = (self.certificate, self.key, self.client_ca)
        return tuple(
            each.stat().st_mtime_ns if each.exists() else 0 for each in files if each is not None
        )
