"""Timestamps as text become ns without losing a digit; what is none is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import MalformedFrame
from daemon.exchanges.rfc3339 import SECONDS, UNITS, nanoseconds

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def no_second_is_known():
    SECONDS.clear()


@given(st.integers(1, 9_223_372_034), st.integers(1, 9), st.data())
def test_every_digit_counts(second, digits, data):
    fraction = f"{data.draw(st.integers(0, 10**digits - 1)):0{digits}}"
    text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert nanoseconds(f"{text}.{fraction}Z") == second * SECOND + int(fraction.ljust(9, "0"))
    assert nanoseconds(f"{text}Z") == second * SECOND
    assert SECONDS[f"{text}."] + int(fraction) * UNITS[digits] == nanoseconds(f"{text}.{fraction}Z")


@pytest.mark.parametrize(
    "text",
    [
        "", "Z", "2021-04-17", "2021-04-17T16:48:52", "2021-04-17T16:48:52.1",
        "2021-04-17T16:48:52.1234567890Z", "2021-04-17T16:48:52.123456789+00:00",
        "2021-04-17T16:48:52.1_1Z", "2021-04-17T16:48:52.-1Z", "2021-13-17T16:48:52.1Z", "1969-12-31T23:59:59.1Z",
        "1970-01-01T00:00:00.000000000Z", "2999-04-17T16:48:52.1Z",
        "2021-04-17T16:48:5x.1Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(MalformedFrame):
        nanoseconds(text)


@pytest.mark.parametrize(
    ("sound", "decimals"), [("1970-01-01T00:00:00.5Z", "0"), ("2262-04-11T23:47:16.854775807Z", "854775808")]
)
def test_a_time_out_of_range_is_refused_though_some_of_its_second_are_not(sound, decimals):
    assert nanoseconds(sound) == nanoseconds(sound)
    assert sound[:20] not in SECONDS
    with pytest.raises(MalformedFrame):
        nanoseconds(f"{sound[:20]}{decimals}Z")


def test_other_ways_to_write_a_time_are_read_as_well():
    for _ in range(2):
        for text in ("20210417T164852.123456Z", "2021-04-17T16:48:52,123456Z"):
            assert nanoseconds(text) == nanoseconds("2021-04-17T16:48:52.123456Z")
    assert nanoseconds("20210417T164852.123499Z") == nanoseconds("2021-04-17T16:48:52.123499Z")
    assert nanoseconds("2021-04-17T17:48:52.5+01:00") + 3_600 * SECOND == nanoseconds("2021-04-17T17:48:52.5Z")


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("decimals", ["5x", "1_1Z", "٣Z", "5", "+5Z"])
def test_what_is_no_decimal_is_refused_whether_the_second_is_known_or_not(known, decimals):
    if known:
        nanoseconds("2021-04-17T16:48:52.5Z")
    with pytest.raises(MalformedFrame):
        nanoseconds(f"2021-04-17T16:48:52.{decimals}")


def test_the_seconds_that_are_remembered_stay_bounded():
    for second in range(1_700_000_000, 1_700_002_500):
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        assert nanoseconds(f"{text}0Z") == SECONDS[text] == second * SECOND
    assert len(SECONDS) <= 1_000
