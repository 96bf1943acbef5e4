"""Recordings: what an exchange sent, kept as received, and played through the same translators again."""

from daemon.recording.reader import Line, Recording
from daemon.recording.replay import Replay, event_to_json, replay, replay_onto
from daemon.recording.writer import RecordingWriter

__all__ = ["Line", "Recording", "RecordingWriter", "Replay", "event_to_json", "replay", "replay_onto"]
