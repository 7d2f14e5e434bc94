"""Jobs: accepted is done, watched while it is, stopped when asked; also when their controld dies, and by two controlds."""
import json
import os
import re
import sys
import threading

import pytest
import requests
from cluster import Cluster
from portway import DATABASE, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fault"))
import job_rounds  # noqa: E402  pylint: disable=wrong-import-position


def start(api, expect=202, queue=None, **args):
    body = {"kind": "check", "args": args, **({"queue": queue} if queue else {})}
    return api.post("/api/v1/jobs", body, expect=expect)


def ended(api, job, state="completed"):
    for _ in range(4):  # it is answered then, how ever it is
        got = api.get(f"/api/v1/jobs/{job['id']}?wait=30s", timeout=60)
        if got["ended_at"]:
            break
    assert got["state"] == state, got
    return got


# ---- one controld ------------------------------------------------------------------------------------------------------


def test_a_job_is_done_and_says_how_far_it_is(fleet):
    watched = start(fleet.api, steps=100000, step_ms=50)  # it goes on for as long as one looks
    assert fleet.api.last.headers["Location"] == f"/api/v1/jobs/{watched['id']}"
    seen, version = [], watched["version"]
    while len(set(seen)) < 4:  # each answer is newer than the one before
        got = fleet.api.get(f"/api/v1/jobs/{watched['id']}?wait=20s&after={version}", timeout=30)
        assert got["version"] > version
        version = got["version"]
        seen.append(got["progress"]["done"])
    assert seen == sorted(seen)
    fleet.api.post(f"/api/v1/jobs/{watched['id']}/cancel", expect=202)
    job = start(fleet.api, steps=5, step_ms=150)
    got = ended(fleet.api, job)
    assert got["progress"]["done"] == 5
    assert got["progress"]["percent"] == 100 and got["result"] == {"steps": 5} and got["ended_at"]
    lines = fleet.api.get(f"/api/v1/jobs/{job['id']}/logs")
    assert [i["text"] for i in lines["items"]] == [f"step {n}" for n in range(1, 6)] and lines["ended"]


def test_lines_are_followed(fleet):
    job = start(fleet.api, steps=4, step_ms=200)
    texts, after, is_over = [], 0, False
    while not is_over:
        got = fleet.api.get(f"/api/v1/jobs/{job['id']}/logs?after={after}&wait=20s", timeout=30)
        texts += [i["text"] for i in got["items"]]
        after, is_over = got["next_after"], got["ended"]
    assert texts == ["step 1", "step 2", "step 3", "step 4"]


def events(fleet, path):
    """Events of a stream as (name, object), until it ends."""
    name = None
    with requests.get(fleet.controld.base + path, headers=fleet.api.session.headers, stream=True, timeout=30) as answer:
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])


def test_a_stream_tells_how_it_goes_on(fleet):
    watched = start(fleet.api, steps=100000, step_ms=50)
    seen, told = [], False
    for name, got in events(fleet, f"/api/v1/jobs/{watched['id']}/events"):
        assert name == "job"
        seen.append(got["progress"]["done"])
        if len(set(seen)) >= 4 and not told:
            told = True
            fleet.api.post(f"/api/v1/jobs/{watched['id']}/cancel", expect=202)
    assert seen == sorted(seen) and len(set(seen)) >= 4 and got["state"] == "cancelled"
    job = start(fleet.api, steps=20, step_ms=100)
    *_, (name, got) = events(fleet, f"/api/v1/jobs/{job['id']}/events")
    assert name == "job" and got["state"] == "completed" and got["progress"]["done"] == 20
    assert [got["state"] for _, got in events(fleet, f"/api/v1/jobs/{job['id']}/events")] == ["completed"]  # one that has ended
    # one that is deleted under a stream
    later = fleet.api.post("/api/v1/jobs", {"kind": "check", "due_at": "2099-01-01T00:00:00Z"}, expect=202)
    stream = events(fleet, f"/api/v1/jobs/{later['id']}/events")
    assert next(stream)[1]["state"] == "scheduled"
    fleet.api.delete(f"/api/v1/jobs/{later['id']}")
    assert [name for name, _ in stream] == ["gone"]
    fleet.api.get(f"/api/v1/jobs/{later['id']}/events", expect=404)


