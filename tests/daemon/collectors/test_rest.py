"""REST calls to a scripted exchange: retries, limits, bans, the breaker, deadlines."""

import asyncio

import pytest
from aiohttp import web

from bus import metrics
from bus.clock import SECOND
from bus.errors import ExchangeUnavailable, RequestRefused
from bus.events import Breaker
from daemon.collectors import rest
from daemon.exchanges.base import Request, retry_after
from tests.daemon.collectors.helpers import Tiny

SNAP = Request("snapshot", "/snap", {"symbol": "AAA/USD"}, 10)


@pytest.fixture
def client(stage):
    return stage.collector(Tiny()).rest


async def get(stage, client, deadline=60.0, step=0.25):
    task = asyncio.create_task(client.get(SNAP, deadline))
    await stage.until(task.done, step=step)
    return task.result()


def outcome(kind):
    return metrics.REST_REQUESTS.labels("tiny", kind)._value.get()


async def test_the_body_comes_back_with_the_parameters_sent(stage, client):
    async def echo(request):
        return web.Response(text=request.query["symbol"])

    stage.server.answers["/snap"] = [echo]
    assert await get(stage, client) == b"AAA/USD"


async def test_trouble_at_the_exchange_is_tried_again_after_growing_pauses(stage, client):
    stage.server.answers["/snap"] = [web.Response(status=503), web.Response(status=500)]
    began = stage.clock.monotonic()
    assert await get(stage, client, step=0.1) == b'{"id": 7}'
    assert stage.clock.monotonic() - began >= 1.5 - 1e-6  # 0.5 and 1 s
    assert stage.server.requests["/snap"] == 3


async def test_after_a_few_attempts_it_gives_up(stage, client):
    stage.server.answers["/snap"] = [web.Response(status=503, text="busy") for _ in range(9)]
    with pytest.raises(ExchangeUnavailable, match="503: busy"):
        await get(stage, client)
    assert stage.server.requests["/snap"] == rest.ATTEMPTS


