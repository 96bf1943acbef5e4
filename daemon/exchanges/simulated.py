"""The built-in simulated exchange (`marketd simulate`): Binance spot's protocol under a name of its own.

Its own name keeps made-up trades apart from Binance's in the same database.
"""

from typing import ClassVar

from daemon.exchanges.base import Endpoints
from daemon.exchanges.binance import Binance


class Simulated(Binance):
    """Binance's translator, pointed at this machine."""

    name: ClassVar[str] = "simulated"
    endpoints: ClassVar[Endpoints] = Endpoints("http://127.0.0.1:8720", "ws://127.0.0.1:8720")
