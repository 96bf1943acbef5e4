"""Configuration: layers, and one readable sentence for everything that can be wrong with it."""

import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.errors import ConfigError
from bus.events import MARKET_CHANNELS
from daemon.config import find, load, reference, variable
from daemon.config.model import Channel

CANARY = "hunter2canary"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "marketd.toml"
        path.write_text(text)
        return path

    return write


def problems(path, env=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, env or {})
    prefix = f"{path}: "
    return [line.removeprefix(prefix) for line in str(caught.value).splitlines()]


def test_without_a_file_it_is_live_binance():
    config = load(None, {"HOME": "/home/joe"})
    (binance,) = config.exchanges
    assert (binance.name, binance.symbols) == ("binance", ("BTC/USDT", "ETH/USDT"))
    assert binance.channels == ("trade", "ticker", "book", "candle")
    assert binance.timeframes == ("1m",)
    assert config.data_dir == Path("/home/joe/.local/share/marketd")
    assert config.bus.url.get_secret_value() == config.store.dsn.get_secret_value() == "embedded"


def test_the_environment_goes_over_the_file_and_the_file_over_the_defaults(write):
    path = write('[bus]\nurl = "redis://file"\nprefix = "f"\n[http]\nlisten = "127.0.0.1:1"\n')
    config = load(path, {"MARKETD_BUS__URL": "redis://environment", "MARKETD_BUS__MAX_ENTRIES": "5000"})
    assert config.bus.url.get_secret_value() == "redis://environment"
    assert (config.bus.prefix, config.bus.max_entries) == ("f", 5000)
    assert (config.http.listen, config.log.level) == ("127.0.0.1:1", "info")


def test_exchanges_come_from_the_environment_as_json():
    exchanges = [
        {"name": "okx", "symbols": ["BTC/USDT:USDT"], "channels": ["funding"], "endpoints": {"rest": "http://h:1/"}}
    ]
    (okx,) = load(None, {"MARKETD_EXCHANGES": json.dumps(exchanges)}).exchanges
    assert (okx.name, okx.symbols, okx.endpoints.rest) == ("okx", ("BTC/USDT:USDT",), "http://h:1")
    assert okx.endpoints.websocket is None


