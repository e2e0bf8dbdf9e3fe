"""Data sets in their official formats, and their order as a function."""
