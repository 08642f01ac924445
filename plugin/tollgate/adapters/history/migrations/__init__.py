"""The database's schema, version by version, as alembic runs them."""
