"""Links where only web traffic gets out: WebSockets to the relay itself, through nginx and haproxy, with TLS of theirs, and a CONNECT proxy."""
import os
import socket
import threading

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually, free_port, listening, program, receive_all, run

WORKERS = 2


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_WORKERS": str(WORKERS), "RELAYD_AGENTS_BACKOFF": "1s"})
    finally:
        f.stop()


@pytest.fixture(scope="module")
def relay_at(fleet):
    return next(iter(fleet.agents_at.values()))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of nobody whom the agent knows: who the relay is shows inside."""
    folder = tmp_path_factory.mktemp("web")
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=web.test",
         "-keyout", str(folder / "key"), "-out", str(folder / "cert")])
    (folder / "both").write_text((folder / "cert").read_text() + (folder / "key").read_text())
    return folder


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, relay_at, certificate):
    folder, plain, tls = tmp_path_factory.mktemp("nginx"), free_port(), free_port()
    (folder / "conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; events {{ }}
        http {{
            access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{
                listen 127.0.0.1:{plain};
                listen 127.0.0.1:{tls} ssl;
                ssl_certificate {certificate}/cert; ssl_certificate_key {certificate}/key;
                location / {{ return 200 "a website"; }}
                location /portway {{
                    proxy_pass http://{relay_at};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection "upgrade";
                    proxy_set_header X-Forwarded-For "203.0.113.9, 198.51.100.7";
                    proxy_read_timeout 60s;
                }}
            }}
        }}""")
    with program(["nginx", "-p", str(folder), "-c", str(folder / "conf"), "-e", "stderr"], listening(plain)):
        yield plain, tls


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory, relay_at, certificate):
    folder, plain, tls = tmp_path_factory.mktemp("haproxy"), free_port(), free_port()
    (folder / "conf").write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend web
    bind 127.0.0.1:{plain}
    bind 127.0.0.1:{tls} ssl crt {certificate}/both
    default_backend relay
backend relay
    server relay {relay_at}
""")
    with program(["haproxy", "-db", "-f", str(folder / "conf")], listening(plain)):
        yield plain, tls


class ConnectProxy:
    """Lets out whoever asks it with CONNECT."""

    def __init__(self):
        self.seen = []
        self.server = TcpServer(self.serve)

    def serve(self, conn, _address):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += conn.recv(1)
        target = head.split()[1].decode()
        self.seen.append(target)
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as out:
            conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.pump, args=(out, conn), daemon=True)
            back.start()
            self.pump(conn, out)
            back.join()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def carries(fleet, agent_settings, name):
    """An agent of its own comes up that way, and bytes, ends and a large transfer pass."""
    client = fleet.client(name=name)
    agent = fleet.agent(client, name, **agent_settings)
    agent.wait_up(WORKERS)
    data = os.urandom(3_000_000)
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port, transport="dedicated")
        for _ in range(3):
            with connect(made["source_port"]) as sock:
                sock.settimeout(30)
                thread = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
                thread.start()
                assert receive_all(sock) == data
                thread.join()
        fleet.wait_stats(made["id"], bytes_received=3 * len(data), bytes_sent=3 * len(data), connections_active=0)
    agent.stop()
    fleet.agents.remove(agent)


def test_to_the_relay_itself(fleet, relay_at):
    carries(fleet, {"RELAYS": f"ws://{relay_at}/any/path"}, "itself")


def test_through_nginx(fleet, nginx):
    carries(fleet, {"RELAYS": f"ws://127.0.0.1:{nginx[0]}/portway"}, "nginx")
    carries(fleet, {"RELAYS": f"wss://localhost:{nginx[1]}/portway?from=home"}, "nginx-tls")


def test_through_haproxy(fleet, haproxy):
    carries(fleet, {"RELAYS": f"ws://127.0.0.1:{haproxy[0]}"}, "haproxy")
    carries(fleet, {"RELAYS": f"wss://localhost:{haproxy[1]}/"}, "haproxy-tls")


def test_through_a_proxy_and_nginx(fleet, nginx):
    proxy = ConnectProxy()
    carries(fleet, {"RELAYS": f"wss://localhost:{nginx[1]}/portway", "PROXY": f"http://127.0.0.1:{proxy.server.port}"}, "proxy")
    assert f"localhost:{nginx[1]}" in proxy.seen
    proxy.server.close()


def test_a_path_without_relay_is_said(fleet, nginx):
    agent = fleet.agent(fleet.client(name="lost"), "lost", RELAYS=f"ws://127.0.0.1:{nginx[0]}/elsewhere")
    eventually(lambda: "the web server passes no WebSocket there" in agent.log(), "the reason is in the log")
    agent.stop()
    fleet.agents.remove(agent)


def test_who_asks_for_a_page_is_told(fleet, relay_at):
    host, port = relay_at.rsplit(":", 1)
    with connect(int(port), host=host) as sock:
        sock.settimeout(10)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n")
        assert receive_all(sock).startswith(b"HTTP/1.1 426 ")


def test_who_is_behind_a_web_server(fleet, nginx):
    """What the web server says counts where the relay was told to believe it, and from nowhere else."""
    def seen_at(settings):
        fleet.relay.stop()
        fleet.relay.env.pop("RELAYD_AGENTS_PROXIES", None)
        fleet.relay.env.update(settings)
        fleet.relay.start()
        fleet.wait_online()
        client = fleet.client(name="behind")
        agent = fleet.agent(client, f"behind-{client['id']}", RELAYS=f"ws://localhost:{nginx[0]}/portway")
        agent.wait_up(WORKERS)
        found = eventually(lambda: fleet.api.get(f"/api/v1/clients/{client['id']}")["instances"], "seen by controld")
        agent.stop()
        return found[0]["remote_addr"].rsplit(":", 1)[0]

    assert seen_at({}) == "127.0.0.1"
    assert seen_at({"RELAYD_AGENTS_PROXIES": "192.0.2.1"}) == "127.0.0.1"
    assert seen_at({"RELAYD_AGENTS_PROXIES": "192.0.2.1,127.0.0.0/8"}) == "198.51.100.7"
