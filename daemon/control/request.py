"""One entry of the command stream, read with care: it was written by other people's software, or by hand."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from daemon.nearest import did_you_mean

MAX_BYTES: Final = 16 * 1024
MAX_ID: Final = 128
MAX_DIGITS: Final = 18
FIELDS: Final = ("command", "args", "id", "client", "expires", "expect_version")


class Rejected(Exception):
    """A request that is not carried out; `code` is for programs, the text for people.

    `retry_after`: seconds after which it is worth sending again, None where that does not help.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class Request(NamedTuple):
    """A command as it was asked for. `id` is the sender's, or the entry's own where it sent none."""

    entry: str
    id: str
    client: str
    command: str
    args: Mapping[str, Any]
    expires: int | None
    """Unix milliseconds."""
    expect_version: int | None


class Sender(NamedTuple):
    """Who wants an answer: all that is known of a request before it is understood."""

    entry: str
    id: str
    client: str
    command: str


def size(fields: Mapping[bytes, bytes]) -> int:
    """Return the bytes of an entry."""
    return sum(len(name) + len(value) for name, value in fields.items())


def sender(entry: str, fields: Mapping[bytes, bytes]) -> Sender:
    """Read what an answer needs, from any garbage; what is too long to be a name is left out."""
    return Sender(entry, _name(fields, "id") or entry, _name(fields, "client"), _name(fields, "command"))


def parse(entry: str, fields: Mapping[bytes, bytes]) -> Request:
    """Read a request. Raises Rejected with a sentence that names the field."""
    bytes_sent = size(fields)
    if bytes_sent > MAX_BYTES:
        raise Rejected("too_large", f"the command has {bytes_sent} bytes; at most {MAX_BYTES} are taken")
    text = {_text("a field name", name): value for name, value in fields.items()}
    for name in text:
        if name not in FIELDS:
            guess = did_you_mean(name, FIELDS) or f"; there are {', '.join(FIELDS)}"
            raise Rejected("malformed", f'there is no field "{name[:64]}"{guess}')
    values = {name: _text(name, value) for name, value in text.items()}
    for name in ("id", "client", "command"):
        if len(values.get(name, "")) > MAX_ID:
            raise Rejected("malformed", f"{name} has more than {MAX_ID} characters")
        if "\0" in values.get(name, ""):
            raise Rejected("malformed", f"{name} holds a NUL character, which cannot be recorded")
    if not values.get("command"):
        raise Rejected("malformed", "the field command is missing")
    who = sender(entry, fields)
    return Request(
        entry=entry,
        id=who.id,
        client=who.client,
        command=who.command,
        args=_args(values.get("args", "")),
        expires=_integer(values, "expires"),
        expect_version=_integer(values, "expect_version"),
    )


def _name(fields: Mapping[bytes, bytes], field: str) -> str:
    value = fields.get(field.encode(), b"")
    text = value.decode("utf-8", "replace") if len(value) <= MAX_ID * 4 else ""
    return text if len(text) <= MAX_ID else ""


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected("malformed", f"{name} is no UTF-8 text") from None


def _args(text: str) -> dict[str, Any]:
    try:
        # the digits of a price survive as text alone
        value = json.loads(text, parse_float=str, parse_constant=_refuse) if text else {}
    except (ValueError, RecursionError) as error:
        raise Rejected("malformed", f"args is no JSON object: {error}") from None
    if not isinstance(value, dict):
        raise Rejected("malformed", 'args is no JSON object, like {"level": "debug"}')
    if not _storable(value):
        raise Rejected("malformed", "args holds a NUL character or half of a surrogate pair, which cannot be stored")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _storable(value: Any) -> bool:
    """Whether every text in it is one that a database takes."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and ("\0" in one or one != one.encode("utf-8", "replace").decode()):
            return False
    return True


def _integer(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise Rejected("malformed", f"{name} is no whole number")
    return int(text)
