"""100,000 connections, ended in every way: no descriptor and no session is left over (PORTWAY_CONNECTIONS)."""
import concurrent.futures
import os
import socket
import struct

from portway import TcpServer, UdpEcho, connect, eventually

COUNT = int(os.environ.get("PORTWAY_CONNECTIONS", "100000"))


def serve(conn, _address):
    """Ends as the client asks with its first byte."""
    what = conn.recv(1)
    if what == b"r":
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif what == b"h":
        conn.shutdown(socket.SHUT_WR)
        conn.recv(1)


def one(args):
    port, i = args
    try:
        with connect(port, timeout=30) as s:
            s.sendall(b"rhcx"[i % 4:i % 4 + 1])
            if i % 4 == 3:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif i % 4 != 2:
                s.settimeout(30)
                s.recv(1)
        return 1
    except ConnectionResetError:
        return 1


def test_no_descriptor_is_left_after_many_connections(new_fleet):
    fleet = new_fleet()
    with TcpServer(serve) as server, UdpEcho() as udp_server:
        mapping = fleet.mapping(server.port)
        udp = fleet.mapping(udp_server.port, protocol="udp", timeouts={"idle": 2})
        before = fleet.relay.fds()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            done = sum(pool.map(one, ((mapping["source_port"], i) for i in range(COUNT)), chunksize=100))
        assert done == COUNT
        for i in range(min(COUNT, 5000)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
                c.sendto(b"x", ("127.0.0.1", udp["source_port"]))
        eventually(lambda: fleet.stats(mapping["id"])["connections_active"] == 0, "all ended", 60)
        assert fleet.stats(mapping["id"])["connections_total"] == COUNT
        eventually(lambda: fleet.stats(udp["id"])["connections_active"] == 0, "UDP sessions ended", 60)
        eventually(lambda: fleet.relay.fds() <= before + 2, f"descriptors back at {before}", 60)
        print(f"descriptors before {before}, after {fleet.relay.fds()}, connections {COUNT}")
