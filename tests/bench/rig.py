"""The machine as the benchmarks use it: cores, a network of its own, relays to be measured, loads with their cost."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import portway  # noqa: E402  pylint: disable=wrong-import-position
import postgres  # noqa: E402  pylint: disable=wrong-import-position

SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
OTHER = os.environ.get("BENCH_OTHER")  # another build of relayd, measured in the same rounds as "relayd_other": before and after
LOAD_CORE, SUBJECT_CORE = "0", "1"
# Tunnel ports are none of those that the kernel gives to connections, of which a benchmark leaves thousands in TIME_WAIT.
TUNNEL_PORTS, OTHER_PORTS = (10000, 29999), (30000, 65000)
UNLIMITED = {"CONTROLD_HTTP_RATE_LIMIT": "0", "CONTROLD_HTTP_LOGIN_RATE_LIMIT": "0", "CONTROLD_LOG_LEVEL": "warn",
             "CONTROLD_TUNNELS_PORT_MIN": str(TUNNEL_PORTS[0]), "CONTROLD_TUNNELS_PORT_MAX": str(TUNNEL_PORTS[1])}
MAX_CONNECTIONS = 9500
CROWD = 7000  # connections that one mapping may have when the relay has 20,000 descriptors: more come by several mappings
SPREAD = 24
FAR_ABOVE = {"bandwidth_in": 10**12, "bandwidth_out": 10**12}  # what passes is metered, and never has to wait


# ---- a network of its own ---------------------------------------------------------------------------------------------

def enter_namespace():
    """As root: no paced congestion control, a wide port range, nobody else's traffic. Runs this program again inside."""
    if os.environ.get("BENCH_INSIDE") or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    os.execvpe("unshare", ["unshare", "-n", "--", sys.executable, *sys.argv], {**os.environ, "BENCH_INSIDE": "1"})


def prepare_namespace():
    if not os.environ.get("BENCH_INSIDE"):
        return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for setting in (f"net.ipv4.ip_local_port_range={OTHER_PORTS[0]} {OTHER_PORTS[1]}", "net.core.somaxconn=4096", "net.ipv4.tcp_max_syn_backlog=4096"):
        subprocess.run(["sysctl", "-qw", setting], check=False)
    for algorithm in ("cubic", "reno"):  # a namespace may be refused all but the unrestricted ones
        if subprocess.run(["sysctl", "-qw", f"net.ipv4.tcp_congestion_control={algorithm}"], check=False, capture_output=True).returncode == 0:
            break


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def machine():
    return {"kernel": os.uname().release, "cpus": os.cpu_count(), "cpu": cpu_model(read("/proc/cpuinfo")),
            "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control").strip(),
            "load_average": round(os.getloadavg()[0], 2), "versions": versions()}


def cpu_model(cpuinfo):
    """As /proc/cpuinfo has it; some machines say it in other words, or not at all."""
    said = dict(re.findall(r"^(model name|Model|cpu model|CPU part)\s*:\s*(.+?)\s*$", cpuinfo, re.MULTILINE))
    return next((said[key] for key in ("model name", "Model", "cpu model", "CPU part") if key in said), "unknown")


VERSION = {"haproxy": ["-v"], "nginx": ["-v"], "caddy": ["version"], "ssh": ["-V"], "wrk": ["-v"], "h2load": ["--version"], "openssl": ["version"]}


def versions():
    """Of peers and loads that are on this machine, whether or not this run takes them."""
    found = {name: said_version([name, *args]) for name, args in VERSION.items() if shutil.which(name)}
    server = os.path.join(postgres.BIN, "postgres")
    if os.path.exists(server):
        found["postgresql"] = said_version([server, "--version"])
    return found


def said_version(argv):
    """The first word of what it says that has digits with a point: wrk calls a usage an error, nginx writes to stderr."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    word = re.search(r"[^\s/_]*\d+\.\d[^\s,]*", done.stdout + done.stderr)
    return word.group(0) if word else "unknown"


# ---- what processes cost ----------------------------------------------------------------------------------------------

def tree(pids):
    """The processes and all they started."""
    found, todo = [], list(pids)
    while todo:
        pid = todo.pop()
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
            todo += [int(child) for task in tasks for child in read(f"/proc/{pid}/task/{task}/children").split()]
            found.append(pid)
        except OSError:
            pass
    return found


def cpu_seconds(pids):
    """Of all living threads, in nanoseconds' resolution: what a subject costs, and no subject ends a thread."""
    total = 0
    for pid in tree(pids):
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
        except OSError:
            pass
    return total / 1e9


