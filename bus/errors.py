"""The errors of marketd, drawn here once; each says whether trying again can help.

MarketdError
├── Retryable                 the outside world is in the way: wait and try the same again
│   ├── BusUnavailable        Redis cannot be reached, or refuses writes
│   ├── StoreUnavailable      the database cannot be reached, or refuses writes
│   ├── ExchangeUnavailable   an exchange cannot be reached, or asks us to wait
│   └── NoReply               nobody has answered a command in time
└── Permanent                 the same call will fail the same way
    ├── ConfigError           a setting is wrong; names the key and the fix (exit code 78)
    ├── UsageError            a command line or command argument is wrong (exit code 2)
    ├── RequestRefused        an exchange says that our request is wrong
    ├── MalformedFrame        an exchange frame that cannot become well-formed events
    ├── Poison                an event that a handler can never digest
    ├── NotPermitted          this user of Redis may not do that
    └── CommandError          a command was answered with an error; carries its code
        ├── CommandRejected   it was not carried out
        └── CommandFailed     it was tried
"""


class MarketdError(Exception):
    """Base of every error that marketd raises on purpose; its text is a sentence for the operator."""


class Retryable(MarketdError):
    """The outside world is in the way: the same call can succeed later."""


class BusUnavailable(Retryable):
    """Redis cannot be reached or refuses writes."""


class StoreUnavailable(Retryable):
    """The database cannot be reached or refuses writes."""


class ExchangeUnavailable(Retryable):
    """An exchange cannot be reached, fails, or asks us to wait (limits, bans, an open breaker)."""


class NotAsked(ExchangeUnavailable):
    """An exchange was not asked at all: an open breaker or its limits stand before every request, not only this one."""


class NoReply(Retryable):
    """Nobody has answered a command in time. It may have been done: send it again under the same id to find out."""


class Permanent(MarketdError):
    """The same call will fail the same way: do not retry."""


class ConfigError(Permanent):
    """A setting is wrong. The text names the key and the fix."""


class UsageError(Permanent):
    """A command line or a command's argument is wrong. The text names it and the nearest valid value."""


class RequestRefused(Permanent):
    """An exchange says that our request is wrong; the text carries its own message."""


class MalformedFrame(Permanent):
    """An exchange frame that cannot become well-formed events: bad JSON, missing field, NaN, price ≤ 0."""


class Poison(Permanent):
    """An event that a handler can never digest; it goes to the dead-letter stream."""


class NotPermitted(Permanent):
    """This user of Redis may not do that, or is not known."""


class CommandError(Permanent):
    """A command was answered with an error: `code` is for programs, the text for people.

    `retry_after`: seconds after which it is worth sending again, None where that does not help.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class CommandRejected(CommandError):
    """A command was not carried out."""


class CommandFailed(CommandError):
    """A command was carried out, and failed."""


def said(error: BaseException) -> str:
    """Return what an error says, or its kind where it says nothing: the text of a time-out is empty."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
