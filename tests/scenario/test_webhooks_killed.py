"""Webhooks through kill -9, by one controld and by two on one database: nothing lost, in order. Fifty kills are in tests/fault."""
import pytest
import webhook_rounds
from cluster import Cluster
from webhooks import Receiver


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.close()


def test_a_few_kills(new_fleet, receiver):
    fleet = new_fleet(relays=0, controld_env=webhook_rounds.ENV)
    senders = webhook_rounds.kill_rounds([fleet.controld], receiver, 4, seed=1)
    webhook_rounds.check(senders, receiver, 4)


def test_two_controlds(receiver):
    with Cluster(2, env=webhook_rounds.ENV) as pair:
        pair.start(relays=0)
        senders = webhook_rounds.kill_rounds(pair.controlds, receiver, 4, seed=2)
        webhook_rounds.check(senders, receiver, 4)
