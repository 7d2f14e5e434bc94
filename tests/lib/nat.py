"""A home behind NAT: two network namespaces, a router that masquerades, and an address of it that can change.

    this machine (the internet) --10.215.7.0/29-- router --192.168.215.0/30-- home
"""
import os
import shutil
import subprocess
import sys

OUTSIDE, HOME = "10.215.7", "192.168.215"
UDP_ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    sock.sendto(*sock.recvfrom(65536))
"""
possible = os.geteuid() == 0 and all(shutil.which(tool) for tool in ("ip", "nft", "socat"))


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Nat:
    def __init__(self):
        tail = os.getpid() % 100000
        self.router, self.home = f"pwrouter{tail}", f"pwhome{tail}"
        self.wires = [(f"pw{tail}o", f"pw{tail}r"), (f"pw{tail}i", f"pw{tail}h")]  # outside-router, router-home
        self.address, self.children = 2, []

    def __enter__(self):
        try:
            return self.set_up()
        except BaseException:
            self.__exit__()
            raise

    def set_up(self):
        (outside, router), (inner, home) = self.wires
        for name in (self.router, self.home):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", outside, "type", "veth", "peer", "name", router, "netns", self.router)
        ip("-n", self.router, "link", "add", inner, "type", "veth", "peer", "name", home, "netns", self.home)
        ip("addr", "add", f"{OUTSIDE}.1/29", "dev", outside)
        ip("link", "set", outside, "up")
        for name, address, wire in ((self.router, f"{OUTSIDE}.2/29", router), (self.router, f"{HOME}.1/30", inner),
                                    (self.home, f"{HOME}.2/30", home)):
            ip("-n", name, "addr", "add", address, "dev", wire)
            ip("-n", name, "link", "set", wire, "up")
        ip("-n", self.home, "route", "add", "default", "via", f"{HOME}.1")
        self.inside(self.router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self.nft(f"""
            table ip nat {{
                chain post {{
                    type nat hook postrouting priority 100
                    oifname {router} masquerade
                }}
            }}
            table ip filter {{
                chain forward {{
                    type filter hook forward priority 0
                }}
            }}""")
        return self

    def inside(self, name, *argv, **kw):
        return subprocess.run(["ip", "netns", "exec", name, *argv], check=True, **kw)

    def nft(self, rules):
        self.inside(self.router, "nft", "-f", "-", input=rules, text=True)

    def lose(self, percent):
        """Of all packets between home and outside; 0 for none."""
        self.nft("flush chain ip filter forward\n" +
                 (f"add rule ip filter forward numgen random mod 100 < {percent} drop" if percent else ""))

    def mtu(self, size):
        """Of the wire between the router and outside, as under a tunnel of the provider; the home knows of 1500 only."""
        for where, wire in (([], self.wires[0][0]), (["-n", self.router], self.wires[0][1])):
            ip(*where, "link", "set", wire, "mtu", str(size))

    def udp_echo_service(self, port):
        """On the home's loopback: each datagram as it came."""
        self.children.append(subprocess.Popen(["ip", "netns", "exec", self.home, sys.executable, "-c", UDP_ECHO, str(port)]))

    def rate(self, mbit):
        """Of the wire between the router and outside, in each direction; 0 for as fast as it can be."""
        (outside, router), _ = self.wires
        limit = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "32k", "latency", "50ms"] if mbit else ["root"]
        for where, wire in (([], outside), (["-n", self.router], router)):
            subprocess.run(["tc", *where, "qdisc", "replace" if mbit else "del", "dev", wire, *limit], check=True)

    def new_address(self):
        """As after the provider's nightly cut: what was translated to the old address is gone, and nobody is told."""
        wire = self.wires[0][1]
        old, self.address = self.address, 5 - self.address
        ip("-n", self.router, "addr", "del", f"{OUTSIDE}.{old}/29", "dev", wire)
        ip("-n", self.router, "addr", "add", f"{OUTSIDE}.{self.address}/29", "dev", wire)

    def echo_service(self, port):
        """On the home's loopback."""
        self.children.append(subprocess.Popen(["ip", "netns", "exec", self.home, "socat", "-t", "20",
                                               f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", "EXEC:cat"]))

    def listening(self, port):
        """Whether somebody does, on the home's loopback."""
        found = self.inside(self.home, "cat", "/proc/net/tcp", capture_output=True, text=True).stdout
        return f"0100007F:{port:04X} 00000000:0000 0A" in found

    def __exit__(self, *_):
        for child in self.children:
            child.terminate()
            child.wait()
        for name in (self.home, self.router):
            subprocess.run(["ip", "netns", "del", name], check=False)
