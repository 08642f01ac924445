"""Build what watches limits and tells alerts."""

from __future__ import annotations

from valkey.asyncio import Valkey

from tollgate.adapters.valkey.alerts.alert_queue import ValkeyAlertQueue
from tollgate.app.base import terms
from tollgate.metering.watched_scopes import AlertTerms
from tollgate.ports.event_ports import AlertSink
from tollgate.reporting.telling.alert_delivery import AlertDelivery
from tollgate.settings import Settings


def alert_terms(settings: Settings) -> AlertTerms | None:
    """Return what is watched; None: nothing is."""
    ours = settings.tollgate.alerts
    if ours is None:
        return None
    shares = tuple(sorted({round(each * 1000) for each in ours.budgets_at}))
    return AlertTerms(terms(settings).policy, shares, projected=ours.projected)


async def keep_telling(settings: Settings, client: Valkey) -> None:
    """Tell alerts to the sinks that the configuration names, forever."""
    if sinks := alert_sinks(settings):
        await AlertDelivery(ValkeyAlertQueue(client), sinks).keep_telling()


def alert_sinks(settings: Settings) -> list[AlertSink]:
    """Return whom the configuration tells alerts to."""
    ours, sinks = settings.tollgate.alerts, list[AlertSink]()
    if ours is None:
        return sinks
    # Only with alerts: the client of HTTP takes memory.
    from tollgate.adapters.alert_sinks.mailed import EmailSink, MailServer
    from tollgate.adapters.alert_sinks.posted import AlertWebhook, SlackSink

    if (webhook := ours.webhook) is not None:
        sinks.append(AlertWebhook(webhook.url, webhook.secret))
    if ours.slack is not None:
        sinks.append(SlackSink(ours.slack.url))
    if (email := ours.email) is not None:
        server = MailServer(email.host, email.port, email.username, email.password, email.starttls)
        sinks.append(EmailSink(server, email.sender, email.to))
    return sinks
