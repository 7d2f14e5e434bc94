"""kill -9 of controld and relayd at random moments under load, PORTWAY_ROUNDS rounds of two minutes."""
import os

import pytest
import rounds

ROUNDS = int(os.environ.get("PORTWAY_ROUNDS", "20"))
SECONDS = float(os.environ.get("PORTWAY_ROUND_SECONDS", "120"))
VICTIMS = [["controld"], ["relayd"], ["controld", "relayd"]]


@pytest.mark.parametrize("seed", range(100, 100 + ROUNDS))
def test_round(new_fleet, seed):
    victims = VICTIMS[seed % len(VICTIMS)]
    figures = rounds.kill_round(new_fleet(controld_env=rounds.UNLIMITED), SECONDS, seed, victims)
    print(victims, figures)
    rounds.check(figures, relay_killed="relayd" in victims)
