"""TLS in front of a server that has none, as stunnel does it: Valkey from the wheel is built without."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme


class Certificates:
    """An authority of the test's own, as files: whom to trust, and a certificate for clients."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.authority = folder / "ca.pem"
        self.client = folder / "client.pem"
        self._authority.cert_pem.write_to_path(self.authority)
        self._authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)

    def server(self, host: str, *, clients: bool = False) -> ssl.SSLContext:
        """What a server at `host` has; with `clients` it wants certificates of those too."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(host).configure_cert(context)
        if clients:
            self._authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@asynccontextmanager
async def relay(context: ssl.SSLContext, upstream: Path | int) -> AsyncIterator[int]:
    """Listen with TLS and pass everything on to a unix socket or a local port; gives the port."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(upstream, Path):
            answers, requests = await asyncio.open_unix_connection(upstream)
        else:
            answers, requests = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(_copy(reader, requests), _copy(answers, writer))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:  # the end of the test; the server's own callback would report it
            pass
        finally:
            running.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in set(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()
