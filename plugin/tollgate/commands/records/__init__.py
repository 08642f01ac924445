"""Commands that move records: the recorder, exports, comparisons, backups."""
