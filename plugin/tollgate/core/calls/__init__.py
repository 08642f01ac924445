"""One call: what it holds, what it used, what it is charged, and the record that is kept."""