def test_nobody_takes_all_the_streams(new_fleet):
    """One user has a share of them; what is beyond is refused, says why, and is counted; another one is not touched."""
    fleet = new_fleet(relays=0)
    fleet.api.post("/api/v1/users", {"email": "greedy@example.com", "password": "a long password", "role": "viewer"}, expect=201)
    job = fleet.api.post("/api/v1/jobs", {"kind": "check", "due_at": "2099-01-01T00:00:00Z"}, expect=202)
    path = f"/api/v1/jobs/{job['id']}/events"
    sessions = [fleet.controld.api() for _ in range(2)]
    for api in sessions:  # a second session is no second share
        api.login("greedy@example.com", "a long password")

    def ask(api):
        return requests.get(fleet.controld.base + path, headers=api.session.headers, stream=True, timeout=30)

    held = [ask(sessions[n % 2]) for n in range(20)]
    try:
        assert [a.status_code for a in held] == [200] * 20
        refused = ask(sessions[1])
        assert refused.status_code == 429 and "20 streams of jobs" in refused.json()["message"]
        assert 'jobs_streams_refused_total{reason="share"} 1' in fleet.api.get("/metrics")
        with ask(fleet.api) as other:
            assert other.status_code == 200
        held.pop().close()

        def room():
            with ask(sessions[0]) as again:
                return again.status_code == 200

        eventually(room, "the place of one that ended")
    finally:
        for answer in held:
            answer.close()


def test_failures_are_tried_again_and_the_last_error_is_kept(fleet):
    assert ended(fleet.api, start(fleet.api, failures=1))["failures"] == 1
    fleet.api.post("/api/v1/jobs", {"kind": "check", "args": {"failures": "many"}}, expect=422)
    fleet.api.post("/api/v1/jobs", {"kind": "erase", "args": {"owner": "user", "id": "x", "since_ms": 1}}, expect=422)
    fleet.api.post("/api/v1/jobs", {}, expect=400)
    assert {d["field"] for d in fleet.api.post("/api/v1/jobs", {"kind": "check", "args": {"steps": -1, "x": 1}},
                                               expect=422)["details"]} == {"steps", "x"}


def test_one_that_runs_is_cancelled_at_its_next_step(fleet):
    job = start(fleet.api, steps=100000, step_ms=20)
    eventually(lambda: fleet.api.get(f"/api/v1/jobs/{job['id']}")["progress"]["done"] > 2, "it runs")
    fleet.api.delete(f"/api/v1/jobs/{job['id']}", expect=409)
    fleet.api.post(f"/api/v1/jobs/{job['id']}/cancel", expect=202)
    got = ended(fleet.api, job, "cancelled")
    assert got["progress"]["done"] < 1000
    fleet.api.post(f"/api/v1/jobs/{job['id']}/cancel", expect=409)
    # it goes on where it was, with all its attempts, until it is cancelled again
    fleet.api.post(f"/api/v1/jobs/{job['id']}/retry", expect=202)
    eventually(lambda: fleet.api.get(f"/api/v1/jobs/{job['id']}")["progress"]["done"] > got["progress"]["done"] + 2, "it goes on")
    fleet.api.post(f"/api/v1/jobs/{job['id']}/cancel", expect=202)
    ended(fleet.api, job, "cancelled")
    steps = [i["text"] for i in fleet.api.get(f"/api/v1/jobs/{job['id']}/logs?limit=200")["items"]]
    assert steps == [f"step {n + 1}" for n in range(len(steps))]
    fleet.api.delete(f"/api/v1/jobs/{job['id']}")
    fleet.api.get(f"/api/v1/jobs/{job['id']}", expect=404)


