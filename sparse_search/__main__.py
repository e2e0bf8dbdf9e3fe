"""`python -m sparse_search` is the command line."""

import sys

from sparse_search.cli import main

if __name__ == "__main__":
    sys.exit(main())
