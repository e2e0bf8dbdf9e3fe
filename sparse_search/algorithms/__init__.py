"""How masks change: sparse training algorithms, one paper, one file.

The functions here take the hyperparameters that the papers give. What they return still
waits for what a training loop knows (the step at which rewiring ends, and how many
steps lie between two rewires), since schedules depend on it:

    make = rigl(drop_fraction=0.3)
    algorithm = make(until=7500, every=100)          # a `base.SparseAlgorithm`
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from sparse_search.algorithms.ac_dc import ac_dc as _ac_dc
from sparse_search.algorithms.base import SparseAlgorithm
from sparse_search.algorithms.cht import cht as _cht
from sparse_search.algorithms.cht import chts as _chts
from sparse_search.algorithms.dense import dense as _dense
from sparse_search.algorithms.dsr import dsr as _dsr
from sparse_search.algorithms.gap import gap as _gap
from sparse_search.algorithms.gradual import gradual as _gradual
from sparse_search.algorithms.granet import granet as _granet
from sparse_search.algorithms.grasp import grasp as _grasp
from sparse_search.algorithms.lottery import lottery as _lottery
from sparse_search.algorithms.magnitude import magnitude as _magnitude
from sparse_search.algorithms.mest import mest as _mest
from sparse_search.algorithms.random import random as _random
from sparse_search.algorithms.rigl import rigl as _rigl
from sparse_search.algorithms.set_ import set_ as _set_
from sparse_search.algorithms.snfs import snfs as _snfs
from sparse_search.algorithms.snip import snip as _snip
from sparse_search.algorithms.sr_ste import sr_ste as _sr_ste
from sparse_search.algorithms.srigl import srigl as _srigl
from sparse_search.algorithms.static import static as _static
from sparse_search.algorithms.str_ import str_ as _str_
from sparse_search.algorithms.synflow import synflow as _synflow
from sparse_search.algorithms.top_kast import top_kast as _top_kast
from sparse_search.errors import UserError

Make = Callable[..., SparseAlgorithm]
"""Makes an algorithm from arguments given by name: any of `until`, `every`, …"""


def complete(make: Make, **known: Any) -> SparseAlgorithm:
    """Make an algorithm, with those of the known arguments that it takes.

    Args:
        make: what the functions of this module return, or a factory of your own.
        **known: what a training loop knows, by name.

    Raises:
        UserError: it needs an argument that is not known.
    """
    given = set(getattr(make, "keywords", ()))
    takes = inspect.signature(make).parameters
    for name, parameter in takes.items():
        needed = parameter.default is parameter.empty and name not in given
        named = parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if needed and named and name not in known:
            raise UserError(
                f"An algorithm's factory takes {name!r}, which is none of "
                f"{', '.join(known)}; give it a default."
            )
    return make(**{k: v for k, v in known.items() if k in takes and k not in given})


def _recipe(constructor: Make) -> Callable[..., Make]:
    """The constructor, waiting for what it is not given."""

    @functools.wraps(constructor)
    def recipe(*args: Any, **hyperparameters: Any) -> Make:
        signature = inspect.signature(constructor)
        given = signature.bind_partial(*args, **hyperparameters).arguments
        return functools.partial(constructor, **given)

    return recipe


ac_dc = _recipe(_ac_dc)
cht = _recipe(_cht)
chts = _recipe(_chts)
dense = _recipe(_dense)
dsr = _recipe(_dsr)
gap = _recipe(_gap)
gradual = _recipe(_gradual)
granet = _recipe(_granet)
grasp = _recipe(_grasp)
lottery = _recipe(_lottery)
magnitude = _recipe(_magnitude)
mest = _recipe(_mest)
random = _recipe(_random)
rigl = _recipe(_rigl)
set_ = _recipe(_set_)
snfs = _recipe(_snfs)
snip = _recipe(_snip)
sr_ste = _recipe(_sr_ste)
srigl = _recipe(_srigl)
static = _recipe(_static)
str_ = _recipe(_str_)
synflow = _recipe(_synflow)
top_kast = _recipe(_top_kast)

CONSTRUCTORS: dict[str, Make] = {
    "dense": _dense,
    "static": _static,
    "set": _set_,
    "rigl": _rigl,
    "snfs": _snfs,
    "dsr": _dsr,
    "top_kast": _top_kast,
    "granet": _granet,
    "gap": _gap,
    "mest": _mest,
    "srigl": _srigl,
    "cht": _cht,
    "chts": _chts,
    "random": _random,
    "snip": _snip,
    "grasp": _grasp,
    "synflow": _synflow,
    "gradual": _gradual,
    "magnitude": _magnitude,
    "lottery": _lottery,
    "str": _str_,
    "ac_dc": _ac_dc,
    "sr_ste": _sr_ste,
}
"""All of them by the names that configs use, as they are written in their files."""
