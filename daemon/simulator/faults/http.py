"""How a request that runs into a fault is answered, over HTTP and at the WebSocket handshake."""

import asyncio
import json
from typing import Final

from aiohttp import web

from daemon.simulator.faults.effects import Answering

_OK: Final = 200
_TEXTS: Final = {
    418: "Way too much request weight used; IP banned until the time that Retry-After says.",
    429: "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.",
}


async def refuse(fault: Answering) -> web.Response | None:
    """Wait as long as the fault says; return its answer, None where the request is to be served as usual."""
    await asyncio.sleep(fault.fault.delay)
    status = fault.fault.status
    if status == _OK:
        return None
    seconds = fault.retry_after()
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    if status in _TEXTS:
        text = json.dumps({"code": -1003, "msg": _TEXTS[status]})
        return web.Response(status=status, headers=headers, text=text, content_type="application/json")
    return web.Response(status=status, text=f"<html><body><h2>{status}</h2></body></html>", content_type="text/html")
