"""The arithmetic of the benchmarks: ratios, goals, what a process spent, what is kept of a run that is cut short."""
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench"))
import goals  # noqa: E402  pylint: disable=wrong-import-position
import report  # noqa: E402  pylint: disable=wrong-import-position
import rig  # noqa: E402  pylint: disable=wrong-import-position

HEAD = {"commit": "abc", "when": "now", "rounds": 3, "seconds": 1.0, "kernel": "6", "cpus": 2, "congestion_control": "reno"}


def metric(name, **subjects):
    """Of a list of figures for each subject, all of one key."""
    m = report.Metric(name, "a load")
    key = subjects.pop("key")
    for subject, values in subjects.items():
        for value in values:
            m.add(subject, {key: value})
    return m


def the_goal(m, key):
    return next(row for row in goals.of_metric(m) if row["what"] == key)


def test_a_ratio_is_taken_round_by_round():
    m = metric("bulk1", key="cpu_s_per_gb", relayd=[1, 20, 3], haproxy_splice=[2, 10, 4])
    assert m.ratio("cpu_s_per_gb", "haproxy_splice") == (0.75, 0.5, 2.0)


def test_a_goal_is_reached_or_missed_by_so_much():
    row = the_goal(metric("bulk1", key="cpu_s_per_gb", relayd=[0.8], haproxy_splice=[1]), "cpu_s_per_gb")
    assert row["reached"] and row["verdict"] == "reached"
    row = the_goal(metric("bulk1", key="cpu_s_per_gb", relayd=[1.0, 1.2, 1.2], haproxy_splice=[1, 1, 1]), "cpu_s_per_gb")
    assert not row["reached"] and row["verdict"] == "missed by 50%"
    row = the_goal(metric("bulk1", key="gbit_s", relayd=[0.9, 1.2, 0.8], haproxy_splice=[1, 1, 1]), "gbit_s")
    assert row["verdict"] == "missed by 10%, within the spread"


def test_the_best_peer_is_that_of_this_run():
    row = the_goal(metric("crr", key="cpu_us", relayd=[8], haproxy=[10], nginx=[12]), "cpu_us")
    assert row["value"] == 0.8 and row["goal"] == "<= 0.85 x the best, haproxy"
    row = the_goal(metric("crr", key="cpu_us", relayd=[8], haproxy=[14], nginx=[12]), "cpu_us")
    assert row["goal"] == "<= 0.85 x the best, nginx"
    assert not goals.of_metric(metric("crr", key="cpu_us", relayd=[8], caddy=[10]))  # there is no peer: nothing was measured


def test_a_limit_is_kept_both_ways_by_all_of_them():
    row = the_goal(metric("limits", key="1_off_percent", **{"1 MB/s": [0.1, -2.5], "10 MB/s": [0.3, 0.1]}), "1_off_percent")
    assert row["value"] == -2.5 and row["verdict"] == "missed by 25%"


def test_what_one_round_lost_is_lost():
    row = the_goal(metric("udp64", key="lost", relayd=[0, 3, 0]), "lost")
    assert row["value"] == 3 and row["verdict"] == "missed by 3"


def test_goals_of_the_control_plane_are_found_by_their_path():
    rows = goals.table({}, {"api": {"sqlite get": {"vs_bare": 0.4, "p99_ms": 4}}, "relays": [{"max_ms": 90}, {"max_ms": 120}, {"max_ms": 110}]})
    assert [(row["metric"], row["value"], row["reached"]) for row in rows] == [("api", 0.4, False), ("api", 4, True), ("relays", 110, True)]


def test_a_curve_is_medians_of_rounds_and_ratios_within_them():
    curve = report.Curve("cost", "connections", "CPU us")
    for ours, theirs in ((1, 2), (4, 4), (3, 12)):
        curve.add("relayd", 10, ours)
        curve.add("nginx", 10, theirs)
    assert curve.points("relayd") == [(10, 3, 1, 4)]
    assert curve.ratio("nginx", 10) == (0.5, 0.25, 1.0)


def test_a_thread_that_has_ended_has_spent_what_it_did():
    code = "import threading, time\ndef spin():\n  end = time.thread_time() + 0.3\n  while time.thread_time() < end: pass\n" \
           "t = threading.Thread(target=spin)\nt.start(); t.join()\nprint('done', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "done\n"
        assert rig.spent_seconds(child.pid) >= 0.29
        before = rig.spent_seconds(os.getpid())
        child.communicate("\n")
        assert rig.spent_seconds(child.pid) == 0 and rig.spent_seconds(os.getpid()) - before >= 0.29  # it was waited for


