"""What `--help` and completion tell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from tollgate.commands.main import app

Command = typer.core.TyperCommand
EXAMPLE = re.compile(r"^Example: `(.+?)`$", re.MULTILINE | re.DOTALL)


def commands(group: object, *names: str) -> Iterator[tuple[tuple[str, ...], Command]]:
    """All commands with the words that call them."""
    for name, each in getattr(group, "commands", {}).items():
        if hasattr(each, "commands"):
            yield from commands(each, *names, name)
        else:
            yield (*names, name), each


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_the_help_of_a_command_has_an_example_that_it_takes(names: tuple[str, ...]) -> None:
    """Its words are the command's own, and every option of it exists."""
    command = COMMANDS[names]
    examples = EXAMPLE.findall(command.help or "")
    assert examples, f"the docstring of {' '.join(names)} has no line Example: `tollgate ...`"
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        assert tuple(words[: len(names) + 1]) == ("tollgate", *names)
        command.make_context("tollgate", words[len(names) + 1 :])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    """With the script that `--show-completion` prints for it."""
    environment = {"_TOLLGATE_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        environment |= {"COMP_WORDS": "tollgate ke", "COMP_CWORD": "1"}
    else:
        environment |= {
            "_TYPER_COMPLETE_ARGS": "tollgate ke",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
    found = CliRunner().invoke(app, [], env=environment, prog_name="tollgate")
    assert "key" in found.output
    assert "team" not in found.output
