"""Logging: one format for everybody, readable or JSON, and never a secret in it."""

import io
import json
import logging
from datetime import datetime, timedelta

import pytest
import structlog

from daemon import logs
from daemon import redact as redaction
from daemon.redact import register_secret

CANARY = "c4n4ry-wörd"


@pytest.fixture(autouse=True)
def restore(monkeypatch):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(redaction, "_registered", ())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(out: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_lines_with_utc_times_from_structlog_and_the_standard_library():
    out = io.StringIO()
    logs.configure("info", "auto", out)
    structlog.get_logger("ours").info("hello", count=3)
    logging.getLogger("asyncio").warning("slow %s", "callback")
    ours, theirs = lines(out)
    assert (ours["event"], ours["count"], ours["logger"], ours["level"]) == ("hello", 3, "ours", "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("slow callback", "asyncio", "warning")
    assert datetime.fromisoformat(ours["timestamp"]).utcoffset() == timedelta(0)


def test_readable_on_a_terminal():
    out = Terminal()
    logs.configure("info", "auto", out)
    structlog.get_logger().info("hello", count=3)
    assert "hello" in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())


def test_the_level_changes_while_running():
    out = io.StringIO()
    logs.configure("warning", "json", out)
    log = structlog.get_logger("x")
    log.info("one")
    logs.set_level("debug")
    log.debug("two")
    logging.getLogger("y").debug("three")
    assert logs.current_level() == "debug"
    assert [line["event"] for line in lines(out)] == ["two", "three"]


class Holder:
    def __repr__(self):
        return f"<Holder {CANARY}>"


def connect(password):
    raise ValueError(f"cannot reach redis://joe:{password}@host")


def fail():
    try:
        connect(CANARY)
    except ValueError as error:
        raise RuntimeError(f"signature={CANARY}") from error


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_planted_canary_never_comes_out(form):
    out = io.StringIO()
    logs.configure("debug", form, out)
    register_secret(CANARY)
    log = structlog.get_logger("x")
    log.info(CANARY, url=f"https://u:{CANARY}@h", nested={"a": [{"b": CANARY}], CANARY: 1}, holder=Holder())
    log.info(
        "bytes", raw=CANARY.encode("ascii", "ignore"), exc=ValueError(CANARY), set={CANARY}, deep=[[[[[[[[CANARY]]]]]]]]
    )
    logging.getLogger("aiohttp.client").error("request %s", CANARY, stack_info=True)
    for logger in (log, logging.getLogger("asyncio")):
        try:
            fail()
        except RuntimeError:
            logger.exception("failed")
    text = out.getvalue()
    assert "RuntimeError" in text
    assert "direct cause" in text
    assert CANARY not in text
    assert json.dumps(CANARY)[1:-1] not in text
    assert "***" in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_unregistered_secrets_go_by_their_names_and_places(form):
    out = io.StringIO()
    logs.configure("debug", form, out)
    log = structlog.get_logger("x")
    log.info("a", api_key="canary1", nested={"password": ["canary2"]}, query="token=canary3&x=1")
    try:
        connect(CANARY)  # by name: tracebacks quote the source
    except ValueError:
        log.exception("b")
        logging.getLogger("z").exception("c")
    assert "canary" not in out.getvalue()
    assert CANARY not in out.getvalue()
    assert "redis://joe:***@host" in out.getvalue()


def test_warnings_are_logged():
    import warnings  # noqa: PLC0415 # the module's own filters stay as they are

    out = io.StringIO()
    logs.configure("info", "json", out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in lines(out)[0]["event"]
