"""Paper trading as a subscriber: the engine between the bus, the commands and the database."""

from handlers.paper.service.handler import PaperHandler

__all__ = ["PaperHandler"]
