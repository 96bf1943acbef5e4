"""Flags what is well-formed and yet suspicious, and scores every feed by the hour."""

from handlers.validation.handler import ValidationHandler

__all__ = ["ValidationHandler"]
