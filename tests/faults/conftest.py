"""The daemon and the simulated exchange as processes, as in the end-to-end tests."""

from tests.end_to_end.conftest import marketd, simulate

__all__ = ["marketd", "simulate"]
