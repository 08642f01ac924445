"""Read one section of a file into its model, resolving variables and collecting faults."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ValidationError

from tollgate.core.errors import cut
from tollgate.core.money.costs import WRONG_COST, find_wrong_costs, is_served_price
from tollgate.settings.environment import Environment, variable_of

AWS_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# Providers' keys go from the environment straight to Envoy.
_KEYS = ("api_key", *AWS_CREDENTIALS)
_SECRETS = (*_KEYS, "master_key", "redis_url")
_MAY_BE_UNSET = ("master_key",)
_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "missing": "must be given",
    "model_type": "must be a mapping",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}
_NUMBERS = ("decimal_", "int_", "float_")

T = TypeVar("T", bound=BaseModel)


class Faults(list[str]):
    """Lines that each say what is wrong, and where."""

    def add(self, where: str, message: str) -> None:
        """Add a fault."""
        self.append(f"{where}: {message}")


def read_section(
    kind: type[T], given: object, where: str, environment: Environment, faults: Faults
) -> T | None:
    """Return a section, or None if it has a fault.

    An empty section counts as absent, and so does a null in it. In LiteLLM's sections an empty
    text does too, where a text may be left out: templates of files are full of them.
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        faults.add(where, f"must be a mapping of names to values (got {cut(repr(given))})")
        return None
    whole, names = kind.model_config.get("extra") == "forbid", _names_of(kind)
    present = _present(given, set() if whole else _texts_of(kind))
    before = len(faults)
    for name, value in list(present.items()):
        if name in _MAY_BE_UNSET and _is_unset(value, environment):
            # Without the variable nobody has the key, which is no fault of a file that is only
            # checked.
            del present[name]
        elif name not in _KEYS and (whole or name in names or is_served_price(name, {})):
            present[name] = look_up(value, f"{where}.{name}", environment, faults)
    try:
        section = kind.model_validate(present)
    except ValidationError as error:
        for each in error.errors():
            if not _is_reference(each.get("input")):
                faults.append(_fault(where, each, names))
        section = None
    # Prices are no fields of a section, and are looked at whatever its fields say.
    if not whole:
        for name in find_wrong_costs(present):
            if not _is_reference(present[name]):
                faults.add(f"{where}.{name}", f"{WRONG_COST} (got {cut(repr(present[name]))})")
    return None if len(faults) > before else section


def _present(given: Mapping[Any, Any], texts: set[str]) -> dict[str, Any]:
    """Return what is no null, and for these names no empty text."""
    return {
        str(name): value
        for name, value in given.items()
        if value is not None and not (value == "" and name in texts)
    }


def look_up(value: Any, where: str, environment: Environment, faults: Faults) -> Any:
    """Return a value with its references to variables resolved.

    An unset variable is a fault, and its reference stays in place.
    """
    if isinstance(value, dict):
        return {
            name: look_up(each, f"{where}.{name}", environment, faults)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [look_up(each, where, environment, faults) for each in value]
    variable = variable_of(value) if isinstance(value, str) else None
    if variable is None:
        return value
    if not environment.get(variable):
        # Compose sets variables that nobody has set to an empty text.
        state = "is empty" if variable in environment else "is not set"
        faults.add(where, f"the environment variable {variable} {state}")
        return value
    return environment[variable]


@cache
def _names_of(kind: type[BaseModel]) -> set[str]:
    """Return the names of a section's fields, in all spellings."""
    return {each for name in kind.model_fields for each in _spellings(kind, name)}


@cache
def _texts_of(kind: type[BaseModel]) -> set[str]:
    """Return the names of a section's texts that may be left out, in all spellings."""
    texts = (name for name, each in kind.model_fields.items() if each.annotation == str | None)
    return {each for name in texts for each in _spellings(kind, name)}


def _spellings(kind: type[BaseModel], name: str) -> set[str]:
    alias = kind.model_fields[name].validation_alias
    return {name, *(map(str, alias.choices) if isinstance(alias, AliasChoices) else ())}


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and variable_of(value) is not None


def _is_unset(value: object, environment: Environment) -> bool:
    variable = variable_of(value) if isinstance(value, str) else None
    return variable is not None and not environment.get(variable)


def _fault(where: str, error: Any, names: set[str]) -> str:
    """Return one line. `names`: those that the section knows."""
    place = ".".join((where, *map(str, error["loc"])))
    if error["type"] == "extra_forbidden":
        return f"{place}: is no setting" + _meant(error["loc"], names)
    shown = error.get("input")
    hidden = isinstance(shown, Mapping) or (error["loc"] and error["loc"][0] in _SECRETS)
    return f"{place}: {_words(error)}" + ("" if hidden else f" (got {cut(repr(shown))})")


def _meant(location: tuple[str | int, ...], names: set[str]) -> str:
    """Return the name that somebody may have meant by an unknown one, as the end of a sentence."""
    close = get_close_matches(str(location[0]), names, n=1) if len(location) == 1 else ()
    return f"; did you mean {close[0]}?" if close else ""


def _words(error: Any) -> str:
    kind, bounds = error["type"], error.get("ctx", {})
    if kind.startswith(_NUMBERS):
        if not kind.startswith("int_"):
            return "must be a number"
        return "must be a whole number"
    if kind == "greater_than_equal":
        return f"must be a number from {bounds['ge']:g} up"
    if kind == "less_than_equal":
        return f"must be at most {bounds['le']:g}"
    if kind in _WORDS:
        return _WORDS[kind]
    message: str = error["msg"]
    return message.removeprefix("Value error, ").replace("Input should be", "must be", 1)
