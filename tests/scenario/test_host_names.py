"""Many services on one port of the relay, told apart by the host that clients name: who gets what, under change and under load."""
import concurrent.futures
import os
import re
import signal
import ssl
import threading

import cli
import pytest
from agent import AgentFleet
from portway import Fleet, TcpServer, connect, dump, eventually, free_port, listening, program, receive_all, run
from test_quick_tunnels import Quick, token
from test_restarts import successor_of, zombie

DOMAIN = "tunnels.example"


def head(host, path="/", more=""):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def web(name):
    """Answers one request with its own name and what it was sent."""
    def handler(conn, _address):
        data = b""
        while b"\r\n\r\n" not in data:
            more = conn.recv(65536)
            if not more:
                return
            data += more
        body = name.encode() + b"|" + data
        conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return handler


def talk(port, data):
    """All that is answered; nothing when the connection is reset."""
    with connect(port) as sock:
        sock.sendall(data)
        try:
            return receive_all(sock)
        except ConnectionResetError:
            return b""


def ask(port, host, path="/"):
    """Status and body of the answer."""
    with connect(port) as sock:
        sock.sendall(head(host, path))
        answer = receive_all(sock)
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2]


@pytest.fixture()
def fleet(tmp_path):
    f = AgentFleet()
    f.http, f.tls = free_port(), free_port()
    f.relay_env = {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{f.http}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{f.tls}",
                   "RELAYD_HOSTS_TIMEOUT": "120s"}  # longer than those wait that have not said all
    try:
        f.start(relay_env=f.relay_env)
        f.api.put("/api/v1/groups/default", {"domain": DOMAIN})
        yield f
    finally:
        f.stop()


def of_agent(fleet, client, port, **fields):
    return fleet.api.post("/api/v1/mappings", {"protocol": "http", "target_client_id": client["id"], "target_port": port, **fields})


def of_relay(fleet, port, **fields):
    return fleet.api.post("/api/v1/mappings", {"protocol": "http", "target_host": "127.0.0.1", "target_port": port, **fields})


def test_two_agents_on_one_port(fleet):
    """Each host leads to its own agent, whole and counted; a name that was not chosen is made up and told as a URL."""
    with TcpServer(web("a")) as a, TcpServer(web("b")) as b:
        clients = [fleet.client(name=name) for name in "ab"]
        agents = [fleet.agent(c, name=f"agent-{n}") for c, n in zip(clients, "ab")]
        for agent in agents:
            agent.wait_up(2)
        first = of_agent(fleet, clients[0], a.port, host_names=["www.Shop.example.", "shop.example"])
        second = of_agent(fleet, clients[1], b.port)
        assert first["host_names"] == ["www.shop.example", "shop.example"]
        assert first["source_port"] is None and first["url"] == f"http://www.shop.example:{fleet.http}"
        made_up = second["host_names"][0]
        assert re.fullmatch(rf"[a-z]+-[a-z]+-[a-z2-9]{{4}}\.{re.escape(DOMAIN)}", made_up), made_up
        assert (first["status"], second["status"]) == ("active", "active"), dump([first, second])
        for host, name in (("shop.example", b"a"), ("WWW.shop.example:80", b"a"), (made_up, b"b")):
            status, body = ask(fleet.http, host)
            assert (status, body) == (200, name + b"|" + head(host))
        sent = sum(len(head(h)) for h in ("shop.example", "WWW.shop.example:80"))
        fleet.wait_stats(first["id"], connections_total=2, bytes_received=sent, connections_active=0)
        assert ask(fleet.http, "other.example")[0] == 404
        assert fleet.relay.metrics()['relayd_hosts_unknown_total{port="http"}'] == 1
        agents[1].stop()
        eventually(lambda: ask(fleet.http, made_up)[0] == 502, "a page that says that no agent is there")
        assert ask(fleet.http, "shop.example")[0] == 200


def test_who_may_have_which_name(fleet):
    api = fleet.api
    of_relay(fleet, 1, host_names=["mine.example"])
    again = api.call("POST", "/api/v1/mappings", {"protocol": "http", "target_host": "127.0.0.1", "target_port": 1,
                                                  "host_names": ["MINE.example"]}, expect=409)
    assert again["code"] == "HOST_NAME_ALREADY_IN_USE" and "map_" in again["message"]
    other = of_relay(fleet, 1, protocol="tls", host_names=["mine.example"])  # the other port
    assert other["url"] == f"https://mine.example:{fleet.tls}"
    for body, status, code in (
            ({"host_names": ["a_b.example"]}, 422, "VALIDATION_ERROR"),
            ({"host_names": ["10.0.0.1"]}, 422, "VALIDATION_ERROR"),
            ({"host_names": ["twice.example", "twice.example"]}, 422, "VALIDATION_ERROR"),
            ({"source_port": 8080}, 422, "VALIDATION_ERROR"),
            ({"bind_address": "127.0.0.1"}, 422, "VALIDATION_ERROR"),
            ({"protocol": "tcp", "host_names": ["a.example"]}, 422, "VALIDATION_ERROR")):
        answer = api.call("POST", "/api/v1/mappings", {"protocol": "http", "target_host": "127.0.0.1", "target_port": 1, **body},
                          expect=status)
        assert answer["code"] == code, dump(answer)


