"""SET, sparse evolutionary training (Mocanu et al. 2018, arXiv:1707.04780).

Every ΔT steps, in every sparse layer of n active weights, with drop fraction ζ:

    drop the ζ n active weights closest to zero
    grow ζ n connections at random among those not kept

With more steps between rewires and a small batch it is SET-ITOP (Liu et al. 2021, "Do
we actually need dense over-parameterization?", arXiv:2102.02887), whose exploration
rate is one of the metrics of a round.

Departures from the paper: "closest to zero" is by magnitude over positive and
negative weights together, where the paper drops a fraction of each; rewiring comes
every ΔT steps, where the paper rewires once an epoch. Grown weights start at zero, as
in the authors' implementation. Initial weights are scaled to the fan-in that the mask
leaves (`base.scale_to_fan_in`).
"""

from functools import partial

from sparse_search.algorithms import grow_prune, schedules
from sparse_search.algorithms.base import NEVER, SparseAlgorithm
from sparse_search.algorithms.static import static
from sparse_search.masks.patterns import UNSTRUCTURED, Pattern
from sparse_search.types import Scalar


def set_(
    drop_fraction: Scalar = 0.3,
    until: Scalar = NEVER,
    pattern: Pattern = UNSTRUCTURED,
    schedule: str | schedules.Shape = "constant",
    new: grow_prune.NewWeights = "zero",
    new_scale: Scalar = 1.0,
) -> SparseAlgorithm:
    """SET: drop the smallest weights, grow at random.

    Args:
        drop_fraction: ζ, of a layer's active weights, at the first rewire.
        until: the step from which masks stay.
        pattern: which masks are allowed.
        schedule: how the fraction goes on: constant, cosine, linear, inverse_power.
        new: the value of grown weights: zero, random or gradient.
        new_scale: see `grow_prune.Growth`.
    """
    exchange = grow_prune.Exchange(
        keep=grow_prune.magnitude,
        grow=grow_prune.growth(None, new, new_scale),
        fraction=schedules.shape(schedule)(drop_fraction, until),
    )
    return static(pattern)._replace(
        rewire=partial(grow_prune.rewire, **exchange._asdict(), pattern=pattern),
        dense_gradient="rewire" if new == "gradient" else "never",
        exchange=exchange,
    )
