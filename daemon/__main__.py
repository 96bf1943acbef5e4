"""`python -m daemon` is `marketd`."""

from daemon.cli import main

main()
