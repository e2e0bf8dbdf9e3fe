"""Tables, figures and a page from the journals of a workdir; needs no JAX."""

from sparse_search.report.build import (
    Summary,
    build_report,
    build_table_report,
    compare,
)

__all__ = ["Summary", "build_report", "build_table_report", "compare"]
