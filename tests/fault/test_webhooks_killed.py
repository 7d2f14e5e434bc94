"""Fifty kills while webhooks are served, by one controld and by two; short rounds are scenarios."""
import pytest
import webhook_rounds
from cluster import Cluster
from webhooks import Receiver


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def test_fifty_kills(new_fleet, receiver):
    fleet = new_fleet(relays=0, controld_env=webhook_rounds.ENV)
    senders = webhook_rounds.kill_rounds([fleet.controld], receiver, 50, seed=51)
    webhook_rounds.check(senders, receiver, 50)


def test_fifty_kills_of_two(receiver):
    pair = Cluster(2, env=webhook_rounds.ENV).start(relays=0)
    try:
        senders = webhook_rounds.kill_rounds(pair.controlds, receiver, 50, seed=52)
        webhook_rounds.check(senders, receiver, 50)
    finally:
        pair.stop()
