"""The simulated exchange: Binance spot's public protocol on loopback, over a deterministic order flow."""

from daemon.simulator.server import Simulator, run_simulator

__all__ = ["Simulator", "run_simulator"]
