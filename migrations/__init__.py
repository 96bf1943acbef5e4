"""Numbered SQL and the runner that applies it."""
