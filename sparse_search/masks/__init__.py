"""Which weights may exist."""
