"""What the variance over the whole map is made of, as bars."""

from typing import TYPE_CHECKING, Any

from sparse_search.report import style
from sparse_search.report.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Dark to light, and hatched, so that grey print tells them apart.
LOOKS = {
    "weights": (style.BLUE, "white", None),
    "structure": (style.VERMILLION, "white", None),
    "interaction": ("#F0C987", style.INK, "////"),
    "seeds": ("#E4E4E4", style.INK, None),
}


def has_decomposition(region_map: dict[str, Any]) -> bool:
    """Whether the shares of all methods together are known."""
    shares = region_map["decomposition"]["shares"]
    return all(shares[name]["value"] is not None for name in LOOKS)


def draw_decomposition(region_map: dict[str, Any]) -> "Figure":
    """A bar of shares for all methods together, then for each that has them."""
    parts = {"all methods": region_map}
    if len(region_map["by_method"]) > 1:
        parts |= region_map["by_method"]
    bars = {
        name: part["decomposition"]["shares"]
        for name, part in parts.items()
        if has_decomposition(part)
    }
    figure = new_figure(3.5, 0.26 * len(bars) + 0.95)
    axes = figure.subplots()
    for level, shares in enumerate(bars.values()):
        y, left = len(bars) - 1 - level, 0.0
        # Shares that noise made negative are drawn as 0, so the others are rescaled.
        total = sum(shares[name]["value"] for name in LOOKS)
        for name, (colour, ink, hatch) in LOOKS.items():
            width = 100 * shares[name]["value"] / total
            axes.barh(
                y,
                width,
                0.72,
                left=left,
                facecolor=colour,
                edgecolor="#8C8C8C",
                linewidth=0.4,
                hatch=hatch,
                label=name if level == 0 else None,
            )
            # About two points a percent; an interval takes 11 percent's room.
            if width > 4:
                axes.text(
                    left + width / 2,
                    y,
                    _label(shares[name], width),
                    color=ink,
                    ha="center",
                    va="center",
                    fontsize=5.5,
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.4},
                )
            left += width
    axes.set_xlim(0, 100)
    axes.set_yticks(
        range(len(bars)),
        [style.text(style.short(name, 14)) for name in reversed(bars)],
    )
    axes.tick_params(axis="y", length=0)
    metric = region_map["metric"].replace("_", " ")
    axes.set_xlabel(f"share of the variance of {metric} (%)")
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def _label(share: dict[str, float], width: float) -> str:
    value = f"{100 * share['value']:.0f}"
    if share["low"] is None or width < 16:
        return value
    return f"{value} [{100 * share['low']:.0f}, {100 * share['high']:.0f}]"
