"""The one exception that is no error; without JAX, for the command line."""


class Stopped(Exception):
    """Training was asked to stop; all is saved."""
