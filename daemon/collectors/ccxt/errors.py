"""What ccxt's errors mean for limits, breakers and callers. They are told apart by name: ccxt stays unimported."""

from collections.abc import Mapping
from typing import Final

from bus.errors import ExchangeUnavailable, MarketdError, RequestRefused
from daemon.exchanges.base import Standing, by_status

_SLOWER: Final = frozenset({"DDoSProtection", "RateLimitExceeded"})
_TROUBLE: Final = frozenset({"OperationFailed", "TimeoutError", "OSError", "ClientError", "InvalidNonce"})
_OURS: Final = frozenset({"ExchangeError", "UnsubscribeError"})
_NOT_STREAMED: Final = frozenset({"NotSupported", "AuthenticationError", "ArgumentsRequired"})
_BAD_STATUS: Final = range(400, 500)
_LONGEST: Final = 300


def standing(error: Exception, status: int, headers: Mapping[str, str], now: int) -> Standing:
    """Judge a failed request by its HTTP status where that is clear (429, 418, 4xx), else by ccxt's error.

    ccxt calls several of our own mistakes (400, 403, 404) unavailability. `status` is 0 where no answer came.
    """
    by_number = by_status(status, headers, now) if status else None
    if by_number is not None and by_number.outcome in {"limited", "banned"}:
        return by_number
    kinds = _kinds(error)
    if kinds & _SLOWER:
        return Standing("limited")
    if status in _BAD_STATUS and "RequestTimeout" not in kinds:
        return Standing("refused")
    return Standing("failed" if kinds & _TROUBLE else "refused")


def refused(error: Exception) -> bool:
    """Tell whether asking again is no use: the exchange, or ccxt for it, says that the request is wrong."""
    return isinstance(error, RequestRefused) or bool(_kinds(error) & _OURS)


def not_streamed(error: Exception) -> bool:
    """Tell whether a stream cannot be had at all, or not without an account."""
    return bool(_kinds(error) & _NOT_STREAMED)


def translated(exchange: str, error: Exception) -> MarketdError:
    """Return one of our errors for one of ccxt's."""
    if isinstance(error, MarketdError):
        return error
    text = f"{exchange}: {said(error)}"
    return RequestRefused(text) if refused(error) else ExchangeUnavailable(text)


def known(error: Exception) -> bool:
    """Tell whether an error is about the exchange or our request; any other is a fault in reading an answer."""
    return isinstance(error, MarketdError) or bool(_kinds(error) & (_TROUBLE | _OURS | {"BaseError"}))


def said(error: Exception) -> str:
    """Return an error in one line of bounded length, without the query of a URL in it."""
    words = [word.partition("?")[0] if "://" in word else word for word in str(error).split()]
    return f"{type(error).__name__} {' '.join(words)}"[:_LONGEST].strip()


def _kinds(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
