"""The event bus on Redis Streams (Redis 6.2 or newer, Valkey)."""

from bus.redis.bus import RedisBus
from bus.redis.connection import connect

__all__ = ["RedisBus", "connect"]
