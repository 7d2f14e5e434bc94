#!/usr/bin/python3
"""A real PostgreSQL of the tests' own: made by hand in a temporary folder, as a user who is not root, on loopback and on a
socket in that folder; gone when it ends.

    postgres.py             starts one, prints its URL, and ends it when standard input does (unit tests in C do this)
    postgres.py COMMAND...  the same around a command, which finds the URL in PORTWAY_TEST_POSTGRES
"""
import contextlib
import ctypes
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

BIN = os.environ.get("PORTWAY_POSTGRES_BIN", "/usr/lib/postgresql/15/bin")
USER, PASSWORD = "portway", "kept secret"
# Tests start many databases and lose none to a power cut.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "300", "shared_buffers": "64MB",
            "listen_addresses": "127.0.0.1", "log_min_messages": "warning", "max_wal_size": "256MB"}


def _user():
    """Whom to be, instead of root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {}


def _end_with_parent():
    """Whoever started the server may be killed: then it ends as well."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


class Server:
    """One PostgreSQL server. `url(name)` is the URL of a database; `database()` makes one."""

    def __init__(self, settings=None, wrap=()):
        """wrap: a program, run by root, that runs it."""
        self.folder = tempfile.mkdtemp(prefix="portway-pg-")
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "log")
        self.settings, self.process, self.port = {**SETTINGS, **(settings or {})}, None, 0
        self.user, self.names, self.wrap = _user(), itertools.count(1), wrap

    def initdb(self):
        password = os.path.join(self.folder, "password")
        with open(password, "w") as f:
            f.write(PASSWORD)
        if self.user:
            for path in (self.folder, password):
                os.chown(path, self.user["user"], self.user["group"])
        self._run("initdb", "-D", self.data, "-U", USER, "-A", "scram-sha-256", "--pwfile", password, "--no-sync", "-E", "UTF8",
                  "--locale=C.UTF-8")

    def _run(self, program, *args):
        done = subprocess.run([os.path.join(BIN, program), *args], capture_output=True, text=True, cwd=self.folder, check=False,
                              env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD}, **self.user)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def start(self):
        if not os.path.exists(self.data):
            self.initdb()
        if not self.port:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
        argv = [os.path.join(BIN, "postgres"), "-D", self.data, "-p", str(self.port), "-k", self.folder]
        for key, value in self.settings.items():
            argv += ["-c", f"{key}={value}"]
        user = self.user
        if self.wrap:
            argv = [*self.wrap, "setpriv", f"--reuid={user['user']}", f"--regid={user['group']}", "--clear-groups", *argv]
            user = {}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            start_new_session=True, preexec_fn=_end_with_parent, **user)
        self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(RuntimeError):
                return self._run("psql", self.url("postgres"), "-c", "SELECT 1")
            time.sleep(0.05)
        raise AssertionError(f"PostgreSQL did not start\n{self.log()}")

    def url(self, name, tcp=False, **parameters):
        where = f"127.0.0.1:{self.port}" if tcp else f":{self.port}"
        if not tcp:
            parameters["host"] = self.folder
        query = urllib.parse.urlencode(parameters)
        return f"postgresql://{USER}:{urllib.parse.quote(PASSWORD)}@{where}/{name}" + (f"?{query}" if query else "")

    def database(self, name=None, **parameters):
        """Makes an empty database and answers its URL."""
        name = name or f"t{os.getpid()}_{next(self.names)}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.url(name, **parameters)

    def drop(self, url):
        name = urllib.parse.urlparse(url).path.lstrip("/")
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def sql(self, text, database="postgres"):
        """Runs SQL (or a URL's database) and answers what psql prints, without decoration."""
        url = database if "://" in database else self.url(database)
        return self._run("psql", url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text).strip()

    def copy(self, url, into, rows):
        """Rows as COPY reads them: into is a table and its columns."""
        path = os.path.join(self.folder, "rows")
        with open(path, "w", encoding="utf-8") as f:
            f.write(rows.replace("\\", "\\\\") + "\n")
        os.chmod(path, 0o644)
        self._run("psql", url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", f"\\copy {into} FROM '{path}'")

    def dump(self, url):
        """All that a database holds, as SQL."""
        return self._run("pg_dump", url, "--inserts").encode()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()[-4000:]

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def _sessions(self):
        """The server's children; each is in a process group of its own."""
        pids = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    pids.append(int(pid))
        return pids

    def signal_all(self, number):
        """To the server and each of its sessions: SIGSTOP freezes a database, SIGCONT lets it go on."""
        self.process.send_signal(number)
        for pid in self._sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self):
        """As a power cut: kill -9 of all of it."""
        if self.alive():
            self.process.send_signal(signal.SIGSTOP)  # makes no more of them
            for pid in self._sessions():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait(30)

    def stop(self, how=signal.SIGINT):
        if self.alive():
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        if self.alive():
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def main(argv):
    with Server() as server:
        if argv:
            return subprocess.run(argv, env={**os.environ, "PORTWAY_TEST_POSTGRES": server.url("postgres")}, check=False).returncode
        print(server.url("postgres"), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
