"""tollgate explain"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from tollgate.commands.errors import fail
from tollgate.commands.gateway import Gateway, asks_gateway, part
from tollgate.commands.key import named_key
from tollgate.core.limits.accounts import Meter


@asks_gateway
def explain(
    gateway: Gateway,
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="the reply's x-tollgate-request-id")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="a key, by alias, secret or hash: all limits that it meets")
    ] = None,
    organization_id: Annotated[
        str | None, typer.Option(help="whose ledger; the default one's")
    ] = None,
) -> None:
    """Show what one request used, the price that applied, and the arithmetic; of a refused one, the
    limit that refused it, and until when. With --key: every limit that calls of a key meet.

    Example: `tollgate explain 019ac3f0a1b2c3d4e5f6a7b8c9d0`
    """
    if (request_id is None) == (key is None):
        fail("name a request by its id, or a key: tollgate explain --key ALIAS")
    if key is not None:
        met = gateway.get("/v1/usage", {"key": named_key(gateway, key)})
        gateway.show(met if gateway.as_json else met_limits(part(met, "limits")), _MET)
        return
    query = {"request_id": request_id, "organization_id": organization_id}
    answer = gateway.get("/spend/explain", query)
    if gateway.as_json:
        gateway.show(answer)
        return
    try:
        lines = why_refused(answer) if answer.get("refused") else explained(answer)
    except (AttributeError, KeyError, TypeError, ValueError):
        fail(f"{gateway.url} answered with something else than an explanation; is it Tollgate?")
    typer.echo("\n".join(lines))


_AMOUNTS = ("amount", "used", "held", "left")
_MET = ("scope", "limit", "amount", "used", "held", "left", "resets_at", "notes")


def met_limits(limits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return limits as rows of a table."""
    return [
        {
            **each,
            **{name: _counted(each, name) for name in _AMOUNTS},
            "scope": " ".join(dict.fromkeys([each["scope"], each["scope_name"]])),
            "limit": each["words"] + (f" for {each['model']}" if each["model"] else ""),
            "notes": ", ".join(_notes(each)),
        }
        for each in limits
    ]


def _counted(limit: Mapping[str, Any], name: str) -> float | None:
    """Return an amount of a limit: only dollars have fractions."""
    amount: float | None = limit[name]
    return amount if amount is None or limit["meter"] == Meter.USD else round(amount)


def _notes(limit: Mapping[str, Any]) -> list[str]:
    instead = limit["on_exceeded"]
    found = [] if limit["enforced"] else ["shadow"]
    found += ["strict"] if limit["strict"] else []
    if limit["raised_by"]:
        found.append(f"raised by {limit['raised_by']} until {limit['raised_until']}")
    if limit["rollover_cap"] is not None:
        found.append(f"carries over up to {limit['rollover_cap']}")
    if isinstance(instead, dict):
        found += [f"on exceeded {name} {value}" for name, value in instead.items()]
    return [*found, *([f"waits {limit['max_wait_ms']} ms"] if limit["max_wait_ms"] else [])]


