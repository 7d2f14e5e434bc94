"""`make run` and the command line as a newcomer meets them."""
import json
import os
import signal
import subprocess

import pytest
from cli import portway
from portway import BIN, ROOT, Api, eventually


def test_run_shows_bytes_passing_and_leaves_nothing_behind(tmp_path):
    env = {**os.environ, "PORTWAY_BIN": BIN, "PORTWAY_VAR": str(tmp_path / "var"), "PORTWAY_RUN_ONCE": "1"}
    done = subprocess.run([os.path.join(ROOT, "scripts", "run")], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello from the service behind the tunnel." in done.stdout and "1 connection(s)" in done.stdout
    assert "administrator  admin@example.com" in done.stdout and "curl" in done.stdout
    out = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in out
    again = subprocess.run([os.path.join(ROOT, "scripts", "run")], env=env, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, "a second run finds its data: " + again.stdout + again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_run_stops_all_when_only_make_is_told(tmp_path, number):
    makefile, log = tmp_path / "Makefile", tmp_path / "log"
    makefile.write_text(f"run:\n\t@{ROOT}/scripts/run\n")
    env = {**os.environ, "PORTWAY_BIN": BIN, "PORTWAY_VAR": str(tmp_path / "var")}
    with open(log, "wb") as out:
        make = subprocess.Popen(["make", "-f", makefile, "run"], env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        eventually(lambda: "Ctrl-C stops everything" in log.read_text(), "it is up", 60)
        make.send_signal(number)
        make.wait(40)
        eventually(lambda: not mentioned(tmp_path / "var"), "nothing is left", 40)
    finally:
        make.kill()
        make.wait()


def mentioned(folder):
    """Whether a process has the folder in its environment."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if f"PORTWAY_VAR={folder}".encode() in environ.read().split(b"\0"):
                    return True
        except OSError:
            continue
    return False


def test_version_and_help():
    assert portway("version").stdout.startswith("portway ")
    assert json.loads(portway("--json", "version").stdout)["version"]
    assert "status" in portway("--help").stdout and portway().returncode == 2
    assert "frobnicate" in portway("frobnicate").stderr


def test_status(fleet):
    def healthy():  # its relay may have come in this very second
        out = portway("status", PORTWAY_URL=fleet.controld.base)
        assert out.returncode == 0, out.stderr
        return "healthy" in out.stdout
    eventually(healthy, "all is well")
    api = Api(fleet.controld.base)
    token = api.login()["token"]
    out = portway("status", "--json", PORTWAY_URL=fleet.controld.base, PORTWAY_TOKEN=token)
    assert [n["name"] for n in json.loads(out.stdout)["nodes"]] == ["edge-1"]
    assert portway("status", PORTWAY_URL=fleet.controld.base, PORTWAY_TOKEN="x.y.z").returncode == 3
    assert portway("status", PORTWAY_URL="http://127.0.0.1:1").returncode == 5
