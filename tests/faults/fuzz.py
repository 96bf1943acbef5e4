"""Coverage-guided frames for an exchange's translator, by hand: whatever comes, it raises MalformedFrame or nothing.

    pip install -e '.[fuzz]'
    MARKETD_RECORDINGS=… python -m tests.faults.fuzz okx -max_total_time=60

The options after the exchange are libFuzzer's (https://llvm.org/docs/LibFuzzer.html#options). It begins with recorded
frames, where there are recordings; a frame that breaks the translator is printed and kept in a file `crash-…`.
"""

import os
import sys
import tempfile
from pathlib import Path

import atheris

from bus.errors import MalformedFrame
from daemon import exchanges
from daemon.exchanges.base import Exchange
from daemon.recording import Recording, Replay

FRAMES = 200
"""Recorded frames to begin with."""
CONNECTIONS = 2
"""Frames come on those of the recording: some exchanges' do not say themselves what they are about."""


def seeds(name: str, folder: Path) -> Exchange:
    """Put frames of a recording into a folder; return a translator that knows its instruments."""
    with atheris.instrument_imports(include=["daemon.exchanges"]):
        translator = exchanges.load(name)()
    found = sorted(Path(os.environ.get("MARKETD_RECORDINGS", ".")).glob(f"{name}_*.jsonl.gz"))
    for recording in found[:1]:
        lines = list(Recording(recording))
        frames = [line.d for line in lines if line.k == "ws"]
        for number, frame in enumerate(frames[:: max(1, len(frames) // FRAMES)]):
            (folder / str(number)).write_text(frame)
        for _ in Replay(lines, translator):
            pass
    return translator


def main() -> None:
    name, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        translator = seeds(name, Path(folder))
        recv = 1_700_000_000_000_000_000

        def once(frame: bytes) -> None:
            nonlocal recv
            recv += 1_000_000
            try:
                translator.parse(frame, recv, 1 + len(frame) % CONNECTIONS)
            except MalformedFrame:
                pass
            finally:
                translator.notices.clear()

        atheris.Setup([sys.argv[0], folder, *options], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
