"""Mistakes of a user, told in one sentence.

The command line prints a `UserError` without a traceback; in Python it is a
`ValueError` like any other.
"""

import difflib
import errno
from collections.abc import Iterable


class UserError(ValueError):
    """What was wrong, what is allowed, and the nearest valid value, in a sentence."""


class Impossible(UserError):
    """A combination that cannot work, where others of the same space may."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the allowed name closest to `name`, or ""."""
    matches = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def one_of(what: str, name: str, allowed: Iterable[str]) -> UserError:
    """An error saying that `name` is not one of the `allowed` values of `what`."""
    allowed = list(allowed)
    names = ", ".join(allowed)
    return UserError(
        f"{what} {name!r} is not known; it is one of {names}.{nearest(name, allowed)}"
    )


def disk_is_full(error: BaseException) -> bool:
    """Whether an error, of whatever library, is about a full disk."""
    code = getattr(error, "errno", None)
    return code in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
