"""Whatever number stands in a store as a time is written somehow."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.times import in_calendar, written


@given(st.floats())
def test_every_number_is_written(seconds):
    assert written(seconds)


@given(st.floats().filter(lambda seconds: seconds and not in_calendar(seconds)))
def test_what_is_no_date_is_written_as_the_number_that_it_is(seconds):
    read = float(written(seconds))
    assert math.isnan(seconds) if math.isnan(read) else math.isclose(read, seconds, rel_tol=1e-5)


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "-"), (1.76e12, "1.76e+12"), (1e300, "1e+300"), (math.nan, "nan")])
def test_times_that_are_none(seconds, said):
    assert written(seconds) == said


def test_a_date():
    assert written(1.7e9).startswith("2023-11-1") and len(written(1.7e9)) == 16
