"""The words of the command stream: what a command and a reply are, and how they stand in an entry."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from bus.errors import UsageError

MAX_BYTES: Final = 16 * 1024
"""The largest command, all fields together."""

ReplyStatus: TypeAlias = Literal["accepted", "progress", "done", "failed", "rejected"]
FINAL: Final = frozenset({"done", "failed", "rejected"})


class Command(msgspec.Struct, frozen=True):
    """A request to the daemon. `id` makes it idempotent; `expires` (unix ms) is when it is no longer wanted."""

    entry: str
    command: str
    args: dict[str, Any]
    id: str
    client: str = ""
    expires: int | None = None
    expect_version: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why a command was not done: a code for programs and a sentence for people."""

    code: str
    message: str


class Reply(msgspec.Struct, frozen=True):
    """What the daemon says to a command; statuses in `FINAL` are its last word."""

    id: str
    client: str
    command: str
    status: ReplyStatus
    result: Any = None
    error: Failure | None = None

    def fields(self) -> dict[str, str]:
        """Return the fields of the entry on the replies stream."""
        fields = {"id": self.id, "client": self.client, "command": self.command, "status": self.status}
        if self.result is not None:
            fields["result"] = msgspec.json.encode(self.result).decode()
        if self.error is not None:
            fields["error"] = msgspec.json.encode(self.error).decode()
        return fields


def _text(fields: Mapping[bytes, bytes], name: str) -> str:
    return fields.get(name.encode(), b"").decode("utf-8", errors="replace")


def _number(fields: Mapping[bytes, bytes], name: str) -> int | None:
    text = _text(fields, name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"field '{name}' must be a whole number, not '{text[:40]}'") from error


def parse_command(entry: str, fields: Mapping[bytes, bytes]) -> Command:
    """Read a command from a stream entry; without an `id` the entry's own id is taken. Raises UsageError."""
    size = sum(len(key) + len(value) for key, value in fields.items())
    if size > MAX_BYTES:
        raise UsageError(f"the command has {size} bytes; at most {MAX_BYTES} are allowed")
    name = _text(fields, "command")
    if not name:
        raise UsageError("the field 'command' is missing: XADD md:commands * command status")
    try:
        args = json.loads(_text(fields, "args") or "{}")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"field 'args' is not JSON: {error}") from error
    if not isinstance(args, dict):
        raise UsageError("field 'args' must be a JSON object")
    return Command(
        entry,
        name,
        args,
        _text(fields, "id") or entry,
        _text(fields, "client"),
        _number(fields, "expires"),
        _number(fields, "expect_version"),
    )


def parse_reply(fields: Mapping[bytes, bytes]) -> Reply:
    """Read a reply from a stream entry."""
    error = _text(fields, "error")
    result = _text(fields, "result")
    return Reply(
        _text(fields, "id"),
        _text(fields, "client"),
        _text(fields, "command"),
        msgspec.convert(_text(fields, "status"), ReplyStatus),
        json.loads(result) if result else None,
        msgspec.json.decode(error, type=Failure) if error else None,
    )
