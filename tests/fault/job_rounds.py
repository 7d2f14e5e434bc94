"""Jobs whose controld is killed again and again: every one that was accepted is done, and no step of it twice."""
import random
import threading

import requests
from portway import eventually

STEPS = 40


class Starter:
    """Starts jobs as long as it lives, and knows which were accepted."""

    def __init__(self, controld, at_once=20):
        self.api, self.accepted, self.at_once = controld.api(), [], at_once
        self.unsure, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.done.is_set():
            body = {"kind": "check", "args": {"steps": STEPS, "step_ms": 2}, "queue": random.choice(["critical", "default", "low"])}
            try:
                self.accepted.append(self.api.post("/api/v1/jobs", body, expect=202)["id"])
            except requests.RequestException:
                self.unsure += 1  # killed before it answered: it may be there or not
            except AssertionError:
                self.unsure += 1  # a stop under way
            self.done.wait(0.05)

    def stop(self):
        self.done.set()
        self.thread.join()


def recorded(controld):
    return controld.count("SELECT count(*) FROM job_logs")


def kill_rounds(fleet, points, seed):
    """Kills at `points` moments that are told by how many steps were written down since the one before."""
    rng = random.Random(seed)
    controld = fleet.controld
    starter = Starter(controld)
    try:
        for _ in range(points):
            target = recorded(controld) + rng.randrange(1, 400)
            eventually(lambda t=target: recorded(controld) >= t, "steps recorded", 60, 0.001)
            controld.kill()
            controld.start()
    finally:
        starter.stop()
    eventually(lambda: controld.count("SELECT count(*) FROM jobs WHERE ended_ms = 0") == 0, "all jobs ended", 120, 0.1)
    return starter


def check(fleet, starter):
    count = fleet.controld.count
    jobs = count("SELECT count(*) FROM jobs")
    assert len(starter.accepted) <= jobs <= len(starter.accepted) + starter.unsure
    for job in starter.accepted:
        assert count(f"SELECT count(*) FROM jobs WHERE id = '{job}' AND state = 'completed'") == 1, job
    assert count("SELECT count(*) FROM jobs WHERE state = 'completed' AND failures = 0") == jobs
    # each step of each job once
    assert count("SELECT count(*) FROM job_logs") == jobs * STEPS
    assert count("SELECT count(*) FROM (SELECT DISTINCT job_id, text FROM job_logs) AS d") == jobs * STEPS
    assert count("SELECT count(*) FROM changes WHERE kind = 'job' AND op = 'completed'") == jobs
    crashes = count("SELECT coalesce(sum(lease), 0) - count(*) FROM jobs")
    print(f"{jobs} jobs, {crashes} begun again, {starter.unsure} unanswered")
    return jobs, crashes
