"""The contract suites, for your own algorithms too."""
