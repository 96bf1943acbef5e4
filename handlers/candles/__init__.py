"""Builds the candles that an exchange does not send, and compares those that it does with what they are made of."""

from handlers.candles.handler import CandleHandler
from handlers.candles.past import StoredPast

__all__ = ["CandleHandler", "StoredPast"]
