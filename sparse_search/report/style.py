"""How figures look: colours, markers and number formats."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Okabe & Ito (2008), distinguishable with every common colour blindness.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
INK, GREY = "#000000", "#7A7A7A"
CATEGORIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

# The same ten shapes, in the words of matplotlib and of plotly.
MARKERS = "os^DvP<X>*"
PLOTLY_MARKERS = (
    *("circle", "square", "triangle-up", "diamond", "triangle-down"),
    *("cross", "triangle-left", "x", "triangle-right", "star"),
)
DASHES = ("solid", "dashed", "dotted", "dashdot")
PLOTLY_DASHES = ("solid", "dash", "dot", "dashdot")

_UNITS = (
    *((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")),
    *((1e12, 1e9, "G"), (1e15, 1e12, "T")),
)

# A white rim keeps markers apart where they touch.
EDGE = {"markeredgecolor": "white", "markeredgewidth": 0.4}

# Viridis without its palest end, which would vanish on white paper.
_SEQUENCE = (
    "#440154",
    "#46327E",
    "#365C8D",
    "#277F8E",
    "#1FA187",
    "#4AC16D",
    "#9FDA3A",
)

CLASS_COLOURS = {
    "weight-dominated": "#8EC3E6",
    "balanced": "#E8C6DB",
    "structure-dominated": "#F0A878",
    "saturated": "#D9D9D9",
    "undetermined": "#FFFFFF",
}


@contextmanager
def paper() -> Iterator[None]:
    """The paper style of matplotlib, put back afterwards."""
    import matplotlib

    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 7,
        "axes.labelsize": 7.5,
        "axes.titlesize": 7.5,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.5,
        "xtick.labelsize": 6.5,
        "ytick.labelsize": 6.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "legend.fontsize": 6.5,
        "legend.title_fontsize": 6.5,
        "legend.frameon": False,
        "legend.handlelength": 2.2,
        "lines.linewidth": 1.1,
        "lines.markersize": 3.4,
        "hatch.linewidth": 0.5,
        "hatch.color": "#8C8C8C",
        "savefig.dpi": 300,
        # A figure says itself how it is laid out.
        "figure.autolayout": False,
        "figure.constrained_layout.use": False,
        # The same journal gives the same bytes.
        "svg.hashsalt": "sparse_search",
    }
    with matplotlib.rc_context(settings):
        yield


def sequence(index: int, count: int) -> str:
    """The colour of item `index` of an ordered list, dark to light."""
    if count == 1:
        return _SEQUENCE[2]
    place = index / (count - 1) * (len(_SEQUENCE) - 1)
    left = min(int(place), len(_SEQUENCE) - 2)
    first, second = _SEQUENCE[left], _SEQUENCE[left + 1]
    mix = [
        round(
            int(first[i : i + 2], 16) * (1 - place + left)
            + int(second[i : i + 2], 16) * (place - left)
        )
        for i in (1, 3, 5)
    ]
    return "#{:02X}{:02X}{:02X}".format(*mix)


def text(name: object) -> str:
    """`name` for matplotlib, which reads $ as mathematics and hides a leading _."""
    escaped = str(name).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def short(name: object, most: int) -> str:
    """`name` cut to `most` letters; its end tells `package.module:factory` apart."""
    name = str(name)
    return name if len(name) <= most else f"…{name[1 - most :]}"


def thinned(values: Sequence[float], most: int) -> list[float]:
    """At most about `most` of the positive `values`, evenly apart on a log axis."""
    ordered = sorted(set(values))
    if len(ordered) < 2:
        return ordered
    apart = math.log(ordered[-1] / ordered[0]) / most
    kept = [ordered[0]]
    for value in ordered[1:]:
        if math.log(value / kept[-1]) >= apart * 0.999:
            kept.append(value)
    return kept


def number(value: float) -> str:
    """A count for an axis: 512, 8192, 16.4k, 1.05M."""
    for limit, divisor, unit in _UNITS:
        if value < limit * 0.9995:
            return (
                f"{value / divisor:.4g}" if not unit else f"{value / divisor:.3g}{unit}"
            )
    return f"{value / 1e15:.3g}P"
