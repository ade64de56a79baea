"""Models of what has been observed, for schedulers that propose from one; one family per file."""
