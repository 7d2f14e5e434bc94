"""A long way: what passes through arrives later than it was sent, in both directions."""
import asyncio
import contextlib
import threading

PIECE = 65536
WAITING = 256  # pieces under way in a direction; who sends more waits


class Delay:
    """A TCP proxy at host:port that leads to another address; the way there takes so many seconds, and so does the way back."""

    def __init__(self, host, to, seconds):
        self.to, self.seconds = to, seconds
        self.loop, self.server, self.ends = asyncio.new_event_loop(), None, set()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.call(self._listen(host))
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = f"{host}:{self.port}"

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    async def _listen(self, host):
        self.server = await asyncio.start_server(self._connected, host, 0)

    async def _connected(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.to)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, far_writer)
        self.ends.update(ends)
        try:
            await asyncio.gather(self._way(reader, far_writer), self._way(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.transport.abort()
            self.ends.difference_update(ends)

    async def _way(self, reader, writer):
        queue = asyncio.Queue(WAITING)

        async def leave():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - self.loop.time())
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        leaving = asyncio.ensure_future(leave())
        try:
            while True:
                data = await reader.read(PIECE)
                await queue.put((self.loop.time() + self.seconds, data))
                if not data or leaving.done():
                    break
            await leaving
        finally:
            leaving.cancel()

    async def _end(self):
        self.server.close()
        for end in self.ends:
            end.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)

    def close(self):
        self.call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