def test_change_under_load(fleet):
    """One name is moved back and forth while others are asked: theirs never fail, and what is connected stays."""
    with TcpServer(web("steady")) as steady, TcpServer(web("one")) as one, TcpServer(web("two")) as two:
        of_relay(fleet, steady.port, host_names=["steady.example"])
        moved = of_relay(fleet, one.port, host_names=["moved.example"])
        held = connect(fleet.http)
        held.sendall(head("moved.example")[:-2])  # not whole: it is decided when it is
        stop = threading.Event()

        def load():
            n = 0
            while not stop.is_set():
                assert ask(fleet.http, "steady.example")[1].startswith(b"steady|")
                n += 1
            return n

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            running = [pool.submit(load) for _ in range(3)]
            for i in range(10):
                host = "moved.example" if i % 2 else "elsewhere.example"
                fleet.api.put(f"/api/v1/mappings/{moved['id']}", {"host_names": [host], "target_port": (one, two)[i % 2].port})
                eventually(lambda: ask(fleet.http, host)[1].startswith((b"one|", b"two|")[i % 2]))
            stop.set()
            total = sum(r.result() for r in running)
        assert total > 0
        held.sendall(b"\r\n")
        assert b"two|" in receive_all(held)
        held.close()


def test_junk_and_slow_clients(fleet):
    """What is no request is told so or reset, what says nothing is let go in time, and others are served all the while."""
    fleet.relay.stop()
    fleet.relay.env.update({"RELAYD_HOSTS_TIMEOUT": "3s", "RELAYD_HOSTS_WAITING_PER_SOURCE": "50"})
    fleet.relay.start()
    with TcpServer(web("a")) as a:
        m = of_relay(fleet, a.port, host_names=["a.example"])
        fleet.wait_status(m["id"])
        slow = []
        for i in range(40):
            sock = connect(fleet.http)
            sock.sendall(head("a.example")[: i % 30])
            slow.append(sock)
        for data in (b"\x16\x03\x01\x02\x00", b"\0" * 100, b"SSH-2.0-x\r\n", os.urandom(9000), head("a.example, b"), b"\r\n" * 4000 + b"x"):
            answer = talk(fleet.http, data)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 "), answer[:80]
        assert ask(fleet.http, "a.example")[0] == 200
        for sock in slow:
            sock.settimeout(20)
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass
            sock.close()
        def counted():
            metrics = fleet.relay.metrics()
            assert metrics['relayd_hosts_slow_total{port="http"}'] >= 40 and metrics['relayd_hosts_waiting{port="http"}'] == 0, metrics
            return True
        eventually(counted, "they are counted")


