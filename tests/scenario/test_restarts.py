"""Either side away, restarted, upgraded or out of disk: what serves goes on serving, and the counters are complete."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from portway import DATABASE, TcpServer, UdpEcho, connect, echo, eventually, receive
from load import CountingServer, Load


def works(port):
    with connect(port, timeout=5) as s:
        s.sendall(b"ping")
        return receive(s, 4) == b"ping"


def test_serves_while_controld_is_away_and_after_its_own_restart_without_it(new_fleet):
    fleet = new_fleet()
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port)
        port = mapping["source_port"]
        with connect(port) as s:
            fleet.controld.kill()
            for _ in range(20):
                s.sendall(b"x")
                assert s.recv(1) == b"x"
        assert works(port)
        fleet.relay.stop()
        fleet.relay.start()
        eventually(lambda: works(port), "serves from the last good snapshot")
        fleet.relay.kill()
        fleet.relay.start()
        eventually(lambda: works(port), "the same after kill -9")
        fleet.controld.start()
        fleet.wait_online()
        fleet.wait_stats(mapping["id"], bytes_received=20 + 3 * 4, bytes_sent=20 + 3 * 4, connections_total=4,
                         connections_active=0)


def test_controld_restart_is_not_noticed_by_connections(new_fleet):
    fleet = new_fleet()
    server = CountingServer()
    mapping = fleet.mapping(server.port)
    load = Load([mapping["source_port"]], clients=4).start()
    for _ in range(3):
        fleet.controld.stop()
        fleet.controld.start()
    load.stop()
    server.close()
    assert load.broken == 0
    fleet.wait_online()
    fleet.wait_stats(mapping["id"], bytes_received=load.sent, bytes_sent=load.received, connections_total=load.connections,
                     connections_active=0)


def successor_of(fleet, older):
    """The pid of the relay that took over: it answers on the metrics address, is none of the older ones, and serves alone."""
    log = fleet.relay.log()
    if log.count("took_over") < len(older):
        return None
    # of its own word: a process that it has just started holds all of its sockets for a moment, too
    pids = [int(pid) for pid in re.findall(r"\bstart\b.*\bpid\W+(\d+)", log)]
    return next((p for p in reversed(pids) if p not in older), None)


def test_signals_for_the_whole_group_leave_the_line_alone(fleet):
    """What Ctrl-C and `systemctl kill` send goes to the link process as well, which must not end before the relay."""
    with open(f"/proc/{fleet.relay.pid}/task/{fleet.relay.pid}/children") as f:
        line = int(f.read())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        os.kill(line, number)
    server = CountingServer()
    try:
        fleet.mapping(server.port)  # the news comes over the same line
        assert fleet.relay.metrics()["relayd_link_restarts_total"] == 0
    finally:
        server.close()


def test_handover_refuses_no_connection_and_loses_no_datagram(new_fleet):
    fleet = new_fleet()
    server, udp_server = CountingServer(), UdpEcho()
    tcp, udp = fleet.mapping(server.port), fleet.mapping(udp_server.port, protocol="udp")
    long_lived = connect(tcp["source_port"])
    long_lived.sendall(b"a")
    assert receive(long_lived, 2) == b"aa"
    load = Load([tcp["source_port"]], clients=4).start()
    lost, rounds, stop = [], [0], threading.Event()

    def ping():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.settimeout(20)  # late is not lost
            c.connect(("127.0.0.1", udp["source_port"]))
            while not stop.is_set():
                c.send(b"%d" % rounds[0])
                try:
                    c.recv(100)
                except TimeoutError:
                    lost.append(rounds[0])
                rounds[0] += 1

    thread = threading.Thread(target=ping)
    thread.start()
    pids = []
    old = fleet.relay.pid
    try:
        for _ in range(2):
            os.kill(old, signal.SIGUSR2)
            new = eventually(lambda: successor_of(fleet, [fleet.relay.pid, *pids]), "successor serves", 40)
            pids.append(new)
            long_lived.sendall(b"b")
            assert receive(long_lived, 2) == b"bb", "an old session goes on in the old process"
            old = new
        stop.set()
        thread.join()
        load.stop()
        long_lived.close()
        assert load.broken == 0 and load.whole > 0
        assert not lost and rounds[0] > 10
        expected = load.connections + 1
        eventually(lambda: fleet.stats(tcp["id"])["connections_total"] == expected
                   and fleet.stats(tcp["id"])["connections_active"] == 0, "all connections counted once", 40)
        stats = fleet.stats(tcp["id"])
        assert stats["bytes_received"] == load.sent + 3 and stats["bytes_sent"] == load.received + 6
        assert len(udp_server.seen) == rounds[0]
        assert len({address for _, address in udp_server.seen}) == 1, "the UDP session moved with its upstream socket"
        # each of the three processes had the session once
        fleet.wait_stats(udp["id"], packets_received=rounds[0], packets_sent=rounds[0], connections_total=3,
                         connections_active=1, dropped_in=0, dropped_out=0)
    finally:
        stop.set()
        server.close()
        udp_server.close()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM)
                eventually(lambda p=pid: not os.path.exists(f"/proc/{p}") or zombie(p), "successor ended", 40)
            except ProcessLookupError:
                pass


def zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_sigterm_drains(new_fleet):
    fleet = new_fleet(relay_env={"RELAYD_DRAIN_TIMEOUT": "20s"})
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port)
        s = connect(mapping["source_port"])
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        fleet.relay.signal(signal.SIGTERM)

        def port_closed():
            try:
                connect(mapping["source_port"], timeout=2).close()
                return False
            except OSError:
                return True

        eventually(port_closed, "no new connections")
        s.sendall(b"y")
        assert s.recv(1) == b"y", "an old connection may finish"
        s.close()
        eventually(lambda: not fleet.relay.alive(), "ends when the last one has")
        fleet.wait_stats(mapping["id"], bytes_received=2, connections_active=0)


def test_sigterm_while_starting_is_a_clean_end(new_fleet):
    fleet = new_fleet()
    fleet.relay.stop()
    for _ in range(5):
        before = fleet.relay.log().count(" start ")
        fleet.relay.start()
        eventually(lambda: fleet.relay.log().count(" start ") > before, "begins", every=0.0005)
        fleet.relay.stop()


def test_sigterm_again_and_again_is_a_clean_end(new_fleet):
    """Also when it has already let go of everything but itself."""
    fleet = new_fleet()
    for life in range(1, 9):
        eventually(lambda: fleet.relay.log().count(" now=serving") == life, "serves")
        while fleet.relay.alive():
            fleet.relay.signal(signal.SIGTERM)
            time.sleep(0.0005)
        fleet.relay.stop()
        if life < 8:
            fleet.relay.start()


def test_sigterm_to_a_controld_that_has_closed_everything_is_a_clean_end(new_fleet):
    """A second one while it finishes forces it; there is nothing to force any more once it has said that it is over."""
    fleet = new_fleet(relays=0)
    for life in range(1, 5):
        fleet.controld.signal(signal.SIGTERM)
        eventually(lambda: fleet.controld.log().count(" stopped prog=controld") == life, "it is over", every=0.0005)
        while fleet.controld.alive():
            fleet.controld.signal(signal.SIGTERM if life % 2 else signal.SIGINT)
            time.sleep(0.0005)
        fleet.controld.stop()
        if life < 4:
            fleet.controld.start()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB, if this machine lets tests mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    path = folder / "filler"
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError:
            pass
    try:
        with open(path, "ab", buffering=0) as f:
            while True:
                f.write(b"\0")
    except OSError:
        return path


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL's disk is another")
def test_full_disk_under_controld(new_fleet, small_disk):
    fleet = new_fleet(controld_env={"CONTROLD_DATA_DIR": str(small_disk / "controld")})
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port)
        filler = fill(small_disk)
        refused = None
        for i in range(200):
            answer = fleet.api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                         "target_port": 1, "description": "d" * 1000}, expect=(201, 503, 507))
            if fleet.api.last.status_code != 201:
                refused = answer
                break
        assert refused and refused["code"] == "STORAGE_ERROR", refused
        assert works(mapping["source_port"]), "what runs goes on"
        assert fleet.api.get(f"/api/v1/mappings/{mapping['id']}")["id"] == mapping["id"], "reading goes on"
        os.remove(filler)
        eventually(lambda: fleet.api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_port": 1,
                                                               "target_host": "127.0.0.1"}, expect=201), "recovers by itself")
        assert works(mapping["source_port"])
        fleet.wait_stats(mapping["id"], connections_total=2, connections_active=0)


def test_full_disk_under_a_relay(new_fleet, small_disk):
    fleet = new_fleet(relays=0)
    relay = fleet.add_relay("edge-1", {"RELAYD_DATA_DIR": str(small_disk / "edge"), "RELAYD_METER_SLOTS": "1024"})
    with TcpServer(echo) as server:
        first = fleet.mapping(server.port)
        filler = fill(small_disk)
        second = fleet.mapping(server.port)  # the snapshot cannot be kept, the mapping serves all the same
        assert works(first["source_port"]) and works(second["source_port"])
        eventually(lambda: "No space left" in relay.log(), "says so in its log")
        os.remove(filler)
        third = fleet.mapping(server.port)
        assert works(third["source_port"])
        for m in (first, second, third):
            fleet.wait_stats(m["id"], bytes_received=4, connections_total=1)
        fleet.controld.kill()
        relay.kill()
        relay.start()
        eventually(lambda: works(third["source_port"]), "the later snapshot was kept")
        fleet.controld.start()
