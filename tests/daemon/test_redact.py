"""Redaction: what is secret goes, what is not stays readable."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon import redact as module
from daemon.redact import names_secret, redact, register_secret, register_url


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(module, "_registered", ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:hunter2@h:1/0", "redis://:***@h:1/0"),
        ("connect to postgresql://joe:hunter2@h/d failed", "connect to postgresql://joe:***@h/d failed"),
        ("redis+cluster://u:p@ss@h", "redis+cluster://u:***@h"),
        (
            "GET https://x/y?symbol=BTC&signature=abc123&timestamp=5",
            "GET https://x/y?symbol=BTC&signature=***&timestamp=5",
        ),
        ("https://x/?apiKey=abc&listenKey=def", "https://x/?apiKey=***&listenKey=***"),
        ("X-MBX-APIKEY: abc", "X-MBX-APIKEY: ***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("{'api_secret': 'a b c', 'n': 1}", "{'api_secret': ***, 'n': 1}"),
        (json.dumps({"inner": json.dumps({"password": "a b"})}), r'{"inner": "{\"password\": ***}"}'),
        ("KeyError: 'price'", "KeyError: 'price'"),
        ("the key is in the lock", "the key is in the lock"),
        ("http://127.0.0.1:8710/metrics", "http://127.0.0.1:8710/metrics"),
        ("postgresql://postgres@/d?host=/run", "postgresql://postgres@/d?host=/run"),
    ],
)
def test_by_example(text, expected):
    assert redact(text) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=4).filter(lambda secret: "***" not in secret and secret not in "*" * 99))
@example('quo"te\\back')
@example("käse/#?@")
def test_a_registered_secret_is_gone_however_it_is_spelt(secret):
    module._registered = ()
    register_secret(secret)
    for text in (secret, json.dumps(secret), repr(secret), f"a{secret}b{secret}"):
        assert secret not in redact(text)
        assert json.dumps(secret)[1:-1] not in redact(text)


def test_short_values_are_no_secrets():
    register_secret("a")
    assert redact("a man a plan") == "a man a plan"


def test_the_password_of_a_url_is_registered_decoded_and_as_written():
    register_url("postgresql://u:pass%40word@h/d")
    assert redact("pass@word pass%40word") == "*** ***"
    register_url("postgresql://h/d")


def test_the_passwords_among_the_options_of_a_url_are_registered_too():
    register_url("rediss://h:1?password=pass%40word&ssl_password=inner&ssl_certfile=/etc/cert.pem")
    assert redact("pass@word pass%40word inner /etc/cert.pem") == "*** *** *** /etc/cert.pem"


def test_names():
    assert all(map(names_secret, ["password", "api_key", "listenKey", "X-MBX-APIKEY", "signature", "bot_token"]))
    assert not any(map(names_secret, ["symbol", "keyboard", "tokens_left", "event"]))
