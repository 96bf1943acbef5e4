"""Heals gaps: asks the exchange for what is missing, publishes it, and says what could not be had and why."""

from daemon.healing.handler import HealingHandler
from daemon.healing.healer import Healer
from daemon.healing.ledger import Ledger
from daemon.healing.queue import GapQueue

__all__ = ["GapQueue", "Healer", "HealingHandler", "Ledger"]
