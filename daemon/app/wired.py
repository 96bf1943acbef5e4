"""What the running parts of the daemon share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import asyncpg

from bus.clock import Clock
from bus.leadership import Leadership
from bus.redis import RedisBus
from bus.subscription import Subscription
from daemon.collectors.interface import Collector
from daemon.config import Config
from daemon.roles import Roles
from daemon.servers import Urls
from daemon.supervisor import Supervisor


@dataclass
class Wired:
    """What the running parts share."""

    config: Config
    roles: Roles
    clock: Clock
    random: Random
    bus: RedisBus
    urls: Urls
    pool: "asyncpg.Pool[asyncpg.Record]"
    supervisor: Supervisor
    checks: dict[str, Callable[[], tuple[bool, str]]]
    end: Callable[[], None]
    """Asks for the end of the process, as a signal does."""
    collectors: dict[str, Collector] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)
    leaderships: list[Leadership] = field(default_factory=list)