def test_systemd_gives_the_data_dir_and_the_secrets(tmp_path):
    (tmp_path / "store.dsn").write_text("postgresql://u:p@h/d\n")
    env = {"STATE_DIRECTORY": "/var/lib/marketd:/other", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = load(None, env)
    assert config.data_dir == Path("/var/lib/marketd")
    assert config.store.dsn.get_secret_value() == "postgresql://u:p@h/d"
    assert load(None, {**env, "MARKETD_DATA_DIR": "/mine"}).data_dir == Path("/mine")


def test_a_secret_comes_from_a_file(tmp_path, write):
    (tmp_path / "url").write_text("redis://:secret@h\n")
    config = load(write(f'[bus]\nurl = "file:{tmp_path}/url"'), {})
    assert config.bus.url.get_secret_value() == "redis://:secret@h"
    (tmp_path / "url").write_text("")
    assert problems(None, {"MARKETD_BUS__URL": f"file:{tmp_path}/url"}) == [
        f"bus.url: the file {tmp_path}/url is empty"
    ]
    (line,) = problems(None, {"MARKETD_BUS__URL": "file:/nonexistent/url"})
    assert line == "bus.url: the file /nonexistent/url cannot be read: No such file or directory"


def test_secrets_are_not_shown():
    config = load(
        None, {"MARKETD_BUS__URL": f"redis://:{CANARY}@h", "MARKETD_STORE__DSN": f"postgresql://u:{CANARY}@h/d"}
    )
    assert CANARY not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    assert [CANARY in url for url in config.secret_urls()] == [True, True]


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('[store]\ndns = "x"', "store.dns is not known here; did you mean store.dsn?"),
        ('[stroe]\ndsn = "x"', "stroe is not known here; did you mean store?"),
        ('dsn = "x"', "dsn is not known here; did you mean store.dsn?"),
        ("version = 2", "version = 2: this marketd reads version 1 of the configuration"),
        ('[bus]\nmax_entries = "many"', 'bus.max_entries = "many": should be a valid integer'),
        ("[bus]\nmax_entries = 3", "bus.max_entries = 3: should be greater than or equal to 1000"),
        ('[bus]\nprefix = "a:b"', 'bus.prefix = "a:b": should match pattern'),
        ('bus = "redis://h"', "bus: should be a table of settings"),
        ('[log]\nlevel = "warn"', "should be 'debug', 'info', 'warning' or 'error'; did you mean warning?"),
        ('data_dir = ""', 'data_dir = "": is empty; leave it out for the default'),
        ('[http]\nlisten = "8710"', 'http.listen = "8710": should be HOST:PORT'),
        ('[http]\nlisten = "h:99999"', 'http.listen = "h:99999": should be HOST:PORT'),
        ('[http]\nlisten = ":80"', 'http.listen = ":80": names no host; write 127.0.0.1:80'),
        ('[http]\nlisten = "::1:80"', 'http.listen = "::1:80": is an IPv6 address without brackets; write [::1]:80'),
        ("[shutdown]\ndeadline = nan", "shutdown.deadline = nan: should be"),
        ('[exchanges]\nname = "x"', "exchanges: should be a list"),
        ("[[exchanges]]\nsymbols = ['BTC/USDT']", "exchanges[0].name is missing: the exchange"),
        ('[[exchanges]]\nname = "x"\nsymbol = []', "symbol is not known here; did you mean exchanges[0].symbols?"),
        ('[[exchanges]]\nname = "x"\nsymbols = []', "exchanges[0].symbols: is empty; leave it out for the default"),
        ('[[exchanges]]\nname = "x"\nsymbols = ["BTCUSDT"]', 'exchanges[0].symbols[0] = "BTCUSDT": write BTC/USDT'),
        ('[[exchanges]]\nname = "x"\nsymbols = ["eth-btc"]', 'exchanges[0].symbols[0] = "eth-btc": write ETH/BTC'),
        ('[[exchanges]]\nname = "x"\nsymbols = ["btc/usdt"]', 'exchanges[0].symbols[0] = "btc/usdt": write BTC/USDT'),
        ('[[exchanges]]\nname = "x"\nsymbols = ["?"]', 'exchanges[0].symbols[0] = "?": write BASE/QUOTE, like'),
        ('[[exchanges]]\nname = "x"\nsymbols = ["A/B", "A/B"]', "exchanges[0].symbols: A/B is listed twice"),
        ('[[exchanges]]\nname = "x"\nchannels = ["trades"]', 'exchanges[0].channels[0] = "trades": should be'),
        ('[[exchanges]]\nname = "x"\ntimeframes = ["1min"]', "did you mean 1m?"),
        ('[[exchanges]]\nname = "x"\nfallbacks = ["x"]', "exchanges[0]: fallbacks name x itself"),
        ('[[exchanges]]\nname = "x"\nendpoints = {rest = "h"}', 'exchanges[0].endpoints.rest = "h": should start with http://'),
        ('[[exchanges]]\nname = "x"\n[[exchanges]]\nname = "x"', "exchanges: x is listed twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(write, toml, expected):
    (line,) = problems(write(toml))
    assert expected in line


def test_several_problems_are_several_lines(write):
    assert len(problems(write('versoin = 1\n[bus]\nport = 0\n[http]\nlisten = "x"'))) == 3


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"MARKETD_BUS__URI": "x"}, "MARKETD_BUS__URI is not a setting; did you mean MARKETD_BUS__URL?"),
        ({"MARKETD_DATADIR": "x"}, "MARKETD_DATADIR is not a setting; did you mean MARKETD_DATA_DIR?"),
        ({"MARKETD_HTTP__LISTEN": "x"}, 'MARKETD_HTTP__LISTEN = "x": should be HOST:PORT'),
        ({"MARKETD_EXCHANGES": "[{"}, "MARKETD_EXCHANGES should hold JSON"),
        ({"MARKETD_EXCHANGES": '[{"name":"x","symbols":["BTCUSDT"]}]'}, "MARKETD_EXCHANGES[0].symbols[0]"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_as_the_variable(env, expected):
    (line,) = problems(None, env)
    assert expected in line


def test_variables_of_others_are_left_alone():
    kubernetes = {"MARKETD_PORT": "tcp://1:2", "MARKETD_SERVICE_HOST": "h", "MARKETD_PORT_8710_TCP_ADDR": "1"}
    load(None, {**kubernetes, "MARKETD_RECORDINGS": "/r", "MARKETD_CONFIG": "/c", "MARKETD_BUS__URL": "", "PATH": "x"})


@pytest.mark.parametrize(
    "toml",
    [
        f'[store]\ndsn = "mysql://u:{CANARY}@h/d"',
        f'[store]\ndsn = "postgresql://u:{CANARY}/x@h/d"',
        f'[store]\ndns = "postgresql://u:{CANARY}@h/d"',
        f'[stroe]\ndsn = "postgresql://u:{CANARY}@h/d"',
        f'store = "{CANARY}"',
        f'[bus]\nurl = ["{CANARY}"]',
        f'[bus.url]\nx = "{CANARY}"',
    ],
)
def test_errors_do_not_tell_secrets(write, toml):
    assert CANARY not in "\n".join(problems(write(toml)))
    with pytest.raises(ConfigError) as caught:
        load(write(toml), {})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_files_that_cannot_be_read(tmp_path, write):
    assert problems(tmp_path / "no.toml") == [f"{tmp_path}/no.toml cannot be read: No such file or directory"]
    assert "cannot be read: Is a directory" in problems(tmp_path)[0]
    assert "is no valid TOML" in problems(write("\n\n[bus\n"))[0]
    assert "line 3" in problems(write("\n\n[bus\n"))[0]
    (tmp_path / "latin").write_bytes(b"# \xff")
    assert "is no UTF-8 text" in problems(tmp_path / "latin")[0]


def test_where_the_file_is_looked_for(tmp_path):
    here, etc = tmp_path / "marketd.toml", tmp_path / "etc.toml"
    assert find(None, {}, (here, etc)) is None
    etc.touch()
    assert find(None, {}, (here, etc)) == etc
    here.touch()
    assert find(None, {}, (here, etc)) == here
    assert find(None, {"MARKETD_CONFIG": "/named"}, (here, etc)) == Path("/named")
    assert find(Path("/option"), {"MARKETD_CONFIG": "/named"}, (here, etc)) == Path("/option")


def test_valid_urls_are_taken():
    for url in (
        "redis+cluster://a:1,b:2",
        "rediss+cluster://a:1,b:2?ssl_ca_certs=/ca.pem",
        "rediss://u:p%40@[::1]:6379/0",
        "unix:///run/redis.sock?db=1",
    ):
        assert load(None, {"MARKETD_BUS__URL": url}).bus.url.get_secret_value() == url
    for dsn in ("postgresql://postgres@/postgres?host=/run/pg", "postgres://a:1,b:2/d"):
        assert load(None, {"MARKETD_STORE__DSN": dsn}).store.dsn.get_secret_value() == dsn


def test_channels_are_those_of_the_bus():
    assert set(Channel.__args__) == set(MARKET_CHANNELS)


def test_the_reference_knows_every_key():
    by_name = {key.name: key for key in reference()}
    assert by_name["http.listen"].default == "127.0.0.1:8710"
    assert by_name["exchanges[].name"].required
    assert by_name["store.dsn"].secret
    assert all(key.description for key in by_name.values())
    assert variable(by_name["bus.url"]) == "MARKETD_BUS__URL"
    assert variable(by_name["exchanges[].endpoints.rest"]) == "MARKETD_EXCHANGES"


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["embedded", "file:x\0"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["url", "dsn", "name", "symbols", "rest", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
SECTIONS = ["version", "data_dir", "bus", "store", "http", "log", "shutdown", "exchanges", "nonsense"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(env=st.dictionaries(st.sampled_from(SECTIONS), VALUES, max_size=4))
def test_no_value_makes_it_fail_otherwise_than_in_sentences(env):
    variables = {f"MARKETD_{name.upper()}": json.dumps(value) for name, value in env.items()}
    loads_or_says_why(None, variables)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=80) | st.text(alphabet='[]={}".,#\n' + string.ascii_lowercase[:4], max_size=60))
def test_no_file_makes_it_fail_otherwise_than_in_sentences(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / f"garbage-{random.getrandbits(64)}.toml"
    path.write_text(text, errors="surrogatepass")
    loads_or_says_why(path, {})
    path.unlink()


def test_endless_nesting_is_answered(write):
    assert "is no valid TOML" in problems(write("x = " + "[" * 100_000))[0]


def loads_or_says_why(path, env):
    try:
        load(path, {**env, "HOME": "/home"})
    except ConfigError as error:
        assert str(error)  # noqa: PT017 # both outcomes are right
