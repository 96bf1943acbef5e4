"""Stores every event once: the subscriber between the bus and the database."""

from handlers.persistence.handler import PersistenceHandler
from handlers.persistence.instruments import store_instruments

__all__ = ["PersistenceHandler", "store_instruments"]
