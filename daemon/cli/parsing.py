"""Command-line parsing that answers a mistake in one sentence with the nearest right word, never with a usage dump."""

import argparse
import difflib
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78


def nearest(word: str, words: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest of `words`, or an empty string when none is close."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def count(text: str) -> int:
    """Read how many, for argparse: at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def seconds(text: str) -> float:
    """Read how long, for argparse: above 0, and a year at most."""
    number = float(text)
    if not 0 < number <= 366 * 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 31622400 seconds")
    return number


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that names the command to ask for help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and end with status 2."""
        end = "" if message.endswith("?") else "."
        sys.stderr.write(f"{self.prog}: {message}{end} Run '{self.prog} --help' for what it takes.\n")
        sys.exit(EXIT_USAGE)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; an unknown option is answered with the nearest known one."""
        parsed, rest = self.parse_known_args(args, namespace)
        if isinstance(words := getattr(parsed, "arguments", None), list):
            # argparse takes a list's words from one place only, and leaves those behind an option
            words += [word for word in rest if not word.startswith("-")]
            rest = [word for word in rest if word.startswith("-")]
        if rest:
            used = getattr(parsed, "parser", self)
            unknown = rest[0].split("=")[0]
            known = [option for action in used._actions for option in action.option_strings]  # noqa: SLF001 # argparse offers no public list
            what = "option" if unknown.startswith("-") else "argument"
            used.error(f"unknown {what} '{unknown}'.{nearest(unknown, known)}".rstrip("."))
        return parsed

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and str(value) not in choices:
            name = "command" if isinstance(action, argparse._SubParsersAction) else action.dest  # noqa: SLF001 # the class has no public name
            self.error(f"unknown {name} '{value}'.{nearest(str(value), choices)}".rstrip("."))
