"""`marketd data …`: what is stored, and more of it."""

import argparse

from daemon.cli.download import add_download
from daemon.cli.parsing import Parser


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `data` to the command line."""
    parser = commands.add_parser("data", help="history into the database")
    actions = parser.add_subparsers(dest="action", metavar="download", required=True)
    add_download(actions)