def explained(answer: Mapping[str, Any]) -> list[str]:
    """Return the answer of /spend/explain as readable lines."""
    price = answer["price"]
    lines = [
        (
            f"request    {answer['request_id']}, {answer['startTime']} to {answer['endTime']},"
            f" status {answer['status']}"
        ),
        (
            f"model      {answer['model']} ({answer['model_id']}), the reply says"
            f" {answer['reply_model'] or 'nothing'}"
            f"{': another model' if answer.get('other_model') else ''}"
        ),
        f"usage      {answer['usage']}, by {answer['settled_by']}: {_tokens(answer['tokens'])}",
        *(_pass(each) for each in answer["passes"]),
    ]
    if answer["told_nanousd"] is not None:
        lines.append(f"told cost  {answer['told_nanousd']} nano-dollars, by the provider")
    charged = (
        f"charged    {answer['cost_nanousd']} nano-dollars,"
        f" ${answer['cost_nanousd'] / 1_000_000_000:.9f}"
    )
    if answer.get("instead_of"):
        lines.append(f"instead of {answer['instead_of']}, by a limit's on_exceeded")
    if answer.get("shadow"):
        lines.append(f"shadow     did not fit {answer['shadow']}")
    if price is None:
        return [*lines, "price      none", charged, *_passed(answer["limits"])]
    tier = (
        f", above {price['above_input_tokens']} input tokens" if price["above_input_tokens"] else ""
    )
    service_tier = f", service tier {price['service_tier']}" if price["service_tier"] else ""
    geography = f", run in {price['geography']}" if price["geography"] else ""
    as_of = f", as of {price['as_of']}" if price["as_of"] else ""
    rows = [
        (str(line["units"]), line["kind"], f"x {line['nanousd_each']}", f"= {line['nanousd']}")
        for line in answer["lines"]
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return [
        *lines,
        f"price      {price['source']}{as_of}{tier}{service_tier}{geography}; in nano-dollars:",
        *(
            "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        ),
        f"sum        {answer['sum_nanousd']}",
        *(f"unpriced   {part}" for part in answer["unpriced"]),
        charged,
        *_passed(answer["limits"]),
    ]


def _passed(limits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each limit that a request passed."""
    for each in limits:
        scope = " ".join(dict.fromkeys([each["scope"], each["scope_id"]]))
        narrowed = f" for {each['model']}" if each["model"] else ""
        window = f" per {each['window']}" if each["window"] else ""
        shadow = (", shadow" if each["shadow"] else "") + (", a share" if each["share"] else "")
        before, used, after, amount, held = (
            f"{each[name]:.9f}".rstrip("0").rstrip(".")
            for name in ("before", "used", "after", "amount", "held")
        )
        yield (
            f"passed     {scope}{narrowed}: {before} + {used} = {after} of {amount}"
            f" {each['meter']}{window}{shadow}; {held} was held"
        )


def why_refused(answer: Mapping[str, Any]) -> list[str]:
    """Return a refusal as readable lines."""
    times = f", {answer['times']} times within a second" if answer["times"] > 1 else ""
    who = ", ".join(
        f"{noun} {value}"
        for noun, value in (
            ("key", answer["key_name"]),
            ("user", answer["user_id"]),
            ("team", answer["team_id"]),
            ("customer", answer["customer_id"]),
            ("organization", answer["organization_id"]),
        )
        if value
    )
    lines = [
        f"request    {answer['request_id']}, refused {answer['time']}, status {answer['status']}"
        f" {answer['reason']}{times}",
        f"who        {who}",
        f"model      {answer['model'] or 'not looked at'}",
        f"message    {answer['message']}",
    ]
    if (estimate := answer["estimate"]) is not None:
        lines.append(
            f"would hold {estimate['input_tokens']} tokens of input, {estimate['output_tokens']} of"
            f" output, ${estimate['spend']:.9f}"
        )
    if (limit := answer["limit"]) is None:
        return lines
    window = f" per {limit['window']}" if limit["window"] else ""
    narrowed = f" for model {limit['model']}" if limit["model"] else ""
    share = f", {limit['share']}" if limit["share"] else ""
    until = limit["until"] or (
        "a call in flight ends" if limit["only_held"] else "the limit is raised"
    )
    return [
        *lines,
        f"limit      {limit['meter']}{window} of {limit['scope']} {limit['scope_name']}{narrowed}"
        f"{share}",
        f"arithmetic {limit['arithmetic']}",
        f"until      {until}",
    ]


def _pass(told: Mapping[str, Any]) -> str:
    counts = {name: count for name, count in told.items() if name not in ("kind", "model")}
    return f"pass       {told['kind']} by {told['model'] or 'the same model'}: {_tokens(counts)}"


def _tokens(tokens: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in tokens.items() if count) or "nothing"