async def test_our_own_bad_request_is_not_repeated_tells_why_and_is_no_failure(stage, client):
    refused = outcome("refused")
    for _ in range(20):
        stage.server.answers["/snap"] = [web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')]
        with pytest.raises(RequestRefused, match=r"HTTP 400: .*Invalid symbol"):
            await get(stage, client)
    assert stage.server.requests["/snap"] == 20
    assert outcome("refused") - refused == 20
    assert client._gate.rest.state == "closed"


async def test_a_429_pauses_everything_for_as_long_as_it_says(stage, client):
    stage.server.answers["/snap"] = [web.Response(status=429, headers={"Retry-After": "30"})]
    task = asyncio.create_task(client.get(SNAP))
    await stage.until(lambda: stage.server.requests["/snap"] == 1)
    await stage.until(lambda: client._gate.weight.closed_for() > 0)
    await stage.pass_time(29)
    assert stage.server.requests["/snap"] == 1
    await stage.until(task.done, step=0.25)
    assert task.result() == b'{"id": 7}'


async def test_a_418_ends_all_requests_until_its_deadline_also_for_the_next_process(stage):
    stage.server.answers["/snap"] = [web.Response(status=418, headers={"Retry-After": "600"})]
    collector = stage.collector(Tiny())
    with pytest.raises(ExchangeUnavailable, match="used up"):
        await get(stage, collector.rest)
    assert collector.breakers["rest"].state == collector.breakers["ws"].state == "open"
    with pytest.raises(ExchangeUnavailable):
        await get(stage, collector.rest)
    assert stage.server.requests["/snap"] == 1

    async with stage.running(Tiny()) as restarted:  # a new process with the same bus
        await stage.pass_time(300, step=5)
        assert stage.server.requests.total() == 1
        assert restarted.status()["banned_until"] > stage.clock.now() + 200 * SECOND
        await stage.until(lambda: stage.server.live, step=5)
        assert stage.clock.monotonic() >= 600
        assert restarted.status()["banned_until"] is None
    assert {event.state for event in stage.bus.of(Breaker)} >= {"open", "half_open", "closed"}


async def test_a_ban_by_another_host_of_the_same_protocol_is_not_ours(stage):
    key = "limiter:tiny:api.example.com"
    await stage.bus.state.save(key, {"banned_until": str(stage.clock.now() + 900 * SECOND).encode()})
    async with stage.running(Tiny()):
        await stage.subscribed()


async def test_the_breaker_opens_when_the_exchange_keeps_failing_and_then_nothing_is_sent(stage, client):
    stage.server.answers["/snap"] = [web.Response(status=500) for _ in range(99)]
    for _ in range(2):
        with pytest.raises(ExchangeUnavailable):
            await get(stage, client, step=0.1)
    assert client._gate.rest.state == "open"
    sent = stage.server.requests["/snap"]
    with pytest.raises(ExchangeUnavailable, match=r"the breaker is open: .*500"):
        await client.get(SNAP)
    assert stage.server.requests["/snap"] == sent


async def test_the_exchanges_own_count_of_weight_is_believed(stage, client):
    stage.server.answers["/snap"] = [web.Response(text="{}", headers={"X-Used-Weight": "895"})]
    await get(stage, client)
    with pytest.raises(ExchangeUnavailable, match="used up"):  # 900 is our share of 1000
        await client.get(SNAP, 30)
    assert metrics.REST_WEIGHT.labels("tiny")._value.get() == 895


async def test_an_answer_that_is_too_big_is_not_kept(stage, client, monkeypatch):
    monkeypatch.setattr(rest, "LARGEST_ANSWER", 1_000)
    stage.server.answers["/snap"] = [web.Response(text="x" * 1_001)]
    with pytest.raises(RequestRefused, match="over 1000 bytes"):
        await get(stage, client)


async def test_an_exchange_that_does_not_answer_costs_the_deadline_and_no_more(stage, client):
    async def never(_):
        await asyncio.sleep(60)

    stage.server.answers["/snap"] = [never]
    async with asyncio.timeout(60):
        with pytest.raises(ExchangeUnavailable, match=r"no answer within 0\.05 s"):
            await client.get(SNAP, 0.05)


async def test_one_attempt_that_hangs_is_given_up_and_tried_again(stage, client, monkeypatch):
    async def never(_):
        await asyncio.sleep(60)

    monkeypatch.setattr(rest, "ATTEMPT_TIMEOUT", 0.05)
    stage.server.answers["/snap"] = [never]
    assert await get(stage, client) == b'{"id": 7}'
    assert stage.server.requests["/snap"] == 2


async def test_cancelling_says_nothing_about_the_exchange(stage, client):
    async def never(_):
        await asyncio.sleep(60)

    for _ in range(10):
        stage.server.answers["/snap"] = [never]
        before = stage.server.requests["/snap"]
        task = asyncio.create_task(client.get(SNAP))
        await stage.until(lambda before=before: stage.server.requests["/snap"] == before + 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    assert client._gate.rest.state == "closed"


async def test_an_exchange_that_cannot_be_reached_is_told_without_the_parameters(stage, client):
    client._endpoint = "http://127.0.0.1:1"
    with pytest.raises(ExchangeUnavailable) as error:
        await get(stage, client)
    assert "AAA" not in str(error.value)
    assert "/snap" in str(error.value)


async def test_a_handshake_that_is_answered_with_a_ban_ends_all_requests_too(stage):
    stage.server.refuse = web.Response(status=418, headers={"Retry-After": "300"})
    async with stage.running(Tiny()) as collector:
        await stage.until(lambda: collector.status()["banned_until"], step=0.1)
        banned_at = stage.clock.monotonic()
        requests = stage.server.requests.total()
        await stage.pass_time(250, step=1)
        assert stage.server.requests.total() == requests
        stage.server.refuse = None
        await stage.until(lambda: stage.server.live, step=1)
        assert stage.clock.monotonic() - banned_at >= 290


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after(value, 1_700_000_000 * SECOND) == seconds
