"""`marketd data …`: what is stored, and more of it."""

import argparse

from daemon.cli.download import add_download
from daemon.cli.parsing import Parser
from daemon.cli.stored import add_stored


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add `data` to the command line."""
    parser = commands.add_parser("data", help="history into the database; what is stored, its quality, a copy")
    actions = parser.add_subparsers(dest="action", metavar="download|stats|validate|gaps|export", required=True)
    add_download(actions)
    add_stored(actions)
