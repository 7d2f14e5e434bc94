"""What a tunnel through NAT costs, both ends together: relayd and its agent beside ssh -R, and haproxy as the common measure."""
import os
import subprocess
import time

import agent as agent_
import l4
import report
import rig as rig_
from rig import portway

SUBJECTS = ["haproxy", "ssh_r", "agent"]
UDP = ["nginx", "agent"]

# name: what it is, protocol, load
LOADS = {
    "tunnel_bulk1": ("1 stream down", "tcp", "bulk -n 1"),
    "tunnel_bulk8": ("8 streams down", "tcp", "bulk -n 8"),
    "tunnel_up1": ("1 stream up", "tcp", "bulk -u -n 1"),
    "tunnel_crr": ("connect, ask, 128 bytes back, close; 32 at once", "tcp", "connect -n 32"),
    "tunnel_rr1": ("64 bytes there and back, 1 connection", "tcp", "exchange -n 1 -s 64"),
    "tunnel_rr64": ("64 bytes there and back, 64 connections", "tcp", "exchange -n 64 -s 64"),
    "tunnel_udp64": ("64 bytes there and back, 16 flows of 16", "udp", "udp -n 16 -w 16 -s 64"),
}
NAMES = [*LOADS, "tunnel_idle"]


class Agent(rig_.Relay):
    """relayd and portway agent, one thread each, on the subject's core; binary: another build's relayd, its portway beside it."""

    def __init__(self, backend, binary=None):
        self.name = "agent_other" if binary else "agent"
        self.fleet = agent_.AgentFleet(rig_.UNLIMITED)
        try:
            self.fleet.start(relays=1, relay_env={"RELAYD_WORKERS": "1", "RELAYD_LOG_LEVEL": "warn"}, relay_binary=binary)
            self.client = self.fleet.client()
            agent = self.fleet.agent(self.client, binary=binary and os.path.join(os.path.dirname(binary), "portway"), LOG_LEVEL="warn", LIMITS_STREAMS="20000", LIMITS_UDP_SESSIONS="20000")
            agent.wait_up(1)
            self.pids = [self.fleet.relay.pid, agent.pid]
            for pid in self.pids:
                subprocess.run(["taskset", "-apc", rig_.SUBJECT_CORE, str(pid)], check=True, capture_output=True)
            self.ports = {p: self.map(backend, protocol=p, target_client_id=self.client["id"]) for p in ("tcp", "udp")}
        except BaseException:
            self.fleet.stop()
            raise


class SshR:
    """sshd and ssh -R, which opens a channel for each connection."""

    def __init__(self, rig, backend):
        self.name = "ssh_r"
        server, port = portway.free_port(), portway.free_port()
        self.ports = {"tcp": port}
        os.makedirs("/run/sshd", exist_ok=True)
        for key in ("host", "user"):
            portway.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{rig.folder}/{key}"])
        rig.file("authorized", rig_.read(f"{rig.folder}/user.pub"))
        sshd = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-h", f"{rig.folder}/host", "-p", str(server), "-o", "ListenAddress=127.0.0.1",
                "-o", f"AuthorizedKeysFile={rig.folder}/authorized", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PidFile=none",
                "-o", "PermitRootLogin=yes"]
        ssh = ["ssh", "-F", "/dev/null", "-N", "-i", f"{rig.folder}/user", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes", "-p", str(server),
               "-R", f"127.0.0.1:{port}:127.0.0.1:{backend}", "127.0.0.1"]
        self.processes = []
        try:
            self.processes.append(self.start(sshd))
            portway.eventually(lambda: portway.connect(server).close() is None, "sshd listens", 10)
            self.processes.append(self.start(ssh))
            portway.eventually(lambda: portway.connect(port).close() is None, "ssh -R listens", 10)
        except BaseException:
            self.stop()
            raise
        self.pids = [p.pid for p in self.processes]

    @staticmethod
    def start(argv):
        return subprocess.Popen(rig_.pinned(rig_.SUBJECT_CORE, argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


def add(rig, name):
    if name not in ("agent", "agent_other", "ssh_r"):
        return rig.add(name)
    try:
        subject = SshR(rig, rig.backend) if name == "ssh_r" else Agent(rig.backend, rig_.OTHER if name == "agent_other" else None)
    except (OSError, AssertionError) as error:
        if name != "ssh_r":
            raise
        print(f"   ssh_r is left out: {error}", flush=True)  # not root, or an account that may not log in
        return None
    rig.subjects.append(subject)
    return subject


def loads(names, rounds, results):
    with rig_.Rig() as rig:
        subjects = {}
        for name in names:
            about, protocol, args = LOADS[name]
            wanted = [*(UDP if protocol == "udp" else SUBJECTS), *(["agent_other"] if rig_.OTHER else [])]
            wanted = [subject for subject in wanted if subject in (l4.ONLY or subject)]
            metric = report.Metric(name, about, "agent")
            for subject in wanted:
                if subject not in subjects:
                    subjects[subject] = add(rig, subject)
            for _ in range(rounds):
                for subject in wanted:
                    if subjects[subject]:
                        metric.add(subject, rig.load(subjects[subject], protocol, args))
                        time.sleep(0.2 if name == "tunnel_crr" else 0)
            results.metric(metric)


def idle(rounds):
    metric = report.Metric("tunnel_idle", "memory (PSS) of 1,000 connections, each, both ends, before and after 1 KB", "agent")
    for _ in range(min(rounds, l4.MEMORY_ROUNDS)):
        with rig_.Rig() as rig:
            for name in ("haproxy", "agent"):
                metric.add(name, l4.idle_run(rig, add(rig, name), 1000))
    return metric


def run(names, rounds, results):
    wanted = [n for n in names if n in LOADS]
    if wanted:
        loads(wanted, rounds, results)
    if "tunnel_idle" in names:
        results.metric(idle(rounds))
