"""Imported before JAX: freed blocks stay mapped, and temporaries cost no page faults.

So a dense step is as fast as it can be.
"""

import ctypes

_libc = ctypes.CDLL("libc.so.6")
for _option, _value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 << 20)):
    _libc.mallopt(_option, _value)
