"""dig and dnsperf over UDP tunnel ports to a real name server (nsd), IPv4 and IPv6."""
import os
import re

import pytest
from name_server import name_server
from portway import SANITIZED, eventually, run


@pytest.fixture(scope="module")
def nsd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nsd")
    (folder / "queries").write_text("a.example.test A\na.example.test AAAA\n")
    with name_server(folder) as port:
        yield port, folder


@pytest.mark.parametrize("client,target", [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::1", "127.0.0.1")])
def test_dig(fleet, nsd, client, target):
    mapping = fleet.mapping(nsd[0], protocol="udp", bind_address=client, target_host=target)
    dig = ["dig", "+short", "+time=3", "+tries=2", "-p", str(mapping["source_port"]), f"@{client}"]
    assert run([*dig, "a.example.test", "A"]).strip() == "192.0.2.1"
    assert run([*dig, "a.example.test", "AAAA"]).strip() == "2001:db8::1"


def test_dig_large_answer_on_one_datagram(fleet, nsd):
    mapping = fleet.mapping(nsd[0], protocol="udp")
    out = run(["dig", "+short", "+time=3", "+ignore", "+bufsize=4096", "-p", str(mapping["source_port"]), "@127.0.0.1",
               "big.example.test", "TXT"])
    assert out.count("a" * 200) == 1 and out.count("j" * 200) == 1


def test_dnsperf_loses_nothing_and_is_counted(fleet, nsd):
    port, folder = nsd
    mapping = fleet.mapping(port, protocol="udp")
    seconds = "2" if SANITIZED else "5"
    out = run(["dnsperf", "-s", "127.0.0.1", "-p", str(mapping["source_port"]), "-d", os.path.join(folder, "queries"),
               "-l", seconds, "-c", "8", "-q", "32", "-t", "20"], 60)
    sent = int(re.search(r"Queries sent:\s+(\d+)", out).group(1))
    done = int(re.search(r"Queries completed:\s+(\d+)", out).group(1))
    lost = int(re.search(r"Queries lost:\s+(\d+)", out).group(1))
    assert done > 100 and lost <= sent // 1000, out
    stats = eventually(lambda: (lambda s: s if s["packets_sent"] >= done else None)(fleet.stats(mapping["id"])), "counted")
    assert stats["packets_received"] <= sent and stats["packets_received"] >= done
    assert stats["connections_total"] >= 8
