"""
HTTP/2 by prior knowledge at both ends of a relay, with Debian's python3-h2: a server that can be told to misbehave, and a client. Heads are
not judged by it, as its rules know nothing of a CONNECT without a path.
"""
import collections
import contextlib
import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

Settings = h2.settings.SettingCodes


class Request:
    def __init__(self, conn, number, fields):
        self.conn, self.number, self.fields = conn, number, dict(fields)
        self.body, self.trailers, self.whole, self.reset = b"", None, False, False

    @property
    def path(self):
        return self.fields.get(":path", "")

    def answer(self, body=b"ok", status=200, fields=(), trailers=None, end=True):
        self.conn.send_answer(self.number, [(":status", str(status)), *fields], body, trailers, end)


class Connection:
    """One connection of the server; what waits for a window goes when it opens."""

    def __init__(self, server, sock):
        self.server, self.sock, self.lock = server, sock, threading.RLock()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        self.requests, self.waiting, self.sent = {}, collections.defaultdict(list), collections.Counter()
        self.peak = 0

    def run(self):
        with self.lock:
            if self.server.max_streams is not None or self.server.takes_websockets:
                self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
                    Settings.MAX_CONCURRENT_STREAMS: self.server.max_streams or 100, Settings.MAX_HEADER_LIST_SIZE: 65536,
                    Settings.ENABLE_CONNECT_PROTOCOL: int(self.server.takes_websockets)})
            self.h2.initiate_connection()
            self.flush()
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while data := self.sock.recv(65536):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        self.take(event)
                    self.flush()
        with self.lock:
            for request in self.requests.values():
                request.reset = True
            self.requests.clear()
        self.sock.close()

    def take(self, event):
        number = getattr(event, "stream_id", None)
        request = self.requests.get(number)
        if isinstance(event, h2.events.RequestReceived):
            if self.server.refuses > 0:
                self.server.refuses -= 1
                self.server.refused += 1
                self.h2.reset_stream(number, h2.errors.ErrorCodes.REFUSED_STREAM)
                return
            request = self.requests[number] = Request(self, number, event.headers)
            self.server.seen.append(request)
            self.peak = max(self.peak, len(self.requests))
            self.server.begins(request)
        elif request is None:
            if isinstance(event, h2.events.WindowUpdated):
                self.push()
        elif isinstance(event, h2.events.DataReceived):
            request.body += event.data
            if self.server.takes_nothing(request):
                self.h2.increment_flow_control_window(event.flow_controlled_length)  # of the connection, not of the stream
            else:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
            if event.data:
                self.server.has_data(request)
        elif isinstance(event, h2.events.TrailersReceived):
            request.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            request.whole = True
            self.server.answers(request)
        elif isinstance(event, h2.events.StreamReset):
            request.reset = True
            self.requests.pop(number, None)
        elif isinstance(event, h2.events.WindowUpdated):
            self.push()

    def send_answer(self, number, fields, body, trailers, end):
        with self.lock:
            if number not in self.requests:
                return
            self.h2.send_headers(number, fields, end_stream=end and not body and trailers is None)
            if body or trailers is not None or not end:
                self.waiting[number] += [memoryview(body), ("end", trailers) if end else None]
            else:
                self.requests.pop(number)
            self.push()
            self.flush()

    def send_more(self, number, body=b"", end=False):
        with self.lock:
            self.waiting[number] += [memoryview(body), ("end", None) if end else None]
            self.push()
            self.flush()

    def push(self):
        for number in list(self.waiting):
            queue = self.waiting[number]
            while queue and number in self.requests:
                if queue[0] is None or len(queue[0]) == 0:
                    queue.pop(0)
                elif isinstance(queue[0], tuple):
                    trailers = queue.pop(0)[1]
                    if trailers is not None:
                        self.h2.send_headers(number, trailers, end_stream=True)
                    else:
                        self.h2.end_stream(number)
                    self.requests.pop(number)
                else:
                    n = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(queue[0]))
                    if n <= 0:
                        break
                    self.h2.send_data(number, bytes(queue[0][:n]))
                    self.sent[number] += n
                    queue[0] = queue[0][n:]

    def flush(self):
        with contextlib.suppress(OSError):
            self.sock.sendall(self.h2.data_to_send())

    def goaway(self, last):
        """No further streams, and those behind `last` were not looked at."""
        with self.lock:
            for number in [n for n in self.requests if n > last]:
                self.requests.pop(number)
            self.flush()
            with contextlib.suppress(OSError):  # h2 itself would say nothing after it
                self.sock.sendall(hyperframe.frame.GoAwayFrame(0, last_stream_id=last).serialize())


class Server:
    """Answers 200 with "ok" unless told otherwise: answers(), begins() and takes_nothing() may be replaced."""

    def __init__(self, answers=None, max_streams=None):
        self.max_streams, self.refuses, self.refused = max_streams, 0, 0
        self.seen, self.connections = [], []
        self.answers = answers or (lambda request: request.answer())
        self.begins = self.has_data = lambda request: None
        self.takes_nothing = lambda request: False
        self.takes_websockets = False  # says so in its SETTINGS (RFC 8441)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = Connection(self, sock)
            self.connections.append(conn)
            threading.Thread(target=conn.run, daemon=True).start()

    def open(self):
        return sum(len(c.requests) for c in self.connections)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for conn in self.connections:
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)


class Client:
    """A client's connection; read() until a condition. It takes what comes and opens windows again unless `slow` is set."""

    def __init__(self, port, sock=None):
        self.sock = sock or socket.create_connection(("127.0.0.1", port), timeout=20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.heads, self.bodies, self.ended, self.resets = {}, collections.defaultdict(bytes), {}, {}
        self.gone, self.over, self.slow, self.settings = None, False, set(), {}
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, fields, end=True):
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, fields, end_stream=end)
        self.flush()
        return number

    def get(self, host, path="/", method="GET", fields=(), end=True):
        return self.ask([(":method", method), (":scheme", "http"), (":authority", host), (":path", path), *fields], end)

    def send(self, number, data, end=False):
        """As far as windows go at once; the rest waits for them."""
        while data:
            n = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(data))
            if n == 0:
                self.read_once()
                continue
            self.h2.send_data(number, data[:n])
            data = data[n:]
            self.flush()
        if end:
            self.h2.end_stream(number)
            self.flush()

    def trailers(self, number, fields):
        self.h2.send_headers(number, fields, end_stream=True)
        self.flush()

    def read_once(self):
        data = self.sock.recv(65536)
        if not data:
            self.over = True
            raise EOFError
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        if isinstance(event, h2.events.ResponseReceived):
            self.heads[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            if event.stream_id not in self.slow:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.ended[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.setdefault(event.stream_id, None)
        elif isinstance(event, h2.events.StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.gone = event.error_code
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings.update({code: change.new_value for code, change in event.changed_settings.items()})

    def read(self, until):
        while not until():
            self.read_once()

    def answer(self, number):
        """Status, fields and content when it is whole; None for a reset."""
        self.read(lambda: number in self.ended or number in self.resets)
        if number in self.resets and number not in self.ended:
            return None
        return int(self.heads[number][":status"]), self.heads[number], self.bodies[number]

    def close(self):
        self.sock.close()
