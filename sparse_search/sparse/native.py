"""The native kernel: loaded once, registered with XLA, done without where it is absent.

It is a plain shared library that depends on jaxlib's headers only, built when the
package is installed with a C++ compiler at hand. Without it all results are the same,
from `products`' form in JAX.
"""

import ctypes
import functools
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

import sparse_search.sparse as package

_HANDLERS = (
    "SparseSearchTranspose",
    "SparseSearchForward",
    "SparseSearchGate",
    "SparseSearchBackward",
    "SparseSearchWindowForward",
    "SparseSearchWindowBackward",
    "SparseSearchRewire",
    "SparseSearchCensus",
)


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library with its handlers registered, or None, and why, once."""
    found = [path for path in map(_library, package.__path__) if path.is_file()]
    if not found:
        return _without("it was installed without a C++ compiler")
    try:
        library = ctypes.CDLL(str(found[0]))
        built, here = library.SparseSearchInterface(), interface()
        if built != here:
            return _without(
                f"it was built for version {built // 1000}.{built % 1000} of XLA's "
                f"foreign functions, and jaxlib has {here // 1000}.{here % 1000}"
            )
        for name in _HANDLERS:
            handler = jax.ffi.pycapsule(getattr(library, name))
            jax.ffi.register_ffi_target(name, handler, platform="cpu")
    except Exception as error:  # a file for another machine, or no library at all
        return _without(str(error).splitlines()[0])
    library.SparseSearchInstructionSet.restype = ctypes.c_char_p
    return library


def usable() -> bool:
    """Whether products run in the kernel: on a CPU, where it is there."""
    return jax.default_backend() == "cpu" and load() is not None


def call(handler: str, out: Any, /, *operands: Any, aliases: Any = None, **given: Any):
    """Call a handler; under `vmap`, once a lane.

    Args:
        handler: its symbol.
        out: shapes and types of its results.
        *operands: arrays.
        aliases: operands whose memory results may take, by number.
        **given: whole numbers, arrays of them, and truth values, that are static.
    """
    static = {
        name: np.bool_(value) if isinstance(value, bool) else np.asarray(value, int)[()]
        for name, value in given.items()
    }
    made: Any = jax.ffi.ffi_call(
        handler, out, vmap_method="sequential", input_output_aliases=aliases
    )
    return made(*operands, **static)


def instruction_set() -> str | None:
    """What the kernel uses of this machine: avx512_bf16, avx512, avx2 or portable."""
    library = load()
    return library.SparseSearchInstructionSet().decode() if library else None


def interface() -> int:
    """The version of XLA's foreign functions in this jaxlib: 1000 · major + minor."""
    header = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    text = header.read_text()
    major, minor = (
        int(re.findall(rf"#define XLA_FFI_API_{part} (\d+)", text)[0])
        for part in ("MAJOR", "MINOR")
    )
    return 1000 * major + minor


def _library(folder: str) -> Path:
    return Path(folder) / "kernel.so"


def _without(why: str) -> None:
    warnings.warn(
        "sparse_search computes compressed layers, and convolutions of few channels, "
        f"without its native kernel: {why}. "
        "Results are the same, only slower; to build it, install the package again "
        "where there is a C++ compiler.",
        stacklevel=3,
    )
