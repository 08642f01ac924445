"""Placeholders in scripts."""

from __future__ import annotations

import pytest

from tollgate.core.placeholders import fill


def test_every_placeholder_is_replaced_wherever_it_stands() -> None:
    """Values are taken as they are: a mark in one begins no placeholder."""
    assert fill('get("@A@")["@B@"] .. @A@', {"A": "x@B@", "B": "y"}) == 'get("x@B@")["y"] .. x@B@'


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="NOBODY"):
        fill("@NOBODY@", {"A": "x"})


def test_a_mark_that_is_not_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="not closed"):
        fill("@A@ and @B", {"A": "x"})
