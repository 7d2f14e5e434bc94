"""A successor that does not serve changes nothing: the running relay goes on, and the next try may work."""
import os
import shutil
import signal
import socket
import subprocess

from portway import BIN, Relayd, TcpServer, connect, echo, eventually


def works(port):
    with connect(port, timeout=5) as s:
        s.sendall(b"ping")
        return s.recv(4, socket.MSG_WAITALL) == b"ping"


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
    relay = Relayd(fleet.folder, "edge-1", fleet.controld, token, {"RELAYD_HANDOVER_TIMEOUT": "1s"})
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
            eventually(lambda r=reason: r in relay.log(), f"says that the new process {reason}")
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
            goes = fleet.wait_stats(mapping["id"], connections_active=0)
            assert goes["connections_total"] == 1 + 4
        finally:
            if successor:
                os.kill(successor, signal.SIGTERM)
                eventually(lambda: not listeners(relay.metrics_port), "the successor ended", 40)
