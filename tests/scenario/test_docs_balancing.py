"""The lines of docs/balancing.md do what the page says."""
import os
import re
import subprocess

from cli import environment
from portway import BIN, ROOT


def test_every_line(fleet):
    with open(os.path.join(ROOT, "docs", "balancing.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```sh\n(.*?)```", f.read(), flags=re.S)
    assert len(blocks) >= 6
    token = fleet.api.session.headers["Authorization"].split()[1]
    env = environment({"API": fleet.controld.base, "TOKEN": token, "PORTWAY_URL": fleet.controld.base, "PORTWAY_TOKEN": token,
                       "PATH": BIN + os.pathsep + os.environ["PATH"]})
    out = subprocess.run(["bash", "-exc", "\n".join(blocks)], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert out.returncode == 0, out.stdout[-3000:] + out.stderr[-3000:]
    (pool,) = fleet.api.get("/api/pools")["pools"]
    assert (pool["name"], len(pool["backends"]), pool["status"]) == ("web", 2, "active")
    assert {b["weight"] for b in pool["backends"]} == {100}
    kinds = sorted((r["https_only"], r["pool"], (r["redirect"] or {}).get("status")) for r in fleet.api.get("/api/routes")["routes"])
    assert kinds == [(False, None, 308), (True, "web", None)]
    assert "weighted_round_robin" in out.stdout and "www.example.com" in out.stdout
