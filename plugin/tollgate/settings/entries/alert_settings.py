"""Define `tollgate.alerts`: who is told when a limit comes to a threshold."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("must be an address that begins with https:// or http://")
    return url


Address = Annotated[str, AfterValidator(_address)]


class WebhookSettings(_Section):
    """A receiver of alerts as JSON, with LiteLLM's fields."""

    url: Address = Field(description="where alerts are posted")
    secret: str | None = Field(
        None, min_length=16, description="key of the HMAC in `x-tollgate-signature`"
    )


class SlackSettings(_Section):
    """A receiver that takes Slack's messages: Slack, Mattermost, Discord's `/slack` addresses."""

    url: Address = Field(description="the incoming webhook")


class EmailSettings(_Section):
    """E-mail by SMTP."""

    host: str = Field(description="SMTP server")
    port: int = Field(587, ge=1, le=65535, description="its port")
    sender: str = Field(description="the address that mails come from")
    to: tuple[str, ...] = Field(min_length=1, description="the addresses that are told")
    username: str | None = Field(None, description="user at the server")
    password: str | None = Field(None, description="its password")
    starttls: bool = Field(default=True, description="whether the connection is encrypted")


class AlertSettings(_Section):
    """What is watched, and who is told."""

    budgets_at: tuple[Annotated[float, Field(ge=0.001, le=10)], ...] = Field(
        (0.85, 0.95, 1.0),
        max_length=10,
        description="shares of every `max_budget` at which an alert is told",
    )
    projected: bool = Field(
        default=False,
        description="whether a budget is told that will be spent before its period ends, at the"
        " pace of its first tenth or more",
    )
    webhook: WebhookSettings | None = Field(None, description="a receiver of JSON")
    slack: SlackSettings | None = Field(None, description="a receiver of Slack's messages")
    email: EmailSettings | None = Field(None, description="e-mail by SMTP")
