"""The streams of one handler shared out over processes: each belongs to one of them, so that its order is kept."""

import re
from hashlib import blake2b
from typing import Final

import msgspec

from bus.errors import UsageError

_FORM: Final = re.compile(r"([1-9][0-9]{0,2})of([1-9][0-9]{0,2})", re.ASCII)


class Part(msgspec.Struct, frozen=True):
    """The share of one process among `of` processes, which are numbered from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read the command line's form, e.g. `1of2`. Raises UsageError."""
        form = _FORM.fullmatch(text)
        if form is None or int(form[1]) > int(form[2]):
            raise UsageError(f"'{text}' is no part of a handler; write 1of2 in one process and 2of2 in the other")
        return cls(int(form[1]), int(form[2]))

    def takes(self, name: str, place: int = 0) -> bool:
        """Whether this process has what goes by a name, or what has a place in it; places go to the parts in turn.

        It is a digest that decides, so that all processes agree without a word.
        """
        first = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
        return (first + place) % self.of == self.number - 1

    def __str__(self) -> str:
        """Return the command line's form."""
        return f"{self.number}of{self.of}"


WHOLE: Final = Part()
"""The share of a process that feeds a handler alone."""