def test_what_was_measured_is_on_disk_before_the_next_metric(tmp_path):
    results = report.Results(str(tmp_path / "bench"), HEAD)
    results.metric(metric("crr", key="cpu_us", relayd=[8, 8, 8], haproxy=[10, 10, 10]))
    whole = json.loads((tmp_path / "bench" / "results.json").read_text())
    assert whole["metrics"]["crr"]["ratios"]["haproxy"]["cpu_us"]["median"] == 0.8 and whole["took_s"].keys() == {"crr"}
    assert (tmp_path / "bench" / "results.svg").read_text().startswith("<svg")
    assert "## crr" in (tmp_path / "bench" / "output.txt").read_text()
    results.close()


def test_results_are_published_from_what_the_run_left(tmp_path):
    results = report.Results(str(tmp_path / "bench"), HEAD)
    results.metric(metric("crr", key="cpu_us", relayd=[9, 9, 9], haproxy=[10, 10, 10]))
    curve = report.Curve("cost", "connections", "CPU us")
    curve.add("relayd", 1, 2.0)
    results.curve("connections", curve)
    results.control("relays", [{"max_ms": 100}])
    results.end()
    report.publish(str(tmp_path / "bench"), str(tmp_path))
    words = (tmp_path / "RESULTS.md").read_text()
    assert "in part\n" in words and "Not measured: api, bulk1, " in words  # nobody takes two metrics for all of them
    assert "Reached: 1 of 2 goals." in words and "| `crr` | cpu_us | <= 0.85 x the best, haproxy | 0.90 | missed by 6%: 98 % of it" in words
    assert "## cost (CPU us; median of 1)" in words and "took" in words
    assert (tmp_path / "results.svg").exists()


def test_a_run_says_on_what_and_beside_what(tmp_path, monkeypatch):
    for name, words in (("haproxy", "echo 'HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/'"),
                        ("nginx", "echo 'nginx version: nginx/1.22.1' >&2"), ("ssh", "echo 'OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19' >&2"),
                        ("caddy", "echo 2.6.2"), ("wrk", "echo 'wrk debian/4.1.0-3+b2 [epoll] Copyright'; exit 1"), ("h2load", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(rig, "VERSION", {name: args for name, args in rig.VERSION.items() if name != "openssl"})
    machine = rig.machine()
    wanted = {"haproxy": "2.6.12-1+deb12u4", "nginx": "1.22.1", "ssh": "9.2p1", "caddy": "2.6.2", "wrk": "4.1.0-3+b2", "h2load": "unknown"}
    assert {name: machine["versions"].get(name) for name in wanted} == wanted
    assert machine["cpu"] == rig.cpu_model(rig.read("/proc/cpuinfo"))
    assert rig.cpu_model("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: A CPU @ 2 GHz\n") == "A CPU @ 2 GHz"
    assert rig.cpu_model("processor : 0\nBogoMIPS : 243\nCPU part : 0xd0c\n") == "0xd0c" and rig.cpu_model("") == "unknown"
    head = {**HEAD, **machine}
    results = report.Results(str(tmp_path / "bench"), head)
    results.end()
    assert json.loads((tmp_path / "bench" / "results.json").read_text())["versions"] == machine["versions"]
    report.publish(str(tmp_path / "bench"), str(tmp_path))
    words = (tmp_path / "RESULTS.md").read_text()
    assert f"cpu {machine['cpu']}" in words and "Beside and with: haproxy 2.6.12-1+deb12u4, nginx 1.22.1, " in words


def test_every_variable_is_in_the_readme():
    folder = os.path.dirname(goals.__file__)
    files = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".py") or name == "run"]
    named = set(re.findall(r"BENCH_[A-Z_]+", "".join(rig.read(file) for file in files)))
    said = set(re.findall(r"BENCH_[A-Z_]+", rig.read(os.path.join(folder, "README.md"))))
    assert named - said == set() and "BENCH_ROUNDS" in named


def test_an_interrupt_ends_the_run_whatever_it_made_of_the_daemons(monkeypatch):
    path = os.path.join(os.path.dirname(goals.__file__), "run")
    loader = importlib.machinery.SourceFileLoader("bench_run", path)
    bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(bench)
    asked = []

    class Group:
        NAMES = ["a"]

        @staticmethod
        def run(names, _rounds, _results):
            asked.append(names)
            try:
                raise KeyboardInterrupt
            finally:
                raise AssertionError("controld ended with -15")
    monkeypatch.setattr(bench, "GROUPS", {"one": Group, "two": Group})
    assert bench.measure(["a"], None) == ["interrupted"] and asked == [["a"]]
