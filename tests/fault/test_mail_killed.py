"""Fifty kills of controld while mail is sent; the short round is a scenario."""
from mails import ENV, kill_rounds
from resend import Resend


def test_fifty_kills(new_fleet):
    with Resend() as service:
        fleet = new_fleet(relays=0, controld_env={**ENV, "CONTROLD_MAIL_URL": service.url, "CONTROLD_JOBS_WORKERS": "4"})
        requests = kill_rounds(fleet, service, 300, 50, seed=50)
        print(f"300 mails, 50 kills, {requests} requests")