def test_the_same_key_is_the_same_job(fleet):
    body = {"kind": "check", "args": {"steps": 10000, "step_ms": 20}, "unique_key": "only one"}
    first = fleet.api.post("/api/v1/jobs", body, expect=202)
    assert fleet.api.post("/api/v1/jobs", body, expect=200)["id"] == first["id"]
    fleet.api.post(f"/api/v1/jobs/{first['id']}/cancel", expect=202)
    ended(fleet.api, first, "cancelled")
    second = fleet.api.post("/api/v1/jobs", {**body, "args": {}}, expect=202)
    assert second["id"] != first["id"]


def test_later_is_not_now(fleet):
    job = fleet.api.post("/api/v1/jobs", {"kind": "check", "due_at": "2099-01-01T00:00:00Z"}, expect=202)
    assert job["state"] == "scheduled"
    assert job["id"] in [j["id"] for j in fleet.api.get("/api/v1/jobs?state=scheduled&kind=check")["items"]]
    fleet.api.post(f"/api/v1/jobs/{job['id']}/retry", expect=202)
    ended(fleet.api, job)


def test_a_tenant_sees_its_own(fleet):
    tenant = fleet.api.post("/api/v1/tenants", {"name": "jobs of others"}, expect=201)
    person = {"email": "jobs@example.com", "password": "long enough to pass", "role": "owner", "tenant_id": tenant["id"]}
    fleet.api.post("/api/v1/users", person, expect=201)
    api = fleet.controld.api()
    api.login(person["email"], person["password"])
    job = start(fleet.api)
    assert api.get("/api/v1/jobs")["items"] == []
    for path in ("", "/logs", "/events"):
        api.get(f"/api/v1/jobs/{job['id']}{path}", expect=404)
    for verb in ("cancel", "retry"):
        api.post(f"/api/v1/jobs/{job['id']}/{verb}", expect=404)
    api.delete(f"/api/v1/jobs/{job['id']}", expect=404)
    start(api, expect=403)
    api.post("/api/v1/schedules", {"name": "x", "kind": "check", "cron": "@daily"}, expect=403)
    api.get("/api/v1/job-queues", expect=403)
    schedule = fleet.api.post("/api/v1/schedules", {"name": "ours", "kind": "check", "cron": "@daily"}, expect=201)
    api.get(f"/api/v1/schedules/{schedule['id']}", expect=404)
    api.put(f"/api/v1/schedules/{schedule['id']}", {"cron": "@hourly"}, expect=404)
    api.delete(f"/api/v1/schedules/{schedule['id']}", expect=404)
    ended(fleet.api, job)


def test_what_is_the_platforms_is_left_to_it(fleet):
    """Its jobs may belong to the tenant that its administrators are in: the others there see them, and that is all."""
    person = {"email": "operator@example.com", "password": "long enough to pass", "role": "owner"}
    fleet.api.post("/api/v1/users", person, expect=201)
    api = fleet.controld.api()
    api.login(person["email"], person["password"])
    job = fleet.api.post("/api/v1/jobs", {"kind": "check", "due_at": "2099-01-01T00:00:00Z"}, expect=202)
    path = f"/api/v1/jobs/{job['id']}"
    assert api.get(path)["state"] == "scheduled"
    for verb in ("cancel", "retry"):
        assert "platform" in api.post(f"{path}/{verb}", expect=403)["message"]
    api.delete(path, expect=403)
    schedule = fleet.api.post("/api/v1/schedules", {"name": "theirs", "kind": "check", "cron": "@daily"}, expect=201)
    at = f"/api/v1/schedules/{schedule['id']}"
    for verb in ("pause", "resume", "run"):
        api.post(f"{at}/{verb}", expect=403)
    api.delete(at, expect=403)
    assert fleet.api.get(path)["state"] == "scheduled" and not fleet.api.get(at)["paused"]
    fleet.api.delete(at)
    fleet.api.delete(path)


