"""The history: what the ledger held, in a database that keeps it. Known to SQLAlchemy alone."""
