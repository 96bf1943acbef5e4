"""Guesses what a mistyped name was meant to be, so that an error can say it."""

import difflib
from collections.abc import Iterable


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that looks most like `word`, None where nothing comes close."""
    by_folded: dict[str, str] = {}
    for choice in choices:
        by_folded.setdefault(choice.casefold(), choice)
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.55)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean X?", or an empty string where nothing comes close."""
    guess = nearest(word, choices)
    return f"; did you mean {guess}?" if guess else ""
