"""Shares of a limit: the scripts and their Python twins agree on random histories."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.make import KEY
from tests.properties.test_lua_equals_python import (
    ON_ONE_STORE,
    Step,
    divided,
    in_memory,
    look_at,
    on_valkey,
    reserve,
    reserve_together,
    settle,
    wait,
)

from tollgate.core.limits.accounts import ENFORCED, Account, Enforcement, Meter, Quota
from tollgate.core.limits.shares import Shares


def of_shares() -> st.SearchStrategy[list[Step]]:
    """Calls of three callers who share one limit, so that it is mostly saturated."""
    division = st.builds(
        Shares,
        st.sampled_from([(("a", 600), ("b", 400)), (("a", 333), ("*", 100))]),
        st.sampled_from([0, 500, 900]),
    )
    whole = st.builds(
        Quota,
        st.sampled_from([Meter.REQUESTS, Meter.TOKENS]),
        st.integers(3, 90),
        st.sampled_from([60, 86_400]),
        enforcement=st.sampled_from([ENFORCED, Enforcement(shadow=True)]),
    )

    def steps_of(shared: tuple[Quota, Shares]) -> st.SearchStrategy[list[Step]]:
        held = [(Account(KEY, divided([shared[0]], shared[1], name)),) for name in "abc"]
        caller, identity = st.sampled_from(held), st.sampled_from([f"r{n}" for n in range(15)])
        amount = st.integers(0, 25)
        one = st.one_of(
            st.builds(reserve, identity, caller, amount, amount, st.booleans()),
            st.builds(reserve, identity, caller, amount, amount, st.booleans()),
            st.builds(reserve_together, caller, amount),
            st.builds(settle, identity, amount, amount),
            st.builds(wait, st.sampled_from([1_000, 700_000, 7_000_000, 13_000_000_000])),
            st.builds(look_at, caller),
        )
        return st.lists(one, min_size=10, max_size=40)

    return st.tuples(whole, division).flatmap(steps_of)


@settings(ON_ONE_STORE, max_examples=60)
@given(history=of_shares())
def test_they_agree_on_shares_of_a_limit(valkey_url: str, history: list[Step]) -> None:
    """Calls of several callers, most of which meet a limit of which the common part is used up."""
    assert asyncio.run(in_memory(history)) == asyncio.run(on_valkey(valkey_url, history))
