"""Two short rounds of kill -9 under load; the long ones are `make soak`."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fault"))
import rounds  # noqa: E402  pylint: disable=wrong-import-position


def test_controld_killed_under_load_nothing_is_lost_and_counters_are_equal(new_fleet):
    figures = rounds.kill_round(new_fleet(controld_env=rounds.UNLIMITED), 8, seed=1, victims=["controld"])
    rounds.check(figures, relay_killed=False)


def test_both_killed_under_load_counters_lie_between(new_fleet):
    figures = rounds.kill_round(new_fleet(controld_env=rounds.UNLIMITED), 10, seed=2, victims=["controld", "relayd"])
    rounds.check(figures, relay_killed=True)
