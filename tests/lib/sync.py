"""What tests of panels share: syncs started and waited for, and a comparison of what was kept with what a panel has."""
from portway import eventually

KINDS = ("locations", "nodes", "allocations", "nests", "eggs", "servers", "users", "databases")
# by kind: ours from the panel's, for a few members each
MEMBERS = {
    "locations": {"short": "short", "long": "long"},
    "nodes": {"name": "name", "location_id": "location_id", "memory": "memory", "fqdn": "fqdn"},
    "allocations": {"ip": "ip", "port": "port", "assigned": "assigned", "node_id": "node_id"},
    "nests": {"name": "name", "description": "description"},
    "eggs": {"name": "name", "nest_id": "nest"},
    "servers": {"name": "name", "user_id": "user", "node_id": "node", "egg_id": "egg", "suspended": "suspended"},
    "users": {"email": "email", "username": "username", "two_factor": "2fa"},
    "databases": {"database": "database", "server_id": "server"},
}


def point_at(api, panel, key=None, **more):
    """The panel that is synchronised from now on."""
    body = {"pterodactylUrl": panel.url, "pterodactylApiKey": key or panel.key, **more} if panel else {"pterodactylUrl": None, **more}
    api.post("/api/admin/settings", body, expect=200)


def start(api, kind="full", **body):
    return api.post(f"/api/v1/sync/{kind}", body, expect=202)["data"]["sync_log_id"]


def status(api, sync):
    return api.get(f"/api/v1/sync/status/{sync}")["data"]


def wait(api, sync, state="COMPLETED", seconds=60):
    def ended():
        s = status(api, sync)
        return s["completedAt"] and s

    s = eventually(ended, "the sync's end", seconds)
    assert s["status"] == state, s
    if state == "COMPLETED":
        assert s["itemsSynced"] + s["itemsFailed"] == s["itemsTotal"], s
    return s


def sync(api, kind="full", seconds=60, **body):
    return wait(api, start(api, kind, **body), seconds=seconds)


def kept(api, kind, query=""):
    items, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/api/v1/panel/{kind}?limit=200&cursor={cursor}{query}")
        items += page["items"]
        cursor = page["next_cursor"]
    return items


def check_same(api, panel, kinds=KINDS):
    """What is kept is what the panel has: all of it, each once, and nothing else."""
    for kind in kinds:
        items = kept(api, kind, "&panel=" + ("pelican" if panel.pelican else "pterodactyl"))
        has = panel.has[kind]
        assert [i["id"] for i in items] == sorted(has), kind
        for i in items:
            for ours, theirs in MEMBERS[kind].items():
                if not panel.pelican or (kind, ours) not in (("eggs", "nest_id"), ("nodes", "location_id"), ("users", "two_factor")):
                    assert i[ours] == has[i["id"]][theirs], (kind, i["id"], ours)


def change_at_random(panel, rng, edits=0.05, removals=0.03, additions=5):
    """What happens to a panel between two syncs."""
    for kind in ("servers", "users", "nodes", "eggs", "databases", "allocations", "locations", "nests"):
        ids = sorted(panel.has[kind])
        for n in rng.sample(ids, int(len(ids) * removals)):
            panel.remove(kind, n)
        ids = sorted(panel.has[kind])
        for n in rng.sample(ids, int(len(ids) * edits)):
            row = panel.has[kind][n]
            for member in ("name", "short", "email", "database"):
                if member in row:
                    row[member] = f"edited {rng.randrange(10**6)}"
                    break
            else:
                row["port"] = 1024 + rng.randrange(60000)
    nodes, nests, servers, users = (sorted(panel.has[k]) for k in ("nodes", "nests", "servers", "users"))
    for _ in range(additions):
        panel.add("users")
        panel.add("allocations", node_id=rng.choice(nodes))
        panel.add("eggs", nest=rng.choice(nests))
        panel.add("servers", node=rng.choice(nodes), user=rng.choice(users))
        panel.add("databases", server=rng.choice(servers))
    panel.touch()
