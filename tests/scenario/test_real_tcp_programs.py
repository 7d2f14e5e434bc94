"""Programs nobody here wrote, through TCP tunnel ports: redis-benchmark, iperf3, ssh and scp, curl to nginx."""
import contextlib
import filecmp
import json
import os
import re

import pytest
from portway import eventually, free_port, listening, program, run


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with program(argv, listening(port)):
        yield port


def test_redis_benchmark(fleet, redis):
    mapping = fleet.mapping(redis)
    out = run(["redis-benchmark", "-h", "127.0.0.1", "-p", str(mapping["source_port"]), "-n", "4000", "-c", "20", "-P", "4",
               "-t", "set,get,lrange", "-d", "512", "--csv"], 120)
    rates = dict(re.findall(r'^"([^"]+)","([0-9.]+)"', out, re.M))
    assert all(float(v) > 0 for v in rates.values()) and any("SET" in k for k in rates), out
    # the benchmark opens its connections, and each is counted and ended
    stats = eventually(lambda: (lambda s: s if s["connections_active"] == 0 and s["connections_total"] else None)(
        fleet.stats(mapping["id"])), "all connections ended")
    assert stats["connections_total"] >= 60
    assert stats["bytes_received"] > 4000 * 512 and stats["bytes_sent"] > 4000 * 512


def test_redis_value_is_the_same_on_both_ways(fleet, redis):
    mapping = fleet.mapping(redis)
    through = ["redis-cli", "-h", "127.0.0.1", "-p", str(mapping["source_port"])]
    assert run([*through, "set", "key with space", "väl\nue"]).strip() == "OK"
    assert run(["redis-cli", "-p", str(redis), "get", "key with space"]) == run([*through, "get", "key with space"])


@pytest.mark.parametrize("reverse", [False, True], ids=["upload", "download"])
def test_iperf3(fleet, reverse):
    target = free_port()
    with program(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(target)], lambda: True) as server:
        eventually(lambda: server.poll() is None and listening_quietly(target), "iperf3 listening")
        mapping = fleet.mapping(target)
        argv = ["iperf3", "-c", "127.0.0.1", "-p", str(mapping["source_port"]), "-n", "200M", "-P", "2", "-J"]
        result = json.loads(run([*argv, *(["-R"] if reverse else [])], 120))
        received = result["end"]["sum_received"]["bytes"]
        stats = eventually(lambda: (lambda s: s if s["connections_total"] == 3 and s["connections_active"] == 0 else None)(
            fleet.stats(mapping["id"])), "iperf3's three connections ended")
        counted = stats["bytes_sent" if reverse else "bytes_received"]
        # an upload's last bytes arrive after iperf3's server has stopped counting
        assert received >= (200_000_000 if reverse else 50_000_000)
        assert counted >= received, "every byte that arrived was counted"


def listening_quietly(port):
    """Looks into the kernel's table: iperf3 would take a probe connection for a test."""
    with open("/proc/net/tcp") as f:
        return f"0100007F:{port:04X} 00000000:0000 0A" in f.read()


@contextlib.contextmanager
def ssh_server(folder, start=lambda argv, port: program(argv, listening(port))):
    """Its port; ssh_login() is let in. start(argv, port) is how it is run until the block ends."""
    os.makedirs("/run/sshd", exist_ok=True)
    port = free_port()
    for key in ("host", "user"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)])
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    with start(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", str(folder / "host"), "-p", str(port),
                "-o", "ListenAddress=127.0.0.1", "-o", f"AuthorizedKeysFile={folder}/authorized", "-o", "StrictModes=no",
                "-o", "UsePAM=no", "-o", "PidFile=none", "-o", "PermitRootLogin=yes", "-o", "Subsystem=sftp internal-sftp"], port):
        yield port


def ssh_login(folder):
    """Options of ssh and scp, and who to be where."""
    return ["-F", "/dev/null", "-i", str(folder / "user"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"], f"{run(['id', '-un']).strip()}@127.0.0.1"


def test_ssh_session_and_file_copy(fleet, tmp_path):
    options, who = ssh_login(tmp_path)
    with ssh_server(tmp_path) as port:
        mapping = fleet.mapping(port)
        tunnel = str(mapping["source_port"])
        assert run(["ssh", *options, "-p", tunnel, who, "echo through the tunnel"]).strip() == "through the tunnel"
        source = tmp_path / "file"
        source.write_bytes(os.urandom(20 << 20))
        run(["scp", "-q", *options, "-P", tunnel, str(source), f"{who}:{tmp_path}/copy"], 120)
        assert filecmp.cmp(source, tmp_path / "copy", shallow=False)
        stats = eventually(lambda: (lambda s: s if s["bytes_received"] > 20 << 20 else None)(fleet.stats(mapping["id"])), "counted")
        assert stats["connections_total"] == 2


NGINX = """daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
  uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
  server {{ listen 127.0.0.1:{port} proxy_protocol; listen [::1]:{port} proxy_protocol;
    location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; }} }} }}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    os.chmod(folder, 0o755)
    (folder / "conf").write_text(NGINX.format(dir=folder, port=port))
    with program(["nginx", "-p", str(folder), "-c", str(folder / "conf")], listening(port)):
        yield port


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("client,bind,target", [("127.0.0.1", "127.0.0.1", "127.0.0.1"), ("::1", "::1", "::1"),
                                                ("::1", "::1", "127.0.0.1")],
                         ids=["ipv4", "ipv6", "ipv6-client-to-ipv4-target"])
def test_nginx_sees_the_client_through_proxy_protocol(fleet, nginx, version, client, bind, target):
    mapping = fleet.mapping(nginx, bind_address=bind, target_host=target, proxy_protocol=version)
    host = f"[{client}]" if ":" in client else client
    local = free_port(host=client)
    out = run(["curl", "-sS", "--max-time", "30", "--interface", client, "--local-port", str(local),
               f"http://{host}:{mapping['source_port']}/"])
    assert out.split() == [client, str(local)]


def test_wildcard_bind_serves_both_families(fleet, nginx):
    mapping = fleet.mapping(nginx, proxy_protocol="v2")
    for host in ("127.0.0.1", "[::1]"):
        out = run(["curl", "-sS", "--max-time", "30", f"http://{host}:{mapping['source_port']}/"])
        assert out.split()[0] == host.strip("[]")
