"""What stands on a command stream is read or refused, whatever it is."""

import json

from hypothesis import assume, given
from hypothesis import strategies as st

from bus.commands import FINAL, Problem, Reply, parse_reply
from daemon.control.request import FIELDS, MAX_BYTES, MAX_ID, Rejected, Request, parse, sender, size

TEXT = st.text("aZ0 _:.\"\\'{}[],\n\u00e9\u65e5\ufffd\U0001f600", max_size=60)
NAMES = st.sampled_from([name.encode() for name in FIELDS]) | st.binary(max_size=20)
VALUES = st.binary(max_size=300) | TEXT.map(str.encode)
LEAVES = st.none() | st.booleans() | st.integers() | TEXT
JSON = st.recursive(LEAVES, lambda some: st.lists(some, max_size=4) | st.dictionaries(TEXT, some, max_size=4))


def outcome(fields: dict[bytes, bytes]) -> Request | Rejected:
    try:
        return parse("1-0", fields)
    except Rejected as refusal:
        return refusal


@given(st.dictionaries(NAMES, VALUES))
def test_any_entry_is_a_request_or_is_refused_with_a_sentence(fields):
    who = sender("1-0", fields)
    assert who.id
    assert max(map(len, who)) <= MAX_ID
    found = outcome(fields)
    if isinstance(found, Rejected):
        assert found.code in {"malformed", "too_large"}
        assert 10 < len(str(found)) < 300
    else:
        assert found.command
        assert (found.id, found.client, found.command) == (who.id, who.client, who.command)


@given(TEXT.filter(bool), st.dictionaries(TEXT, JSON, max_size=4), st.integers(0, 10**18 - 1))
def test_what_is_well_formed_comes_through_unchanged(name, args, expires):
    fields = {"command": name, "args": json.dumps(args), "id": name, "client": name, "expires": str(expires)}
    entry = {field.encode(): value.encode() for field, value in fields.items()}
    assume(size(entry) <= MAX_BYTES)
    request = parse("1-0", entry)
    assert (request.id, request.client, request.command) == (name, name, name)
    assert (request.args, request.expires, request.expect_version) == (args, expires, None)


@given(
    TEXT.filter(bool), TEXT, TEXT.filter(bool), st.sampled_from(["accepted", "progress", *sorted(FINAL)]),
    JSON, st.none() | st.builds(Problem, TEXT, TEXT, st.none() | st.floats(0, 1e6)),
)  # fmt: skip
def test_a_reply_comes_through_unchanged(identity, client, command, status, result, error):
    reply = Reply(identity, client, command, status, result, error)
    fields = {name.encode(): value.encode() for name, value in reply.fields().items()}
    assert {b"id", b"client", b"command", b"status"} <= fields.keys()
    assert parse_reply(fields) == reply
