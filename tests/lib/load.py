"""Traffic whose every byte is known: clients that send through a tunnel port, a server that counts what arrives and
answers. What was sent, delivered and counted can then be compared, with and without kills."""
import contextlib
import random
import socket
import threading

from portway import TcpServer


class CountingServer(TcpServer):
    """Reads everything, answers each chunk with `factor` times as many bytes; counts both."""

    def __init__(self, factor=2):
        self.lock, self.received, self.sent, self.factor = threading.Lock(), 0, 0, factor
        super().__init__(self._serve)

    def _serve(self, conn, _address):
        conn.settimeout(60)
        while data := conn.recv(65536):
            with self.lock:
                self.received += len(data)
                self.sent += len(data) * self.factor  # before the send: sent is an upper bound
            conn.sendall(data * self.factor)


class Load:
    """`clients` threads; each opens a connection, does a few rounds, ends it (close or reset), and starts again."""

    def __init__(self, ports, clients=8, seed=1, factor=2):
        self.ports, self.factor = ports, factor
        self.lock = threading.Lock()
        self.sent = self.received = self.connections = self.whole = self.broken = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(random.Random(seed + i),), daemon=True)
                        for i in range(clients)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(90)
            assert not t.is_alive(), "a client hangs"

    def _client(self, rng):
        while not self.stopping.is_set():
            try:
                self._connection(rng)
                with self.lock:
                    self.whole += 1
            except OSError:
                with self.lock:
                    self.broken += 1
                self.stopping.wait(0.02)

    def _connection(self, rng):
        with socket.create_connection(("127.0.0.1", rng.choice(self.ports)), 10) as s:
            s.settimeout(20)
            with self.lock:
                self.connections += 1
            for _ in range(rng.randint(1, 6)):
                size = rng.choice((1, 100, 4000, 70_000, 300_000))
                self._exchange(s, size)
                if self.stopping.is_set():
                    break
            s.shutdown(socket.SHUT_WR)
            if s.recv(1) != b"":
                raise OSError("bytes nobody sent")

    def _exchange(self, s, size):
        reader = threading.Thread(target=self._read, args=(s, size * self.factor), daemon=True)
        with self.lock:
            self.sent += size  # before the send: an upper bound
        reader.start()
        try:
            s.sendall(b"z" * size)
        except OSError:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            raise
        finally:
            reader.join()
        if not getattr(reader, "complete", False):
            raise OSError("answer cut")

    def _read(self, s, size):
        got = 0
        try:
            while got < size:
                data = s.recv(min(65536, size - got))
                if not data:
                    return
                got += len(data)
        except OSError:
            return
        finally:
            with self.lock:
                self.received += got
        threading.current_thread().complete = True
