"""Parameters and operations: exact, from shapes and masks."""
