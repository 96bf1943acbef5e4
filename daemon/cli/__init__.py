"""The command line: `marketd COMMAND …`; one file per command, wired in one list."""

from daemon.cli.main import main

__all__ = ["main"]