def spent_seconds(pid):
    """Of a process with all its threads and waited-for children, those that have ended, too; in hundredths of a second."""
    try:
        fields = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0  # it was waited for: whoever did has it now
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def pss_kib(pids):
    return sum(int(re.search(r"^Pss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup"), re.M).group(1)) for pid in tree(pids))


def descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in tree(pids))


def busy_seconds():
    fields = [int(x) for x in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Cost:
    """CPU of a subject between two moments, and how much of the machine somebody else used meanwhile: neither the subject,
    nor those named as ours (load, backend), nor this program with what it waited for."""

    def __init__(self, subject, ours):
        self.subject, self.ours = subject, [*ours, *subject]
        self.began = self.now()

    def now(self):
        ours = {os.getpid(), *tree(self.ours)}
        return time.monotonic(), cpu_seconds(self.subject), sum(spent_seconds(pid) for pid in ours), busy_seconds()

    def stop(self):
        seconds, cpu, ours, busy = (b - a for a, b in zip(self.began, self.now()))
        return {"cpu": cpu, "others": max(0.0, busy - ours) / (seconds * os.cpu_count())}


# ---- what is measured -------------------------------------------------------------------------------------------------

def pinned(core, argv):
    return argv if core is None else ["taskset", "-c", core, *argv]


class Peer:
    """A relay between a port of its own and the backend, not one of ours."""

    def __init__(self, name, argv, port):
        self.name, self.ports = name, {"tcp": port, "udp": port}
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pids = [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Direct:
    """No relay at all: what the load and the backend can do."""

    def __init__(self, backend):
        self.name, self.pids, self.ports = "direct", [], {"tcp": backend, "udp": backend}

    def stop(self):
        pass


class Relay:
    """Ours: a controld, a relay, and one mapping for each protocol."""

    def __init__(self, backend, workers=1, core=SUBJECT_CORE, binary=None, name="relayd", settings=None, **fields):
        self.name = name
        self.fleet = portway.Fleet(UNLIMITED)
        try:
            env = {"RELAYD_WORKERS": str(workers), "RELAYD_LOG_LEVEL": "warn", **(settings or {})}
            self.fleet.start(relays=1, relay_env=env, relay_binary=binary)
            self.pids = [self.fleet.relay.pid]
            if core is not None:
                subprocess.run(["taskset", "-apc", core, str(self.pids[0])], check=True, capture_output=True)
            self.ports = {protocol: self.map(backend, protocol=protocol, **fields) for protocol in ("tcp", "udp")}
            self.backend = backend
            self.ports["metered"] = self.map(backend, FAR_ABOVE, **fields)
        except BaseException:
            self.fleet.stop()
            raise

    def spread(self):
        """Mappings enough for more connections than one may have."""
        if "spread" not in self.ports:
            self.ports["spread"] = ",".join(str(self.map(self.backend)) for _ in range(SPREAD))

    def map(self, backend, limits=None, **fields):
        limits = {"max_connections": MAX_CONNECTIONS, **(limits or {})}
        return self.fleet.mapping(backend, bind_address="127.0.0.1", limits=limits, **fields)["source_port"]

    def stop(self):
        self.fleet.stop()


def port_of(subject, protocol, connections=1):
    """Of a peer there is but one for TCP."""
    if protocol == "tcp" and connections > CROWD and isinstance(subject, Relay):
        subject.spread()
        protocol = "spread"
    return str(subject.ports.get(protocol, subject.ports["tcp"]))


class Rig:
    """A backend, a folder, and subjects that end with it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="portway-bench-")
        self.subjects = []
        self.backend = portway.free_port()
        self.server = self.start(LOAD_CORE, [os.path.join(portway.BIN, "benchserve"), str(self.backend)])
        assert self.server.stdout.readline() == "ready\n"

    def start(self, core, argv, **kw):
        return subprocess.Popen(pinned(core, argv), stdout=subprocess.PIPE, text=True, **kw)

    def close(self):
        with contextlib.ExitStack() as ends:  # all of them, whatever one of them says at its end
            ends.callback(shutil.rmtree, self.folder)
            ends.callback(self.server.wait)
            ends.callback(self.server.kill)
            for subject in self.subjects:
                ends.callback(subject.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def add(self, name, backend=None, **kw):
        """Starts a subject by name; None when it is not on this machine."""
        backend = backend or self.backend
        if name == "direct":
            subject = Direct(backend)
        elif name == "relayd":
            subject = Relay(backend, **kw)
        elif name == "relayd_other":
            subject = Relay(backend, binary=OTHER, name=name, **kw)
        elif name == "relayd_busy":
            subject = Relay(backend, name=name, settings={"RELAYD_BUSY_POLL": "150"}, **kw)
        elif shutil.which(name.split("_")[0]):
            subject = PEERS[name](self, portway.free_port(), backend)
            portway.eventually(lambda: portway.connect(subject.ports["tcp"]).close() is None, f"{name} listens", 10)
        else:
            print(f"   {name} is not on this machine", flush=True)
            return None
        self.subjects.append(subject)
        return subject

    def taken(self):
        """Bytes of uploads that have come to the backend, and when it says so (ns)."""
        self.server.send_signal(signal.SIGUSR1)
        return [int(x) for x in self.server.stdout.readline().split()[1:]]

    def load(self, subject, protocol, args, seconds=None, core=LOAD_CORE, beside=()):
        """One run of benchload against a subject: what it saw, and what it cost the subject. beside: other loads of ours."""
        number = re.search(r"-n (\d+)", args)
        argv = [os.path.join(portway.BIN, "benchload"), *args.split(), "-p", port_of(subject, protocol, int(number.group(1))), "-d", f"{seconds or SECONDS:g}"]
        load = self.start(core, argv)
        ours = [self.server.pid, load.pid, *beside]
        cost = out = None
        for line in load.stdout:
            if line == "start\n":
                began = self.taken()
                cost = Cost(subject.pids, ours)
            elif line == "stop\n":
                out = cost.stop()
                came, took = (b - a for a, b in zip(began, self.taken()))
            else:
                seen = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", line)}
        if load.wait() != 0 or out is None:
            raise RuntimeError(f"{subject.name}: {args}: the load failed")
        if "-u" in args.split():
            seen.update(bytes=came, seconds=took / 1e9)  # what a socket took may still be on its way
        return figures(seen, out, bool(subject.pids))


def figures(seen, cost, costs):
    """From counts to rates."""
    row = {"others": cost["others"], "lost": seen["lost"]}
    if seen["bytes"]:
        row["gbit_s"] = seen["bytes"] * 8 / 1e9 / seen["seconds"]
        if costs:
            row["cpu_s_per_gb"] = cost["cpu"] / (seen["bytes"] / 1e9)
    else:
        row["per_s"] = seen["ops"] / seen["seconds"]
        if costs and seen["ops"]:
            row["cpu_us"] = cost["cpu"] * 1e6 / seen["ops"]
    if seen["p99_us"]:
        row.update(p50_us=seen["p50_us"], p99_us=seen["p99_us"])
    return row


# ---- the peers' settings ------------------------------------------------------------------------------------------------

def haproxy(rig, name, port, backend, maxconn, options=""):
    path = rig.file(f"{name}.cfg", f"""global
  nbthread 1
  maxconn {maxconn}
defaults
  mode tcp
  timeout connect 5s
  timeout client 120s
  timeout server 120s
{options}listen l
  bind 127.0.0.1:{port} backlog 4096
  server s 127.0.0.1:{backend}
""")
    return Peer(name, pinned(SUBJECT_CORE, ["haproxy", "-db", "-f", path]), port)


def nginx(rig, port, backend):
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    folder = re.search(r"modules-path=(\S+)", built)
    module = os.path.join(folder.group(1), "ngx_stream_module.so") if folder else ""
    path = rig.file("nginx.conf", f"""daemon off; pid {rig.folder}/nginx.pid; error_log stderr crit; worker_processes 1;
worker_rlimit_nofile 20000;
{f"load_module {module};" if os.path.exists(module) else ""}
events {{ worker_connections 19500; }}
stream {{ tcp_nodelay on; proxy_timeout 120s;
  server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{backend}; }}
  server {{ listen 127.0.0.1:{port} udp rcvbuf=4m; proxy_pass 127.0.0.1:{backend}; }} }}
""")
    return Peer("nginx", pinned(SUBJECT_CORE, ["nginx", "-p", rig.folder, "-c", path]), port)


PEERS = {
    "haproxy": lambda rig, port, backend: haproxy(rig, "haproxy", port, backend, MAX_CONNECTIONS),
    # splice-auto does not splice in these loads: the forced options are the reference; each direction holds a pipe
    "haproxy_splice": lambda rig, port, backend: haproxy(rig, "haproxy_splice", port, backend, 4000,
                                                         "  option splice-request\n  option splice-response\n"),
    "nginx": nginx,
}
