"""A successor that does not serve changes nothing: the running relay goes on, and the next try may work."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
from portway import BIN, Fleet, Relayd, TcpServer, UdpEcho, connect, echo, eventually, receive


def works(port):
    with connect(port, timeout=60) as s:
        s.sendall(b"ping")
        return receive(s, 4) == b"ping"


def put(path, source=None, script=None):
    """As a package manager does: the new file takes the name, the running one keeps its own."""
    if source:
        shutil.copy(source, path + ".new")
    else:
        with open(path + ".new", "w") as f:
            f.write(script)
        os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


def listeners(port):
    out = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return {int(part.split(",")[0]) for part in out.split("pid=")[1:]}


def test_a_successor_that_does_not_serve_changes_nothing(new_fleet, tmp_path):
    fleet = new_fleet(relays=0)
    token = fleet.api.post("/api/v1/nodes/join-tokens", {"name": "edge-1"})["token"]
    relay = Relayd(fleet.folder, "edge-1", fleet.controld, token, {"RELAYD_HANDOVER_TIMEOUT": "10s"})
    relay.program = str(tmp_path / "relayd")
    put(relay.program, source=os.path.join(BIN, "relayd"))
    fleet.relays.append(relay.start())
    fleet.wait_online()
    successor = None
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port)
        held = connect(mapping["source_port"])

        def goes_on(old_session=True):
            if old_session:
                held.sendall(b"x")
                assert held.recv(1) == b"x"
            assert works(mapping["source_port"])
            another = fleet.mapping(server.port)  # the line to controld works, too
            assert works(another["source_port"])
            fleet.api.delete(f"/api/v1/mappings/{another['id']}")

        for script, reason in (("#!/bin/sh\nexit 1\n", "ended before it served"),
                               ("#!/bin/sh\nexec sleep 600\n", "did not serve in time"),
                               ("not a program", "Exec format error")):
            put(relay.program, script=script)
            relay.signal(signal.SIGUSR2)
            eventually(lambda r=reason: r in relay.log(), f"says that the new process {reason}", 40)
            goes_on()
            eventually(lambda: len(children(relay.pid)) == 1, "only the link process is left")
        put(relay.program, source=os.path.join(BIN, "relayd"))
        relay.signal(signal.SIGUSR2)
        try:
            successor = eventually(lambda: next(iter(listeners(relay.metrics_port) - {relay.pid}), None), "a successor", 40)
            eventually(lambda: "took_over" in relay.log(), "it took over", 40)
            goes_on()
            held.close()
            eventually(lambda: not relay.alive(), "the old one ends with its last connection", 40)
            assert relay.process.returncode == 0, relay.log_tail()
            fleet.wait_stats(mapping["id"], connections_active=0, connections_total=1 + 4)
        finally:
            if successor:
                os.kill(successor, signal.SIGTERM)
                eventually(lambda: not listeners(relay.metrics_port), "the successor ended", 40)


# In Python, as a shell would hear the signals that are to wait for the relay.
SLOW = """#!/usr/bin/python3
import os, sys, time
while not os.path.exists("{go}"):
    time.sleep(0.02)
os.execv("{binary}", sys.argv)
"""


@pytest.fixture
def slow_upgrade(new_fleet, tmp_path):
    """A fleet whose relay runs from a file of its own, and what makes its successor go on: it starts when that is called."""
    fleet = new_fleet(relays=0)
    token = fleet.api.post("/api/v1/nodes/join-tokens", {"name": "edge-1"})["token"]
    relay, binary, go = Relayd(fleet.folder, "edge-1", fleet.controld, token), tmp_path / "real", tmp_path / "go"
    relay.program = str(tmp_path / "relayd")
    put(relay.program, source=os.path.join(BIN, "relayd"))
    shutil.copy(os.path.join(BIN, "relayd"), binary)
    fleet.relays.append(relay.start())
    fleet.wait_online()
    put(relay.program, script=SLOW.format(go=go, binary=binary))
    yield fleet, go.touch
    go.touch()


def test_the_configuration_changes_while_the_successor_starts(slow_upgrade):
    """It gets what is in force when it asks: with controld away, it has nobody else to hear it from."""
    fleet, go = slow_upgrade
    relay = fleet.relay
    with TcpServer(echo) as server:
        before = fleet.mapping(server.port)
        relay.signal(signal.SIGUSR2)
        eventually(lambda: len(children(relay.pid)) == 2, "the successor has begun, and says nothing yet")
        meanwhile = fleet.mapping(server.port)
        fleet.api.delete(f"/api/v1/mappings/{before['id']}")
        eventually(lambda: not listeners(before["source_port"]), "the first mapping is gone")
        fleet.controld.kill()
        go()
        successor = None
        try:
            successor = eventually(lambda: next(iter(listeners(relay.metrics_port) - {relay.pid}), None), "a successor", 40)
            eventually(lambda: not relay.alive(), "the old one ends, as nothing is connected", 40)
            assert relay.process.returncode == 0, relay.log_tail()
            assert works(meanwhile["source_port"])
            assert not listeners(before["source_port"])
        finally:
            if successor:
                os.kill(successor, signal.SIGTERM)
                eventually(lambda: not listeners(relay.metrics_port), "the successor ended", 40)


def test_the_successor_is_asked_for_a_successor_while_it_starts(slow_upgrade):
    """It cannot hand over what is not its own yet: it does when it is, and no request for it is lost."""
    fleet, go = slow_upgrade
    relay = fleet.relay
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port)
        line = set(children(relay.pid))
        relay.signal(signal.SIGUSR2)
        new = eventually(lambda: set(children(relay.pid)) - line, "the successor has begun, and says nothing yet")
        os.kill(int(new.pop()), signal.SIGUSR2)
        go()
        try:
            eventually(lambda: relay.log().count("took_over") == 2, "two successors, one after the other", 60)
            eventually(lambda: not relay.alive() and len(listeners(mapping["source_port"])) == 1, "the others have ended", 40)
            assert works(mapping["source_port"]) and "handover_failed" not in relay.log()
        finally:
            for pid in listeners(relay.metrics_port):
                os.kill(pid, signal.SIGTERM)
            eventually(lambda: not listeners(relay.metrics_port), "the last one ended", 40)


def test_the_old_process_is_killed_while_the_successor_starts(slow_upgrade):
    """Whoever comes for the goods and finds nobody ends, and leaves the ports to who is started next."""
    fleet, go = slow_upgrade
    relay = fleet.relay
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port)
        relay.signal(signal.SIGUSR2)
        eventually(lambda: len(children(relay.pid)) == 2, "the successor has begun, and says nothing yet")
        relay.kill()
        go()
        eventually(lambda: re.search("cannot_start.*handover: send", relay.log()), "the successor says why", 40)
        eventually(lambda: re.search("end.*status", relay.log().split("cannot_start", 1)[1]), "it ends in order", 40)
        relay.check_log()
        put(relay.program, source=os.path.join(BIN, "relayd"))
        relay.start()
        eventually(lambda: works(mapping["source_port"]), "it serves")


# What a successor says over its descriptor 3 (relayd/handover/parcel.h); the goods are taken, and the ending differs.
FAKE = """#!/usr/bin/python3
import os, socket, time
HELLO, GOODS, END, READY, GO = (bytes([i]) for i in range(1, 6))
s = socket.socket(fileno=3)
def take():
    s.send(HELLO)
    while True:
        data, control, flags, _ = s.recvmsg(70000, socket.CMSG_SPACE(64 * 4))
        if data[:1] != GOODS:
            return data[:1] == END
