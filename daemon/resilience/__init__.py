"""Breaker, limiter, retry: what stands around every exchange."""
