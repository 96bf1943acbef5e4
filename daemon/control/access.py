"""Who may do what: the one list of commands that need less than an operator.

Redis says who may write to which command stream (deploy/redis/users.acl); this says what is obeyed there.
"""

from typing import Final

from bus.streams import Access

READING: Final = frozenset(
    {
        "ping", "status", "stats", "prices.latest",
        "config.get", "config.history", "config.diff",
        "collectors.list", "breakers.list", "gaps.list", "dead.list",
        "tasks.list", "task.get",
        "paper.portfolio.list", "paper.portfolio.get", "paper.order.list",
        "paper.positions", "paper.trades", "paper.balances", "paper.performance",
    }
)  # fmt: skip
"""Commands that change nothing."""
TRADING: Final = ("paper.", "trading.")
"""What the names of commands about paper trading begin with."""


def permitted(access: Access, command: str) -> bool:
    """Tell whether a command is obeyed on the stream of those who may do so much."""
    if access == "operate" or command in READING:
        return True
    return access == "trade" and command.startswith(TRADING)


def needed(command: str) -> Access:
    """Return the least that a sender of this command must be allowed."""
    if command in READING:
        return "read"
    return "trade" if command.startswith(TRADING) else "operate"
