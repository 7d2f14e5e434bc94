"""Two controlds, a relay at each: whichever runs an order, the CA is told when the relays of both have confirmed their answers."""
import signal
import socket
import ssl

import pytest
from acme import Pebble, wait_valid
from cluster import Cluster
from portway import Relayd, TcpServer, eventually, free_port

ADDRESSES = ("127.0.0.1", "127.0.0.2")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    http, tls = free_port(), free_port()
    with Pebble(tmp_path_factory.mktemp("acme"), http, tls, {"PEBBLE_AUTHZREUSE": "0"}) as pebble, TcpServer(lambda c, _: c.recv(1)) as backend, \
            Cluster(env=pebble.settings()) as cluster:
        cluster.start(0)
        for i, (controld, address) in enumerate(zip(cluster.controlds, ADDRESSES)):
            token = cluster.api.post("/api/v1/nodes/join-tokens", {"name": f"edge-{i + 1}"})["token"]
            relay = Relayd(cluster.folder, f"edge-{i + 1}", controld, token, {"RELAYD_HTTP_LISTEN": f"{address}:{http}",
                                                                             "RELAYD_TLS_LISTEN": f"{address}:{tls}"})
            cluster.relays.append(relay)
            relay.start()
        for api in cluster.apis:
            for relay in cluster.relays:
                eventually(lambda a=api, r=relay: a.get(f"/api/v1/nodes/{r.name}")["status"] == "online", f"{relay.name} online", 30)
        cluster.api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
        cluster.api.post("/api/backends", {"address": f"127.0.0.1:{backend.port}", "pool": "web"})
        yield cluster, pebble, tls


def order(world, i, host):
    cluster, pebble, _ = world
    cluster.apis[i].post("/api/routes", {"host": host, "path_prefix": "/", "pool": "web", "ssl_enabled": True})
    pebble.point(host, ADDRESSES[1 - i])  # the CA looks at the relay of the other one
    return cluster.apis[i].post("/api/v1/certificates", {"source": "acme", "names": [host]})["id"]


def shown(address, port, host):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, port), timeout=60) as raw, context.wrap_socket(raw, server_hostname=host) as conn:
        return conn.getpeercert(True)


@pytest.mark.parametrize("i", [0, 1])
def test_an_order_at_either(world, i):
    cluster, _, tls = world
    ident = order(world, i, f"at-{i}.example")
    for api in cluster.apis:
        wait_valid(api, ident)
    eventually(lambda: len({shown(a, tls, f"at-{i}.example") for a in ADDRESSES}) == 1, "both relays show it")


@pytest.mark.parametrize("i", [0, 1])
def test_the_relay_of_the_other_is_waited_for(world, i):
    cluster, pebble, _ = world
    proofs, away = pebble.proofs(), cluster.relays[1 - i]
    away.signal(signal.SIGSTOP)
    try:
        ident = order(world, i, f"wait-{i}.example")
        eventually(lambda: cluster.apis[i].get(f"/api/v1/certificates/{ident}")["waiting_for"] == [away.name], f"waiting for {away.name}")
        assert pebble.proofs() == proofs
    finally:
        away.signal(signal.SIGCONT)
    wait_valid(cluster.apis[1 - i], ident)
    assert pebble.proofs() == proofs + 1
