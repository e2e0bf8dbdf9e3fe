from functools import partial

import pytest

from sparse_search.report import plots, style
from sparse_search.report.page import picture
from sparse_search.report.scales import scale_of

ACCURACY = scale_of("accuracy")


@pytest.mark.parametrize(
    "values",
    [(0.1, 0.98), (0.961, 0.979), (0.5, 0.52), (0.9991, 0.9999), (0.3,), (1.0, 1.0)],
)
def test_accuracy_ticks_are_few_apart_and_near_the_data(values):
    ticks = ACCURACY.ticks(values)
    assert 1 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    labels = [ACCURACY.text(tick) for tick in ticks]
    assert len(set(labels)) == len(labels)


def test_a_short_axis_has_more_than_one_tick():
    ticks = ACCURACY.ticks((0.8887, 0.8957, 0.8968))
    assert len(ticks) >= 2 and 0.895 in [round(tick, 6) for tick in ticks]


@pytest.mark.parametrize("metric", ["loss", "error"])
@pytest.mark.parametrize(
    "values", [(0.05, 2.3), (0.41, 0.43), (0.7,), (0.0, 0.0), (1e-7, 0.9), (0.3, 0.5)]
)
def test_ticks_of_losses_and_errors_are_few_and_near_the_data(metric, values):
    scale = scale_of(metric)
    ticks = scale.ticks(values)
    assert 1 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    labels = [scale.text(tick) for tick in ticks]
    assert len(set(labels)) == len(labels)
    heights = [scale.height(value) for value in values]
    for tick in ticks:
        assert min(heights) - 0.35 <= scale.height(tick) <= max(heights) + 0.35


def test_better_is_higher_and_perfect_is_finite():
    heights = [ACCURACY.height(a) for a in (-0.1, 0.0, 0.5, 0.9, 0.999, 1.0)]
    assert heights[0] == heights[1] == 0
    assert heights[1:] == sorted(heights[1:])
    assert heights[-1] == pytest.approx(5)


@pytest.mark.parametrize(
    "value, shown",
    [(512, "512"), (8192, "8192"), (16384, "16.4k"), (1_048_576, "1.05M"), (2e9, "2G")],
)
def test_numbers_are_short(value, shown):
    assert style.number(value) == shown


def test_thinned_keeps_few_and_the_first():
    assert style.thinned([512, 1024, 2048, 4096], 3) == [512, 1024, 2048, 4096]
    assert style.thinned([2**n for n in range(30)], 5)[0] == 1
    assert len(style.thinned([2**n for n in range(30)], 5)) <= 6
    assert style.thinned([7, 7], 5) == [7]


def test_names_are_safe_for_matplotlib_and_short():
    assert style.text("$x$") == r"\$x\$"
    assert style.text("_hidden").startswith(" ")
    assert style.short("package.module:factory", 8) == "…factory"
    assert style.short("rigl", 8) == "rigl"


def test_a_sequence_goes_from_dark_to_light():
    def luminance(colour):
        r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.3 * r + 0.59 * g + 0.11 * b

    for count in (2, 4, 12):
        shades = [luminance(style.sequence(i, count)) for i in range(count)]
        assert shades == sorted(shades)


def _points(count):
    figure = plots.new_figure(2, 2)
    figure.add_subplot().plot(range(count), range(count), "o", markersize=1)
    return figure


def test_a_page_embeds_a_small_picture_of_many_points():
    few, many = (plots.render(partial(_points, count)) for count in (10, 9000))
    assert few[plots.ON_PAGE] == few["svg"]
    assert len(many["svg"]) > 300_000 > 3 * len(many[plots.ON_PAGE])
    assert many[plots.ON_PAGE] != many["png"]
    assert set(plots.files_of(many)) == {"png", "svg", "pdf"}
    assert 'src="data:image/png;base64' in picture(many[plots.ON_PAGE], "", "")
    assert 'src="data:image/svg+xml;base64' in picture(few[plots.ON_PAGE], "", "")
