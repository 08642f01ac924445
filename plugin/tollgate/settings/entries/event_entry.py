"""Define an entry of `tollgate.events`: where events of settled calls go."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from tollgate.settings.edge_settings import OwnSection


class EventSinkEntry(OwnSection):
    """A webhook or a file."""

    webhook: str | None = Field(None, description="an address that events are posted to")
    secret: str | None = Field(None, description="signs what is posted (HMAC-SHA256)")
    file: Path | None = Field(None, description="a file that events are appended to")

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if (self.webhook is None) == (self.file is None):
            raise ValueError("needs a webhook or a file, not both")
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("webhook must begin with http:// or https://")
        if self.file is not None and self.secret is not None:
            raise ValueError("secret is of a webhook")
        return self

    @property
    def name(self) -> str:
        """Return what tells it apart from others; its position is kept under this name."""
        # Without what may be secret: the part behind the path.
        return f"file:{self.file}" if self.webhook is None else self.webhook.partition("?")[0]
