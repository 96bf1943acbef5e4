"""Stores every event once: the subscriber between the bus and the database."""

from handlers.persistence.handler import PersistenceHandler

__all__ = ["PersistenceHandler"]
