"""Fifty kills of controld while jobs run; the short round is a scenario."""
import job_rounds


def test_fifty_kills(new_fleet):
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_RATE_LIMIT": "0"})
    starter = job_rounds.kill_rounds(fleet, 50, seed=50)
    jobs, crashes = job_rounds.check(fleet, starter)
    assert jobs > 50 and crashes > 50
