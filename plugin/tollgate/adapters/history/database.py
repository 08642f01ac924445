"""The database: its engine, its schema, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tollgate.adapters.history.tables import METADATA
from tollgate.core.errors import HistoryUnavailable, SettingsError

T = TypeVar("T")

NEWEST = "0004"
"""The revision of the schema that this version reads and writes."""
# As alembic makes it.
_VERSION = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
_SERVED = {"sqlite": None, "postgresql": "psycopg"}
_BUSY_TIMEOUT_MS = 10_000


def open_database(url: str) -> Engine:
    """Return an engine for a URL; the folder of an SQLite file is made.

    Raises SettingsError for a URL or a database that is not served.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError("tollgate.history_url: is no URL of a database") from error
    kind = parsed.get_backend_name()
    if kind not in _SERVED:
        raise SettingsError(f"tollgate.history_url: {kind} is not served; use sqlite or postgresql")
    if (driver := _SERVED[kind]) is not None:
        parsed = parsed.set(drivername=f"{kind}+{driver}")
    elif parsed.database:
        Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Both drivers take the values of a row in its order, which needs no names.
        engine = create_engine(
            parsed, pool_pre_ping=True, paramstyle="qmark" if driver is None else "format"
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(
            "tollgate.history_url: needs the extra `postgres`: pip install"
            " 'envoy-tollgate[postgres]'"
        ) from error
    if kind == "sqlite":
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to this version's. Raises HistoryUnavailable.

    A new database gets this version's tables at once. Alembic is imported only for one of an
    earlier version: it takes 12 MB.
    """
    with database_errors(), engine.begin() as connection:
        if not inspect(connection).has_table(_VERSION.name):
            METADATA.create_all(connection)
            _VERSION.create(connection)
            connection.execute(_VERSION.insert().values(version_num=NEWEST))
            return
        if connection.execute(select(_VERSION.c.version_num)).scalar() == NEWEST:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "tollgate.adapters.history:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _set_up(connection: Any, _: object) -> None:
    # Python's module would begin transactions at the first write, so reads before it would each
    # see another moment.
    connection.isolation_level = None
    # Write-ahead logging: readers do not wait for the recorder. A power cut may take the last
    # transactions with it; they are recorded again from the ledger, whose position they held.
    # Rows of records are 1 to 3 KB, of which pages of 4 KB hold one or two: with larger ones a
    # transaction writes half as much. A database that is there already keeps its own.
    for pragma in (
        "page_size=8192",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


@contextmanager
def database_errors() -> Iterator[None]:
    """Map what can go wrong with the database to HistoryUnavailable."""
    try:
        yield
    except SQLAlchemyError as error:
        told = getattr(error, "orig", None) or error
        raise HistoryUnavailable(f"{type(told).__name__}: {told}") from error


async def in_transaction(
    engine: Engine, work: Callable[[Connection], T], *, snapshot: bool = False
) -> T:
    """Run some work in a thread and a transaction. Raises HistoryUnavailable.

    `snapshot`: all its reads see the same moment, as SQLite's always do.
    """

    def worked() -> T:
        with database_errors(), engine.connect() as connection:
            if snapshot and engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                return work(connection)

    return await asyncio.to_thread(worked)
