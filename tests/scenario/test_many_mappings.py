"""Many mappings on one relay: one change touches one listener. 300 here, 10,000 in the soak (PORTWAY_MAPPINGS)."""
import concurrent.futures
import os
import threading

from portway import Api, TcpServer, connect, echo, eventually

COUNT = int(os.environ.get("PORTWAY_MAPPINGS", "300"))


def test_one_change_touches_one_listener(new_fleet):
    fleet = new_fleet(controld_env={"CONTROLD_HTTP_RATE_LIMIT": "0", "CONTROLD_LOG_LEVEL": "warn"})
    with TcpServer(echo) as server:
        body = {"protocol": "tcp", "source_port": 0, "bind_address": "127.0.0.1", "target_host": "127.0.0.1",
                "target_port": server.port}
        local = threading.local()

        def make(_):
            if not hasattr(local, "api"):
                local.api = Api(fleet.controld.base)
                local.api.session.headers.update(fleet.api.session.headers)
            return local.api.post("/api/v1/mappings", body, expect=201)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            made = list(pool.map(make, range(COUNT)))
        assert len({m["source_port"] for m in made}) == COUNT
        for m in (made[0], made[COUNT // 2], made[-1]):
            fleet.wait_status(m["id"], seconds=60)
        # the table is not one moment: a socket may be missing from what is read while others come and go
        sockets = eventually(lambda: len(found := inodes(fleet.relay.pid)) > COUNT and found, "all listeners, and that of metrics")
        witness = connect(made[COUNT // 2]["source_port"])
        for i in range(20):
            fleet.api.put(f"/api/v1/mappings/{made[i]['id']}", {"limits": {"max_connections": 7}})
            witness.sendall(b"w")
            assert witness.recv(1) == b"w"
        fleet.api.delete(f"/api/v1/mappings/{made[0]['id']}")
        eventually(lambda: len(sockets - inodes(fleet.relay.pid)) == 1, "exactly one listening socket went away")
        witness.sendall(b"w")
        assert witness.recv(1) == b"w"
        witness.close()
        fleet.relay.stop()
        fleet.relay.start()
        fleet.wait_online()
        for m in (made[1], made[-1]):
            def echoes(port=m["source_port"]):
                with connect(port) as s:
                    s.sendall(b"r")
                    return s.recv(1) == b"r"
            eventually(echoes, "serves after a restart")


def inodes(pid):
    """Inodes of the listening sockets a process holds."""
    own = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            own.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    listening = set()
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                listening.add(fields[9])
    return listening


def test_a_port_beyond_the_descriptor_limit_is_an_error_and_nothing_else_fails(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_RATE_LIMIT": "0"})
    fleet.add_relay("edge-1", nofile=600)
    with TcpServer(echo) as server:
        first = fleet.mapping(server.port)
        with connect(first["source_port"]) as witness:
            ranged = fleet.mapping(server.port, active=False, source_port=30000, source_port_end=30399, bind_address="127.0.0.1")
            bad = fleet.wait_status(ranged["id"], "error")
            assert "descriptor" in str(bad["error"]).lower(), bad["error"]
            witness.sendall(b"w")
            assert witness.recv(1) == b"w"
        fleet.api.delete(f"/api/v1/mappings/{ranged['id']}")
        assert fleet.mapping(server.port)["status"] == "active"