"""
ENDINGS = {
    "dies with the goods": ("take()", "ended before it served"),
    "dies while they come": ("s.send(HELLO); s.recvmsg(70000)", "ended before it served|handover: send"),
    "hangs with the goods": ("take(); time.sleep(600)", "did not serve in time"),
    "never takes them": ("s.send(HELLO); time.sleep(600)", "did not serve in time"),
    "serves before it asks": ("s.send(READY); time.sleep(600)", "says nonsense"),
    "asks twice": ("take(); s.send(HELLO); time.sleep(600)", "says nonsense"),
    "babbles": ("take(); s.send(os.urandom(1000)); time.sleep(600)", "makes no sense|says nonsense"),
    "an empty word": ("take(); s.send(b''); time.sleep(600)", "ended before it served"),
    "gives goods back": ("take(); socket.send_fds(s, [GOODS + b'x' * 5000], list(range(3)) * 20); time.sleep(600)",
                         "makes no sense|says nonsense"),
    "serves and dies": ("take(); s.send(READY); os._exit(0)", "ended while this one stepped back|handover: send"),
}


@pytest.fixture(scope="module")
def upgradable(tmp_path_factory):
    """A fleet whose relay runs from a file of its own, one TCP and one UDP mapping, a connection and a session."""
    fleet = Fleet().start(relays=0)
    token = fleet.api.post("/api/v1/nodes/join-tokens", {"name": "edge-1"})["token"]
    relay = Relayd(fleet.folder, "edge-1", fleet.controld, token, {"RELAYD_HANDOVER_TIMEOUT": "5s"})  # Python begins in that
    relay.program = str(tmp_path_factory.mktemp("program") / "relayd")
    put(relay.program, source=os.path.join(BIN, "relayd"))
    fleet.relays.append(relay.start())
    fleet.wait_online()
    with TcpServer(echo) as server, UdpEcho() as udp_server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
        tcp, udp = fleet.mapping(server.port), fleet.mapping(udp_server.port, protocol="udp")
        c.settimeout(20)
        c.connect(("127.0.0.1", udp["source_port"]))
        with connect(tcp["source_port"]) as held:
            yield fleet, tcp, udp_server, held, c
    fleet.stop()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_successor_that_misbehaves_is_given_up(upgradable, ending):
    fleet, tcp, udp_server, held, session = upgradable
    relay, (script, reason) = fleet.relay, ENDINGS[ending]

    def goes_on():
        held.sendall(b"x")
        assert held.recv(1) == b"x"
        session.send(b"u")
        assert session.recv(1) == b"u"
        assert len({address for _, address in udp_server.seen}) == 1
        assert works(tcp["source_port"])

    goes_on()
    eventually(lambda: len(children(relay.pid)) == 1, "the link process runs")
    fds, said = relay.fds(), len(relay.log())
    put(relay.program, script=FAKE + script + "\n")
    relay.signal(signal.SIGUSR2)
    for _ in range(20):
        goes_on()
    eventually(lambda: re.search("handover_failed.*(" + reason + ")", relay.log()[said:]), reason, 40)
    goes_on()
    eventually(lambda: len(children(relay.pid)) == 1 and relay.fds() <= fds, "nothing is left of it")
    fleet.wait_online()
    fleet.api.put(f"/api/v1/mappings/{tcp['id']}", {"description": ending})
    goes_on()
