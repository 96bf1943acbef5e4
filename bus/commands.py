"""The words of the reply stream: what the daemon says to a command, and how it stands in an entry."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

ReplyStatus: TypeAlias = Literal["accepted", "progress", "done", "failed", "rejected"]
FINAL: Final = frozenset({"done", "failed", "rejected"})
"""The last word on a command."""


class Problem(NamedTuple):
    """Why a command was not done: `code` for programs, `message` for people.

    `retry_after`: seconds after which it is worth sending again, None where that does not help.
    """

    code: str
    message: str
    retry_after: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return what goes out as JSON: `retry_after` only where there is one."""
        return {key: value for key, value in self._asdict().items() if value is not None}


class Reply(NamedTuple):
    """An answer to one command, told from others by the command's `id`."""

    id: str
    client: str
    command: str
    status: ReplyStatus
    result: Any = None
    error: Problem | None = None

    def fields(self) -> dict[str, str]:
        """Spell it for XADD; `result` and `error` are JSON, and left out where there is nothing to say."""
        fields = {"id": self.id, "client": self.client, "command": self.command, "status": self.status}
        if self.status == "done" or self.result is not None:
            fields["result"] = json.dumps(self.result, default=str)
        if self.error is not None:
            fields["error"] = json.dumps(self.error.plain())
        return fields


def parse_reply(fields: Mapping[bytes, bytes]) -> Reply:
    """Read a reply from an entry of the stream."""
    text = {name.decode(): value.decode("utf-8", errors="replace") for name, value in fields.items()}
    return Reply(
        text.get("id", ""),
        text.get("client", ""),
        text.get("command", ""),
        msgspec.convert(text.get("status"), ReplyStatus),
        json.loads(text["result"]) if "result" in text else None,
        _problem(text["error"]) if "error" in text else None,
    )


def _problem(text: str) -> Problem:
    said = json.loads(text)
    return Problem(said["code"], said["message"], said.get("retry_after"))
