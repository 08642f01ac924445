"""Define the record of one refused request, stored as JSON."""

from __future__ import annotations

from msgspec import Struct


class LimitHit(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The limit that refused a request, and where it stood, in whole units of its meter.

    - `scope`, `scope_id`, `scope_name`: whose limit it is; the name is an alias where there is one.
    - `only_for`: the model that the limit is narrowed to.
    - `window`: how long the amount is for, as `1m`; empty: for ever, or calls in flight.
    - `used`: settled, without `held`, which calls in flight set aside. Dollars are nano-dollars.
    - `asked`: what the request would have set aside.
    - `until_us`: when the same request fits again if nobody else calls; None: time alone makes no
      room.
    - `only_held`: without the calls in flight it would have fitted.
    - `share`: of a caller's share of the limit, its words, as `share of team-a`; `amount` and
      `used` are then what it can use at once.
    """

    scope: str
    scope_id: str
    scope_name: str
    meter: str
    amount: int
    used: int
    asked: int
    only_for: str | None = None
    window: str = ""
    held: int = 0
    until_us: int | None = None
    only_held: bool = False
    share: str = ""


class RefusalRecord(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One refused request, or several of one key and reason that came within a second.

    - `id`: the reply's x-tollgate-request-id; of several, that of the last.
    - `times`: how many requests the record stands for.
    - `key_name`: the key's alias or last letters; empty: no known key asked.
    - `scopes`: the entities that the request belongs to, as `kind:id`, as far as they were known.
    - `model`: empty where the request was refused before its model was known.
    - `input_tokens`, `output_tokens`, `cost_nanousd`: the estimate, where there was one.
    """

    id: str
    organization: str
    refused_us: int
    status: int
    reason: str
    message: str
    key_name: str = ""
    scopes: tuple[str, ...] = ()
    model: str = ""
    times: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    hit: LimitHit | None = None
