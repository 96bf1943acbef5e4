"""Compare-and-append: how a frame gets onto a stream exactly once, whoever else writes and however often it is sent.

Each stream has a head, kept by the server next to it: the id and frame number of its last frame, and its writer, since
two may choose the same id and number. A frame is appended only if the head is still what its writer thinks; the script
does both at once. A frame that is sent again after it has
landed meets a newer head and changes nothing; two writers of one stream never use a frame number twice. Where a lease
says who may write, the script checks that first.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec
from redis.exceptions import ResponseError

from bus.events import MarketEvent
from bus.frames import decode_frame
from bus.redis.connection import Client

EntryId: TypeAlias = tuple[int, int]
"""An entry id `ms-n` as two integers, which compare as the server compares them."""

SCRIPT: Final = """
if KEYS[3] then
  local holder = redis.call('GET', KEYS[3])
  if not holder then return 'unheld' end
  if holder ~= ARGV[7] then return 'fenced' end
end
local head = redis.call('GET', KEYS[2]) or ''
if head ~= ARGV[1] then return head end
redis.call('XADD', KEYS[1], ARGV[2], 'v', '1', 'seq', ARGV[3], 'n', ARGV[4], 'events', ARGV[5])
redis.call('SET', KEYS[2], ARGV[6])
return 1
"""


FENCED: Final = b"fenced"
"""The script's answer to a writer while another one holds the lease."""
UNHELD: Final = b"unheld"
"""The script's answer while nobody holds the lease: after an outage it has to be taken again first."""


class Head(NamedTuple):
    """The last frame of a stream: its entry id and its frame number. `token` is what the server compares."""

    entry: EntryId
    seq: int
    token: bytes


OVERHEAD: Final = 256
"""Bytes that a frame takes beside its payload: itself, its numbers, its place in a queue."""


class OutFrame(msgspec.Struct, gc=False):
    """A frame on its way out. Its id and number are chosen before it is sent and change only if it lost a race.

    Hundreds of thousands of them may stand in the ring: they are kept from the garbage collector's walks.
    """

    entry: EntryId
    seq: int
    count: int
    weight: int
    payload: bytes
    fenced: bool = True
    """Whether the stream's lease says who may write it."""

    @property
    def size(self) -> int:
        """What it takes in memory, about (bytes)."""
        return len(self.payload) + OVERHEAD

    @property
    def id(self) -> str:
        """The entry id as the server writes it."""
        return f"{self.entry[0]}-{self.entry[1]}"


def head_key(stream: str) -> str:
    """Return the key of a stream's head; the braces put it in the stream's own cluster slot."""
    return "{" + stream + "}:head"


def lease_key(stream: str) -> str:
    """Return the key that says on a cluster who may write a stream; in the stream's own slot, as its head."""
    return "{" + stream + "}:lease"


def parse_id(text: bytes | str) -> EntryId:
    """Read an entry id `ms-n`."""
    ms, _, n = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(ms), int(n or 0)


def next_id(last: EntryId, now_ms: int) -> EntryId:
    """Return the id of the frame after `last`: the clock's millisecond, or one further where that has not moved on."""
    return (now_ms, 0) if now_ms > last[0] else (last[0], last[1] + 1)


async def read_head(client: Client, stream: str, token: bytes) -> Head | None:
    """Read where a stream really stands: its head token, and its newest id where somebody wrote without one."""
    try:
        info = await client.xinfo_stream(stream)
    except ResponseError:  # there is no such stream
        return None
    entry, seq = (0, 0), 0
    if token:
        text, number, *_ = token.split(b" ")
        entry, seq = parse_id(text), int(number)
    elif info["last-entry"]:
        seq = int(info["last-entry"][1].get(b"seq", 0))
    return Head(max(entry, parse_id(info["last-generated-id"])), seq, token)


async def landed(client: Client, stream: str, frame: OutFrame) -> bool:
    """Tell whether exactly this frame stands on the stream."""
    found = await client.xrange(stream, frame.id, frame.id, count=1)
    return bool(found) and found[0][1].get(b"events") == frame.payload


async def newest_receipt(client: Client, stream: str) -> int:
    """Return when the newest event of a market stream was received (ns), -1 where there is none."""
    for entry, fields in await client.xrevrange(stream, count=1):
        frame, _ = decode_frame(stream, entry.decode(), fields)
        return max((event.recv for event in frame.events if isinstance(event, MarketEvent)), default=-1)
    return -1


def renumber(frames: Sequence[OutFrame], head: Head | None, now_ms: int) -> None:
    """Give frames ids and numbers that follow the head, keeping what already does."""
    if not frames:
        return
    entry, seq = (head.entry, head.seq) if head else ((0, 0), frames[0].seq - 1)
    for frame in frames:
        if frame.entry <= entry:
            frame.entry = next_id(entry, now_ms)
        seq += 1
        frame.seq = seq
        entry = frame.entry