def test_schedules(fleet):
    bad = fleet.api.post("/api/v1/schedules", {"name": "bad", "kind": "check", "cron": "61 * * * *"}, expect=422)
    assert "minute '61'" in bad["message"]
    assert "Nowhere" in fleet.api.post("/api/v1/schedules", {"name": "bad", "kind": "check", "cron": "@daily", "time_zone": "Nowhere"},
                                       expect=422)["message"]
    made = fleet.api.post("/api/v1/schedules", {"name": "often", "kind": "check", "cron": "@every 1s", "args": {"label": "x"}},
                          expect=201)
    path = f"/api/v1/schedules/{made['id']}"
    fleet.api.post("/api/v1/schedules", {"name": "often", "kind": "check", "cron": "@daily"}, expect=409)
    eventually(lambda: len(fleet.api.get(f"/api/v1/jobs?schedule_id={made['id']}&state=completed")["items"]) >= 2, "it runs")
    paused = fleet.api.post(f"{path}/pause", expect=200)
    assert paused["paused"] and paused["next_at"] is None
    changed = fleet.api.put(path, {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "missed": "run_once"})
    assert changed["next_at"] is None and changed["missed"] == "run_once"
    resumed = fleet.api.post(f"{path}/resume", expect=200)
    assert resumed["next_at"][11:16] in ("00:30", "01:30", "01:00")
    job = fleet.api.post(f"{path}/run", expect=202)["job_id"]
    assert ended(fleet.api, {"id": job})["schedule_id"] == made["id"]
    fleet.api.delete(path)
    fleet.api.get(path, expect=404)
    assert fleet.api.get(f"/api/v1/jobs/{job}")["state"] == "completed"


def test_what_metrics_say(fleet):
    ended(fleet.api, start(fleet.api, queue="low"))
    text = requests.get(fleet.controld.base + "/metrics", headers=fleet.api.session.headers, timeout=5).text
    assert 'jobs_ended_total{kind="check",outcome="completed"}' in text and 'jobs{queue="low",state="dead"}' in text


def test_queues_keep_their_shares(new_fleet):
    """While all three have work, 6 of 10 that are begun are critical, 3 default, 1 low: within 5 %."""
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_RATE_LIMIT": "0", "CONTROLD_JOBS_WORKERS": "0"})
    queues = {"critical": 0.6, "default": 0.3, "low": 0.1}
    for _ in range(400):
        for queue in queues:
            start(fleet.api, queue=queue, steps=1, record=False)
    fleet.controld.stop()
    fleet.controld.env["CONTROLD_JOBS_WORKERS"] = "10"
    fleet.controld.start()
    count, first = fleet.controld.count, 600  # critical ones are left until 666 are begun
    eventually(lambda: count("SELECT count(*) FROM jobs WHERE state = 'completed'") == 1200, "all are done", 180)
    for queue, share in queues.items():
        n = count(f"SELECT count(*) FROM (SELECT queue FROM jobs ORDER BY started_ms, id LIMIT {first}) AS f WHERE queue = '{queue}'")
        assert abs(n - share * first) <= 0.05 * share * first, (queue, n)


# ---- deaths ------------------------------------------------------------------------------------------------------------


