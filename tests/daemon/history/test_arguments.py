"""Times in a download's arguments mean the same after every restart, and mistakes are answered in words."""

import pytest
from pydantic import ValidationError

from bus.clock import SECOND
from bus.errors import UsageError
from daemon.exchanges.base import FeedKey
from daemon.explain import explain
from daemon.history.arguments import Download, moment

NOW = 1_723_161_240 * SECOND  # 2024-08-08T23:54:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-08-08", 1_723_075_200),
        ("2024-08-08T12:00", 1_723_118_400),
        ("2024-08-08T12:00+02:00", 1_723_111_200),
        ("2024-08-08T12:00:00Z", 1_723_118_400),
        ("90m", 1_723_155_840),
        ("30d", 1_720_569_240),
        ("30d ago", 1_720_569_240),
    ],
)
def test_what_a_time_means(text: str, seconds: int):
    assert moment(text, NOW) == seconds * SECOND


@pytest.mark.parametrize("text", ["yesterday", "30", "0d", "-1d", "30y", "", "2024-13-01"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(ValidationError, match="write a time like"):
        Download(exchange="x", symbols=("A/B",), since=text)


@pytest.mark.parametrize("text", ["1969-12-31", "2263-01-01", "9999-12-31"])
def test_a_time_that_no_event_can_have_is_refused(text: str):
    with pytest.raises(ValidationError, match="write a time from 1970 to 2262"):
        Download(exchange="x", symbols=("A/B",), since=text)


def test_a_wrong_symbol_is_one_problem():
    with pytest.raises(ValidationError) as caught:
        Download(exchange="x", symbols=("btc/usdt",), since="1h")
    assert explain(caught.value, Download) == ['symbols[0] = "btc/usdt": write BTC/USDT']
    with pytest.raises(ValidationError) as caught:
        Download(exchange="x", symbols=(), since="1h")
    assert explain(caught.value, Download) == ["symbols: needs 1 at least"]


def test_the_end_is_when_it_was_asked_for_at_the_latest():
    asked = Download(exchange="x", symbols=("A/B", "A/B", "C/D"), since="1h", until="2030-01-01")
    assert asked.span(NOW) == (NOW - 3_600 * SECOND, NOW)
    assert asked.feeds() == [FeedKey("A/B", "candle", "1m"), FeedKey("C/D", "candle", "1m")]
    with pytest.raises(UsageError, match="before until"):
        Download(exchange="x", symbols=("A/B",), since="1h", until="2h").span(NOW)
