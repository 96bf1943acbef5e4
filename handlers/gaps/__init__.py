"""Finds the intervals in which data may be missing, and says when they turn out to be complete after all."""

from handlers.gaps.handler import GapHandler
from handlers.gaps.stored import Stored

__all__ = ["GapHandler", "Stored"]
