"""Provide prices from four layers: built-in table, our corrections and fees, a price file, and the
configuration. A later layer overrides earlier ones.
"""

from tollgate.adapters.prices.book import (
    PriceBook,
    keep_current,
    load_tables,
    price_table,
)
from tollgate.adapters.prices.builtin import known_names
from tollgate.adapters.prices.comparison import differences
from tollgate.adapters.prices.layers import price_of_file
from tollgate.adapters.prices.price_file import read_price_file

__all__ = [
    "PriceBook",
    "differences",
    "keep_current",
    "known_names",
    "load_tables",
    "price_of_file",
    "price_table",
    "read_price_file",
]
