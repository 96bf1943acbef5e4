"""What comes back on the reply stream, and its spelling as plain fields."""

import json
from typing import Literal, NamedTuple

from pydantic import JsonValue

from daemon.redact import redact

Status = Literal["accepted", "progress", "done", "failed", "rejected"]


class Problem(NamedTuple):
    """Why a command was not done: `code` for programs, `message` for people."""

    code: str
    message: str


class Reply(NamedTuple):
    """The answer to one command."""

    id: str
    client: str
    command: str
    status: Status
    result: JsonValue = None
    error: Problem | None = None

    def fields(self) -> dict[str, str]:
        """Spell it for XADD; `result` and `error` are JSON, what there is nothing to say about is left out."""
        fields = {"id": self.id, "client": self.client, "command": self.command, "status": self.status}
        if self.status == "done":
            fields["result"] = json.dumps(self.result, default=str)
        if self.error is not None:
            fields["error"] = json.dumps({"code": self.error.code, "message": redact(self.error.message)})
        return {name: value for name, value in fields.items() if value}
