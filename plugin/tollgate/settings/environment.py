"""Look up variables that a file names as `os.environ/NAME`.

The file's own `environment_variables` take precedence over those of the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_REFERENCE = "os.environ/"
# Variables that change how programs are found and loaded, or where they write.
_PROGRAMS_OWN = re.compile(
    r"PATH|HOME|SHELL|IFS|ENV|BASH_ENV|TMPDIR|GLIBC_TUNABLES|(LD|DYLD|PYTHON|MALLOC)_?.*"
)


def variable_of(text: str) -> str | None:
    """Return the variable that a text refers to; None if the text is a plain value.

    Any name counts, as in LiteLLM: Kubernetes allows dots and dashes in names of variables.
    """
    if not text.startswith(_REFERENCE):
        return None
    return text.removeprefix(_REFERENCE).strip() or None


class Environment(Mapping[str, str]):
    """Variables by name. A variable of the file may refer to another one."""

    def __init__(
        self, outside: Mapping[str, str], given: Mapping[str, object] | None = None
    ) -> None:
        """Put the file's variables over those of the process.

        `notices` receives a line for each that replaces another or is not accepted.
        """
        self._outside = outside
        self._inside: dict[str, str] = {}
        self.notices: list[str] = []
        for name, value in (given or {}).items():
            if value is None:
                continue
            if _PROGRAMS_OWN.fullmatch(name):
                self.notices.append(f"environment_variables.{name}: not accepted from a file")
                continue
            self._inside[name] = str(value)
            if name in outside and variable_of(str(value)) != name:
                self.notices.append(
                    f"environment_variables.{name}: overrides the variable of the process"
                )

    def __getitem__(self, name: str) -> str:
        variable, value = self.origin(name)
        if value is None:
            return self._outside[variable]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter({**self._outside, **self._inside})

    def __len__(self) -> int:
        return len({**self._outside, **self._inside})

    def origin(self, name: str) -> tuple[str, str | None]:
        """Return the variable that a name finally refers to, and its value if the
        file contains it.
        """
        passed: set[str] = set()
        while name in self._inside and name not in passed:
            passed.add(name)
            text = self._inside[name]
            variable = variable_of(text)
            if variable is None:
                return name, text
            name = variable
        return name, None

    def first_set(self, names: tuple[str, ...]) -> str | None:
        """Return the first of these variables with a non-empty value."""
        return next((each for each in names if self.get(each)), None)
