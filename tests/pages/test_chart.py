"""Axes at round numbers, and where charts put their points."""

import math

import pytest

from kspike.pages import Point, Series, chart
from kspike.pages.axis import decades, labels, ticks, whole_ticks

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 1.0, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (95.5, 98.0, ["95", "96", "97", "98"]),
        (2.003, 3.298, ["2.0", "2.5", "3.0", "3.5"]),
        (87.0, 96.0, ["85.0", "87.5", "90.0", "92.5", "95.0", "97.5"]),
        (0.0, 9000.0, ["0", "2500", "5000", "7500", "10000"]),
        (1.51e-7, 4.0e-7, ["1e-07", "2e-07", "3e-07", "4e-07"]),
        (8.0000001e-4, 8.0000004e-4, ["0.00080000001", "0.00080000002", "0.00080000003", "0.00080000004"]),
    ],
)
def test_ticks_are_round_enclose_the_values_and_are_told_apart(low, high, texts):
    found = ticks(low, high)
    assert found[0] <= low * (1 + 1e-9) and found[-1] >= high * (1 - 1e-9)
    assert labels(found) == texts


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-9])
def test_an_axis_of_one_value_still_has_a_length(value):
    found = ticks(value, value)
    assert found[0] < value < found[-1] and len(set(labels(found))) == len(found)


def test_whole_numbers_are_all_labelled_where_they_are_few():
    assert whole_ticks(1, 4) == [1, 2, 3, 4]
    assert whole_ticks(0, 0) == [0]
    assert whole_ticks(1, 30) == [1, 4, 8, 12, 16, 20, 24, 28]


def test_points_lie_between_the_axes_in_their_order():
    drawn = chart("y", "x", [Series("blue", [Point(0, 0), Point(1, 10), Point(2, 20, spread=0.5)])])
    low, middle, high = drawn.series[0].points
    assert (low.x, low.y) == (drawn.x_ticks[0].at, drawn.y_ticks[0].at)
    assert (high.x, high.y) == (drawn.x_ticks[-1].at, drawn.y_ticks[-1].at)
    assert middle.x == pytest.approx((low.x + high.x) / 2) and middle.y == pytest.approx((low.y + high.y) / 2)
    assert low.x == drawn.size.left and high.y == drawn.size.top
    # the spread ends where the axis does
    assert high.spread == (pytest.approx(low.x + 0.75 * (high.x - low.x)), high.x) and low.spread is None


def test_what_is_no_number_is_left_out():
    strange = [Point(math.nan, 1.0), Point(1.0, math.inf), Point(1.0, 2.0), Point(3.0, 4.0)]
    assert len(chart("y", "x", [Series("blue", strange)]).series[0].points) == 2
    empty = chart("y", "x", [Series("blue", strange[:2])])
    assert empty.series[0].points == () and len(empty.y_ticks) > 1


def test_no_tick_stands_above_the_most_that_is_possible():
    drawn = chart("Accuracy, %", "time steps", [Series("blue", [Point(1, 93.0), Point(2, 99.9)])], whole=True, most=100)
    assert [tick.text for tick in drawn.y_ticks] == ["92", "94", "96", "98", "100"]
    drawn = chart("Accuracy, %", "time steps", [Series("blue", [Point(1, 100.0)])], whole=True, most=100)
    assert drawn.y_ticks[-1].text == "100"


def test_a_logarithmic_axis_goes_from_power_of_ten_to_power_of_ten():
    assert decades(0.00052, 0.42) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert decades(1.0, 1.0) == [1, 10] and decades(0.01, 0.1) == pytest.approx([0.01, 0.1])
    points = [Point(0.0, 9.0), Point(0.01, 1.0), Point(0.1, 2.0), Point(1.0, 3.0)]
    drawn = chart("y", "x", [Series("blue", points)], log=True)
    assert [tick.text for tick in drawn.x_ticks] == ["0.01", "0.1", "1"]
    low, middle, high = (dot.x for dot in drawn.series[0].points)  # 0 is nowhere on such an axis
    assert middle == pytest.approx((low + high) / 2) and low == drawn.x_ticks[0].at
    assert len(chart("y", "x", [Series("blue", points[:1])], log=True).x_ticks) == 2
