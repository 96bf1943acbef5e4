"""Which trades of a minute have come: ids that follow on one another are one run, which takes no room."""


class Identities:
    """A set of trade ids; most exchanges count their trades, so that there is little beside the run."""

    __slots__ = ("_apart", "_end", "_start", "count")

    def __init__(self) -> None:
        self._start = self._end = 0
        """The run: from the first id up to the one after its last."""
        self._apart: set[int | str] = set()
        self.count = 0

    def add(self, identity: int | str) -> bool:
        """Take an id; False when it is here already."""
        if isinstance(identity, str):
            if identity in self._apart:
                return False
            self._apart.add(identity)
        elif self._start <= identity < self._end or identity in self._apart:
            return False
        elif self._start == self._end:
            self._start, self._end = identity, identity + 1
        elif identity == self._end:
            self._end += 1
            while self._end in self._apart:
                self._apart.remove(self._end)
                self._end += 1
        elif identity == self._start - 1:
            self._start -= 1
            while self._start - 1 in self._apart:
                self._start -= 1
                self._apart.remove(self._start)
        else:
            self._apart.add(identity)
        self.count += 1
        return True
