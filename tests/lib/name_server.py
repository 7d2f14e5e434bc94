"""nsd, a real name server of example.test, at 127.0.0.1 and ::1."""
import contextlib

from portway import free_port, listening, program

ZONE = """$ORIGIN example.test.
@ 60 IN SOA a b 1 1 1 1 1
@ 60 IN NS a
a 60 IN A 192.0.2.1
a 60 IN AAAA 2001:db8::1
big 60 IN TXT ({big})
"""
CONF = """server:
{addresses}
 username: ""
 chroot: ""
 pidfile: ""
 zonesdir: "{dir}"
 database: ""
 zonelistfile: "{dir}/zones.list"
 xfrdfile: "{dir}/xfrd"
 rrl-ratelimit: 0
 ipv4-edns-size: 4096
 ipv6-edns-size: 4096
remote-control:
 control-enable: no
zone:
 name: example.test
 zonefile: "{dir}/zone"
"""


@contextlib.contextmanager
def name_server(folder, run=lambda argv, port: program(argv, listening(port)), families=("127.0.0.1", "::1")):
    """Its port. run(argv, port) is how it is run until the block ends."""
    port = free_port()
    (folder / "zone").write_text(ZONE.format(big=" ".join('"%s"' % (c * 200) for c in "abcdefghij")))
    (folder / "conf").write_text(CONF.format(
        dir=folder, addresses="\n".join(f" ip-address: {address}@{port}" for address in families)))
    with run(["nsd", "-d", "-c", str(folder / "conf")], port):
        yield port