def test_a_thousand_names(fleet):
    """Made, found and gone; one mapping has at most 16."""
    with TcpServer(web("many")) as many:
        ids = []
        for i in range(1000 // 16 + 1):
            names = [f"n{k}.many.example" for k in range(16 * i, 16 * i + 16)]
            ids.append(of_relay(fleet, many.port, host_names=names)["id"])
        for m in ids:
            fleet.wait_status(m)
        for k in (0, 15, 16, 500, 999):
            assert ask(fleet.http, f"n{k}.many.example")[0] == 200
        assert ask(fleet.http, "n2000.many.example")[0] == 404
        wild = of_relay(fleet, many.port, host_names=["*.many.example"])
        assert wild["url"] is None
        assert ask(fleet.http, "x.y.many.example")[0] == 200
        for m in ids:
            fleet.api.delete(f"/api/v1/mappings/{m}")
        fleet.api.delete(f"/api/v1/mappings/{wild['id']}")
        eventually(lambda: ask(fleet.http, "n0.many.example")[0] == 404)


def test_a_relay_without_the_port():
    f = Fleet()
    try:
        f.start()
        m = f.api.post("/api/v1/mappings", {"protocol": "http", "target_host": "127.0.0.1", "target_port": 1,
                                           "host_names": ["a.example"]})
        m = f.wait_status(m["id"], "error")
        assert m["error"]["edge-1"]["message"] == "this relay has no http port: http.listen is off", dump(m)
        assert m["url"] is None
        missing = f.api.call("POST", "/api/v1/mappings", {"protocol": "http", "target_host": "127.0.0.1", "target_port": 1}, expect=422)
        assert "domain" in missing["message"]
    finally:
        f.stop()


def test_handover_and_drain(fleet):
    """SIGUSR2: connections come in without a gap, those that had not said their host are served where they are."""
    with TcpServer(web("a")) as a:
        m = of_relay(fleet, a.port, host_names=["a.example"])
        half = connect(fleet.http)
        half.sendall(head("a.example")[:10])
        stop, asked = threading.Event(), []

        def load():
            while not stop.is_set():
                assert ask(fleet.http, "a.example")[0] == 200
                asked.append(1)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = [pool.submit(load) for _ in range(2)]
            eventually(lambda: len(asked) > 20)
            fleet.relay.signal(signal.SIGUSR2)
            pid = eventually(lambda: successor_of(fleet, [fleet.relay.pid]), "a successor that serves", 40)
            before = len(asked)
            eventually(lambda: len(asked) > before + 20)
            stop.set()
            for r in running:
                r.result()
        half.sendall(head("a.example")[10:])
        assert b"a|" in receive_all(half)
        half.close()
        fleet.wait_stats(m["id"], seconds=40, connections_total=len(asked) + 1)
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{pid}") or zombie(pid), "the successor ended", 40)


def test_quick_http_by_name(tmp_path):
    """`portway http` is reached by a host name below the domain, the same one again; without an account by one nobody guesses."""
    fleet = AgentFleet({"CONTROLD_ANONYMOUS_ENABLED": "true", "CONTROLD_ANONYMOUS_BIND": "127.0.0.1"})
    http = free_port()
    try:
        fleet.start(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{http}"})
        fleet.api.put("/api/v1/groups/default", {"domain": "localhost"})
        with TcpServer(web("mine")) as server:
            with Quick(fleet, tmp_path, "http", str(server.port), "--json") as quick:
                first = quick.said
                assert first["protocol"] == "http" and first["addresses"] == [f"http://{first['host']}:{http}"]
                assert first["host"].endswith(".localhost")
                assert ask(http, first["host"])[1].startswith(b"mine|")
                quick.end()
            with Quick(fleet, tmp_path, "http", str(server.port)) as quick:
                assert quick.line == f"127.0.0.1:{server.port} is reachable at http://{first['host']}:{http}\n"
                quick.end()
            with Quick(fleet, tmp_path, "http", str(server.port), "--host", "blog", "--json") as quick:
                assert quick.said["host"] == "blog.localhost"
                assert ask(http, "blog.localhost")[1].startswith(b"mine|")
                quick.end()
            with Quick(fleet, tmp_path, "http", str(server.port), "--json", account=False) as quick:
                assert re.fullmatch(r"[a-z2-9]{16}\.localhost", quick.said["host"])
                assert ask(http, quick.said["host"])[1].startswith(b"mine|")
                quick.end()
            with Quick(fleet, tmp_path, "http", str(server.port), "--port", str(free_port()), "--json") as quick:
                assert quick.said["protocol"] == "tcp" and quick.said["host"] is None
                quick.end()
            refused = cli.portway("tls", str(server.port), PORTWAY_URL=fleet.controld.base, PORTWAY_TOKEN=token(fleet),
                                  XDG_STATE_HOME=str(tmp_path))
            assert refused.returncode != 0 and "tls.listen" in refused.stderr
        assert fleet.api.get("/api/v1/mappings")["items"] == []
    finally:
        fleet.stop()


def test_real_clients(fleet, tmp_path):
    """curl with keep-alive through nginx at an agent, and TLS that two services open themselves, each with its own certificate."""
    nginx_port = free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}} http {{ access_log off; "
                    f"client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f; "
                    f"uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; "
                    f"server {{ listen 127.0.0.1:{nginx_port}; return 200 \"nginx $host $request_uri\\n\"; }} }}")
    with program(["nginx", "-c", str(conf)], listening(nginx_port)):
        client = fleet.client(name="web")
        fleet.agent(client).wait_up(2)
        fleet.api.put("/api/v1/groups/default", {"domain": "localhost"})
        url = of_agent(fleet, client, nginx_port, host_names=["blog.localhost"])["url"]
        said = run(["curl", "-sS", "--noproxy", "*", f"{url}/1", f"{url}/2", "-w", "%{num_connects}\\n"])
        assert said == "nginx blog.localhost /1\n1\nnginx blog.localhost /2\n0\n", said
    contexts = []
    for name in ("one.example", "two.example"):
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name}", "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        contexts.append((name, context))

    def serve(name, context):
        def handler(conn, _address):
            with context.wrap_socket(conn, server_side=True) as tls:
                tls.sendall(name.encode() + b":" + tls.recv(100))
        return TcpServer(handler)

    for name, context in contexts:
        with serve(name, context) as server:
            of_relay(fleet, server.port, protocol="tls", host_names=[name])
            trust = ssl.create_default_context(cafile=tmp_path / f"{name}.crt")
            with trust.wrap_socket(connect(fleet.tls), server_hostname=name) as tls:
                tls.sendall(b"hello")
                assert tls.recv(100) == name.encode() + b":hello"
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        ssl.create_default_context().wrap_socket(connect(fleet.tls), server_hostname="three.example")
