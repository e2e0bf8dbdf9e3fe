"""Sparse training algorithms: how masks change. One paper, one file."""