def test_twenty_kills_lose_nothing_and_do_nothing_twice(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_RATE_LIMIT": "0"})
    starter = job_rounds.kill_rounds(fleet, 20, seed=20)
    jobs, crashes = job_rounds.check(fleet, starter)
    assert jobs > 20 and crashes > 10  # a few of the kills may come between two jobs


def test_a_stop_puts_back_what_runs(new_fleet):
    fleet = new_fleet(relays=0)
    job = start(fleet.api, steps=600, step_ms=20)
    stream = events(fleet, f"/api/v1/jobs/{job['id']}/events")  # held open: it must not hold up the end
    next(stream)
    eventually(lambda: fleet.api.get(f"/api/v1/jobs/{job['id']}")["progress"]["done"] > 5, "it runs")
    fleet.controld.stop()
    assert '"outcome":"put_back"' in fleet.controld.log() or "outcome=put_back" in fleet.controld.log()
    fleet.controld.start()
    fleet.api.login()
    got = ended(fleet.api, job)
    assert got["failures"] == 0
    assert fleet.controld.count(f"SELECT count(*) FROM job_logs WHERE job_id = '{job['id']}'") == 600


# ---- two controlds -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(DATABASE == "postgresql", reason="it is on PostgreSQL in any case")
def test_two_controlds_share_the_work_and_inherit_it():
    with Cluster(env={"CONTROLD_JOBS_LEASE": "2s", "CONTROLD_JOBS_WORKERS": "4"}) as pair:
        pair.start(relays=0)
        one, two = pair.apis
        jobs = [start(one, steps=20, step_ms=10) for _ in range(40)]
        schedule = two.post("/api/v1/schedules", {"name": "once each", "kind": "check", "cron": "@every 1s", "args": {"steps": 0}},
                            expect=201)
        for job in jobs:
            ended(two, job)

        def both_worked():  # one that was held up takes of those that come later
            done = [c.log().count("job_ended") for c in pair.controlds]
            if min(done) <= 3:
                jobs.append(start(one, steps=20, step_ms=10))
            return min(done) > 3
        eventually(both_worked, "both work", 60, every=0.1)
        for job in jobs:
            ended(two, job)
        assert int(pair.server.sql("SELECT count(*) FROM job_logs", pair.url)) == len(jobs) * 20
        # cancelled at one, run by the other; a worker of each is kept for critical ones
        both = [start(one, steps=100000, step_ms=10) for _ in range(6)]
        eventually(lambda: all(one.get(f"/api/v1/jobs/{j['id']}")["progress"]["done"] for j in both), "all run", 30)
        for job in both[:4]:
            two.post(f"/api/v1/jobs/{job['id']}/cancel", expect=202)
        for job in both[:4]:
            ended(one, job, "cancelled")
        # who dies leaves its jobs to the other
        last = [start(one, steps=400, step_ms=10) for _ in range(6)]
        for job in both[4:]:
            two.post(f"/api/v1/jobs/{job['id']}/cancel", expect=202)
        eventually(lambda: any(one.get(f"/api/v1/jobs/{j['id']}")["progress"]["done"] for j in last), "they run", 30)
        pair.controlds[0].kill()
        for job in last:
            assert eventually(lambda j=job: two.get(f"/api/v1/jobs/{j['id']}")["state"] == "completed", "inherited", 60)
        assert int(pair.server.sql("SELECT count(*) FROM job_logs l JOIN jobs j ON j.id = l.job_id WHERE j.args LIKE '%400%'",
                                   pair.url)) == 6 * 400
        # a time is run once, whoever does it, and they go on whoever is there
        def ticks():
            return [due for c in pair.controlds for due in re.findall(rf'schedule_run.*{schedule["id"]}.*due_ms"?[:=](\d+)', c.log())]
        before = len(ticks())
        eventually(lambda: len(ticks()) > max(3, before + 1), "they go on", 30)
        assert len(ticks()) == len(set(ticks())), ticks()


def test_many_wait_for_the_end_without_a_thread_each(fleet):
    job = start(fleet.api, steps=20, step_ms=100)
    got = []

    def wait():
        url = f"{fleet.controld.base}/api/v1/jobs/{job['id']}?wait=30s"
        got.append(requests.get(url, headers=fleet.api.session.headers, timeout=40).json()["state"])
    watchers = [threading.Thread(target=wait) for _ in range(20)]
    for w in watchers:
        w.start()
    for w in watchers:
        w.join()
    assert got == ["completed"] * 20
