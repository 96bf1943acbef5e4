"""Contiguous ids: which ones never came, exactly, through duplicates, reordering and restarts."""

from dataclasses import dataclass, field


@dataclass
class Hole:
    """Ids that are missing, both bounds included, and when they should have come (ns)."""

    first: int
    last: int
    from_ts: int
    to_ts: int
    found: int
    """When it was noticed (ns, receive time): it is told only after a little grace, since ids may come late."""
    told: bool = False


@dataclass
class IdLine:
    """The ids of one feed: the highest seen and its time, and the holes below it."""

    last: int
    ts: int
    holes: list[Hole] = field(default_factory=list)

    def take(self, number: int, ts: int, recv: int) -> list[Hole]:
        """Note an id; return the holes that it changed and that had been told: parts that came belong to nobody now."""
        if number == self.last + 1:
            self.last, self.ts = number, ts
        elif number > self.last:
            self.holes.append(Hole(self.last + 1, number - 1, self.ts, ts, recv))
            self.last, self.ts = number, ts
        elif self.holes:
            return self._late(number, ts)
        return []

    def _late(self, number: int, ts: int) -> list[Hole]:
        for index, hole in enumerate(self.holes):
            if hole.first <= number <= hole.last:
                parts = []
                if hole.first < number:
                    parts.append(Hole(hole.first, number - 1, hole.from_ts, ts, hole.found))
                if number < hole.last:
                    parts.append(Hole(number + 1, hole.last, ts, hole.to_ts, hole.found))
                self.holes[index : index + 1] = parts
                return [hole] if hole.told else []
        return []

    def ripe(self, before: int) -> list[Hole]:
        """Return the holes noticed before a moment and not told yet, and mark them told."""
        due = [hole for hole in self.holes if not hole.told and hole.found <= before]
        for hole in due:
            hole.told = True
        return due
