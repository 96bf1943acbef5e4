"""ccxt's errors: what each means for breaker, limiter and caller."""

import ccxt
import pytest

from bus.errors import ExchangeUnavailable, MalformedFrame, RequestRefused
from daemon.collectors.ccxt.errors import known, not_streamed, refused, said, standing, translated


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (ccxt.RateLimitExceeded("slow down"), 429, "limited"),
        (ccxt.DDoSProtection("slow down"), 200, "limited"),
        (ccxt.RateLimitExceeded("code 429000"), 200, "limited"),
        (ccxt.DDoSProtection("banned"), 418, "banned"),
        (ccxt.BadSymbol("no such pair"), 400, "refused"),
        (ccxt.BadSymbol("no such pair"), 200, "refused"),
        (ccxt.ExchangeNotAvailable("forbidden here"), 403, "refused"),
        (ccxt.ExchangeNotAvailable("maintenance"), 503, "failed"),
        (ccxt.OnMaintenance("maintenance"), 200, "failed"),
        (ccxt.RequestTimeout("nothing came"), 0, "failed"),
        (ccxt.RequestTimeout("gateway"), 408, "failed"),
        (ccxt.NetworkError("reset"), 0, "failed"),
        (ConnectionResetError("reset"), 0, "failed"),
        (ccxt.NotSupported("no such method"), 0, "refused"),
    ],
)
def test_a_failed_request_is_judged_by_status_then_by_error(error, status, outcome):
    assert standing(error, status, {}, 0).outcome == outcome


def test_retry_after_is_read_in_seconds():
    assert standing(ccxt.RateLimitExceeded("slow down"), 429, {"Retry-After": "7"}, 0).wait == 7.0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ccxt.BadSymbol("no such pair"), RequestRefused),
        (ccxt.NotSupported("no"), RequestRefused),
        (ccxt.AuthenticationError("a key is needed"), RequestRefused),
        (ccxt.RateLimitExceeded("slow down"), ExchangeUnavailable),
        (ccxt.NetworkError("reset"), ExchangeUnavailable),
        (ccxt.ExchangeNotAvailable("maintenance"), ExchangeUnavailable),
    ],
)
def test_callers_get_our_errors(error, kind):
    assert type(translated("gate", error)) is kind
    assert refused(error) == (kind is RequestRefused)
    assert known(error)


def test_an_error_of_ours_stays_what_it_is():
    error = ExchangeUnavailable("the breaker is open")
    assert translated("gate", error) is error
    assert refused(RequestRefused("no"))


@pytest.mark.parametrize("error", [KeyError("price"), TypeError("None"), ValueError("the answer is no JSON")])
def test_a_fault_in_reading_is_not_the_exchanges(error):
    assert not known(error)


def test_what_needs_an_account_or_is_not_there_is_not_streamed():
    assert not_streamed(ccxt.NotSupported("no"))
    assert not_streamed(ccxt.AuthenticationError("a key is needed"))
    assert not not_streamed(ccxt.BadSymbol("no such pair"))
    assert not not_streamed(ccxt.NetworkError("reset"))
    assert not not_streamed(MalformedFrame("no"))


def test_an_error_is_said_in_one_bounded_line_without_keys():
    text = said(ccxt.NetworkError("gate GET https://api.gate.io/v4/spot?key=secret\n 502 " + "x" * 1000))
    assert "secret" not in text
    assert "\n" not in text
    assert text.startswith("NetworkError gate GET https://api.gate.io/v4/spot 502 ")
    assert len(text) <= 300
    assert said(TimeoutError()) == "TimeoutError"
