"""Who asks is remembered exactly as long as nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass

from tests.desk import Desk, People, admission, hashed, refusal
from tests.make import limit_set

from tollgate.core.entities import Key, Team


@dataclass
class Counting(People):
    """A directory that knows how often teams were looked up, and may change while one is."""

    looked_up: int = 0
    changes_meanwhile: bool = False

    async def find_team(self, team_id: str) -> Team | None:
        self.looked_up += 1
        found = await super().find_team(team_id)
        if self.changes_meanwhile:
            self.change(blocked=True)
        return found

    def change(self, *, blocked: bool) -> None:
        """As management does it: another object, and another generation."""
        self.teams["t1"] = Team("t1", blocked=blocked, limits=limit_set(rpm=100))
        self.generation = (self.generation or 0) + 1


def desk() -> tuple[Desk, Counting]:
    people = Counting(keys={hashed("sk-test"): Key(hashed("sk-test"), "sk-...test", team_id="t1")})
    people.change(blocked=False)
    made = Desk(people=people)
    made.key(team_id="t1")
    return made, people


async def test_a_caller_is_looked_up_once_while_nothing_changes() -> None:
    """Also with a customer, who makes another caller."""
    asked, people = desk()
    for _ in range(3):
        admission(await asked.ask())
    assert people.looked_up == 1
    chat = {"model": "gpt-4o", "messages": [], "user": "c1"}
    for _ in range(3):
        admission(await asked.ask(chat))
    assert people.looked_up == 2


async def test_a_change_is_seen_by_the_next_request() -> None:
    """A team that is blocked stops."""
    asked, people = desk()
    admission(await asked.ask())
    people.change(blocked=True)
    assert refusal(await asked.ask())[0] == 401
    people.change(blocked=False)
    admission(await asked.ask())


async def test_what_changed_during_a_look_up_is_not_kept_from_it() -> None:
    """The first request read the team before the change, the second sees it."""
    asked, people = desk()
    people.changes_meanwhile = True
    admission(await asked.ask())
    people.changes_meanwhile = False
    assert refusal(await asked.ask())[0] == 401


async def test_nobody_is_remembered_while_changes_are_not_heard() -> None:
    """Each request looks."""
    asked, people = desk()
    admission(await asked.ask())
    people.generation = None
    for _ in range(2):
        admission(await asked.ask())
    assert people.looked_up == 3
