"""`portway job`: long work followed from the command line, with a bar on a terminal and without one in a pipe."""
import json

import pytest
from cli import Terminal, Watch, run
from portway import ADMIN, eventually


@pytest.fixture(scope="module")
def op(fleet, tmp_path_factory):
    env = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("xdg")), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    return env


def start(op, **args):
    body = json.dumps({"kind": "check", "args": args})
    return json.loads(run("create", "job", "--file", "-", "--json", stdin=body, **op))["id"]


def test_a_job_is_followed_to_its_end(op):
    job = start(op, steps=3, step_ms=50)
    assert "completed" in run("job", "wait", job, **op)
    assert [line.split("step ")[1] for line in run("job", "logs", job, **op).splitlines()] == ["1", "2", "3"]
    shown = json.loads(run("job", "show", job, "--json", **op))
    assert shown["result"] == {"steps": 3}
    assert job in run("job", "ls", "kind=check", "state=completed", "-o", "name", **op)
    assert "steps" in run("job", "show", job, **op)


def test_lines_are_shown_as_they_come(op):
    job = start(op, steps=6, step_ms=150)
    with Watch("job", "logs", job, "--follow", **op) as watch:
        eventually(lambda: len(watch.lines) >= 2, "lines")
        eventually(lambda: len(watch.lines) == 6, "all lines")
        assert watch.process.wait(60) == 0


def test_a_terminal_has_a_bar(op):
    job = start(op, steps=3000, step_ms=20)  # is at it however late one looks
    with Terminal("job", "wait", job, **op) as t:
        t.expect(r"running +\[#+ +\] +\d+ %  \d+/3000 ")
        run("job", "cancel", job, **op)
        t.expect("cancelled +")
        assert t.wait() == 1
    with Terminal("job", "wait", start(op, steps=8, step_ms=150), **op) as t:
        t.expect(r"completed +\[#{30}\] 100 %  8/8")
        assert t.wait() == 0


def test_cancel_retry_and_how_it_ends(op):
    job = start(op, steps=100000, step_ms=20)
    eventually(lambda: json.loads(run("job", "show", job, "--json", **op))["progress"]["done"] > 1, "it runs")
    run("job", "cancel", job, **op)
    assert "cancelled" in run("job", "wait", job, status=1, **op)
    assert "cannot be cancelled" in run("job", "cancel", job, status=6, **op)
    run("job", "retry", job, "--fresh", **op)
    run("job", "cancel", job, **op)
    run("job", "wait", job, status=1, **op)
    run("delete", "job", job, **op)
    run("job", "show", job, status=4, **op)
    run("job", "sing", job, status=2, **op)
    run("job", "show", status=2, **op)


def test_schedules_are_a_resource(op):
    made = json.loads(run("create", "schedule", "name=nightly", "kind=check", "cron=30 2 * * *", "time_zone=Europe/Berlin", "--json", **op))
    assert "nightly" in run("list", "schedule", **op)
    assert json.loads(run("update", "schedule", made["id"], "paused=true", "--json", **op))["next_at"] is None
    assert "minute" in run("update", "schedule", made["id"], "cron=99 * * * *", status=1, **op)
    run("delete", "schedule", made["id"], **op)
