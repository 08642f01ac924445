"""The contract with Envoy: what its values must be, whatever they are."""

from __future__ import annotations

from tollgate.core.envoy_contract import route_value


def test_each_deployment_has_a_route_value_of_its_own_in_visible_ascii() -> None:
    """Whatever its id holds, nothing of it is trimmed, changed or refused on the way."""
    ids = [
        "gpt-4o",
        "gpt 4o",
        " gpt 4o",
        "gpt%204o",
        "gpt\n4o",
        "模型",
        "a/b:c[1m]@d",
        "é",
        "e\u0301",
    ]
    values = [route_value(each) for each in ids]
    assert values[0] == "gpt-4o"
    assert len(set(values)) == len(ids)
    assert all(0x20 < ord(character) < 0x7F for value in values for character in value)
