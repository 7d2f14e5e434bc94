"""A browser on a service behind NAT, by its host name: the page comes, and a WebSocket through the same port."""
import asyncio
import http
import os
import shutil
import signal
import subprocess
import threading

import pytest
import websockets
from portway import eventually
from test_host_names import fleet, of_agent  # noqa: F401 (a fixture)

PAGE = b"""<!doctype html><title>here</title><script>
const socket = new WebSocket("ws://" + location.host + "/talk");
socket.onopen = () => socket.send("hello from " + location.hostname);
socket.onmessage = event => socket.send("heard " + event.data);
</script>"""


class WebService:
    """A page, and a WebSocket that answers in capitals and keeps what it is told."""

    def __init__(self):
        self.heard, self.loop, self.up = [], asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.up.wait(10)

    def _run(self):
        async def talk(socket, *_):
            async for message in socket:
                self.heard.append(message)
                if not message.startswith("heard"):
                    await socket.send(message.upper())

        async def page(path, _headers):
            return None if path == "/talk" else (http.HTTPStatus.OK, [("Content-Type", "text/html")], PAGE)

        async def main():
            self.server = await websockets.serve(talk, "127.0.0.1", 0, process_request=page)
            self.port = self.server.sockets[0].getsockname()[1]
            self.up.set()

        self.loop.run_until_complete(main())
        self.loop.run_forever()

    def close(self):
        async def end():
            self.server.close()
            await self.server.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


@pytest.fixture()
def service(fleet):  # noqa: F811
    web = WebService()
    try:
        client = fleet.client(name="web")
        fleet.agent(client).wait_up(2)
        fleet.api.put("/api/v1/groups/default", {"domain": "localhost"})
        web.mapping = of_agent(fleet, client, web.port)
        yield web
    finally:
        web.close()


def test_a_websocket_client(service):
    host, port = service.mapping["url"].removeprefix("http://").split(":")

    async def talk():
        async with websockets.connect(f"ws://{host}:{port}/talk", host="127.0.0.1", port=int(port)) as socket:
            await socket.send("x" * 100000)
            return await socket.recv()

    assert asyncio.run(talk()) == "X" * 100000


def test_a_real_browser(service, tmp_path):
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed (make deps)"
    child = subprocess.Popen([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
                              "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
                              f"--explicitly-allowed-ports={service.mapping['url'].rsplit(':', 1)[1]}",
                              f"--user-data-dir={tmp_path}/profile", service.mapping["url"] + "/"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        hello = "hello from " + service.mapping["host_names"][0]
        eventually(lambda: service.heard[:2] == [hello, "heard " + hello.upper()], "the page's own WebSocket talked", 90)
    finally:
        os.killpg(child.pid, signal.SIGKILL)  # a session of its own
        child.wait()
