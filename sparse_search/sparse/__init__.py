"""Multiply and store only the weights that exist."""
