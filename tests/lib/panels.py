"""Hosting panels that are not there: Pterodactyl's application API, Pelican's, and VirtFusion's, with what is odd in them.

What a panel has are dictionaries that tests change as they like; touch() afterwards."""
import json
import random
import uuid

from fake_http import Answer, Fake, Window

TIME = "2026-01-02T03:04:05+00:00"
KEY = "ptla_" + "k" * 43
KINDS = ("locations", "nodes", "allocations", "nests", "eggs", "servers", "users", "databases")
TYPES = {"locations": "location", "nodes": "node", "allocations": "allocation", "nests": "nest", "eggs": "egg",
         "servers": "server", "users": "user", "databases": "server_database"}


def item(kind, attributes):
    return {"object": TYPES[kind], "attributes": attributes}


class Pterodactyl(Fake):
    """`links`: what stands in the place of links on the only page, {} or []. `denied`: kinds that the key may not read. `includes`:
    those this version knows. `pelican`: no locations, no nests."""

    def __init__(self, seed=1, pelican=False, limit=0, seconds=60.0):
        self.has = {kind: {} for kind in KINDS}
        self.rng, self.pelican, self.links, self.denied, self.key = random.Random(seed), pelican, {}, set(), KEY
        self.includes = {"allocations", "eggs", "databases"}
        self.window, self.cache, self.headers = Window(limit, seconds), {}, {}
        self.next = {kind: 1 for kind in KINDS}
        super().__init__()

    # ---- what it has --------------------------------------------------------------------------------------------------

    def touch(self):
        with self.lock:
            self.cache.clear()

    def add(self, kind, **fields):
        with self.lock:
            n = self.next[kind]
            self.next[kind] += 1
            made = {"id": n, **getattr(self, "_" + kind[:-1])(n), "created_at": TIME, "updated_at": TIME, **fields}
            self.has[kind][n] = made
            self.cache.clear()
            return made

    def remove(self, kind, n):
        """With what hangs on it."""
        with self.lock:
            self.has[kind].pop(n, None)
            for child, parent, of in (("allocations", "nodes", "node_id"), ("eggs", "nests", "nest"), ("databases", "servers", "server")):
                if kind == parent:
                    for key in [k for k, v in self.has[child].items() if v[of] == n]:
                        del self.has[child][key]
            self.cache.clear()

    def fill(self, locations=2, nodes=3, allocations=12, nests=2, eggs=4, servers=7, users=5, databases=3):
        for _ in range(locations):
            self.add("locations")
        for _ in range(nodes):
            self.add("nodes", location_id=1 + self.rng.randrange(max(locations, 1)))
        for n in range(allocations):
            self.add("allocations", node_id=1 + n % nodes, port=20000 + n % 40000)
        for _ in range(nests):
            self.add("nests")
        for n in range(eggs):
            self.add("eggs", nest=1 + n % nests)
        for _ in range(users):
            self.add("users")
        for n in range(servers):
            at = n + 1 if n < allocations else None
            node = self.has["allocations"][at]["node_id"] if at else 1
            self.add("servers", user=1 + self.rng.randrange(max(users, 1)), node=node, allocation=at, egg=1 + n % max(eggs, 1),
                     nest=1 + n % max(eggs, 1) % max(nests, 1))
            if at:
                self.has["allocations"][at]["assigned"] = True
        for n in range(databases):
            self.add("databases", server=1 + n % servers)
        return self

    def _uuid(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128)))

    def _location(self, n):
        return {"short": f"loc-{n}", "long": None if n % 3 == 0 else f"Location {n}"}

    def _node(self, n):
        return {"uuid": self._uuid(), "public": True, "name": f"node-{n}", "description": None, "location_id": 1,
                "fqdn": f"n{n}.example.com", "scheme": "https", "behind_proxy": False, "maintenance_mode": False, "memory": 65536,
                "memory_overallocate": 0, "disk": 1000000, "disk_overallocate": -1, "upload_size": 100, "daemon_listen": 8080,
                "daemon_sftp": 2022, "daemon_base": "/srv", "allocated_resources": {"memory": 1024, "disk": 2048},
                "a_field_of_tomorrow": {"x": [1, 2]}}

    def _allocation(self, n):
        return {"ip": f"192.0.2.{n % 250}", "alias": None, "port": 25565, "notes": None, "assigned": False, "node_id": 1}

    def _nest(self, n):
        return {"uuid": self._uuid(), "author": "a@example.com", "name": f"nest {n}", "description": "Größe, 大, \"<b>\""}

    def _egg(self, n):
        return {"uuid": self._uuid(), "name": f"egg {n}", "nest": 1, "author": "a@example.com", "description": None,
                "docker_image": "reg/java:21", "docker_images": {"Java 21": "reg/java:21"} if n % 2 else [],
                "config": {"files": {}, "startup": {}, "stop": "stop", "logs": [], "file_denylist": None, "extends": None},
                "startup": "java -jar a.jar", "script": {"privileged": True, "install": "#!/bin/sh\n" * 20, "entry": "sh",
                                                         "container": "alpine", "extends": None}}

    def _server(self, n):
        return {"external_id": None, "uuid": self._uuid(), "identifier": f"{n:08x}", "name": f"server {n}", "description": "",
                "status": None, "suspended": n % 11 == 0,
                "limits": {"memory": 2048, "swap": 0, "disk": 10240, "io": 500, "cpu": 100, "threads": None, "oom_disabled": True},
                "feature_limits": {"databases": 1, "allocations": 1, "backups": 0}, "user": 1, "node": 1, "allocation": None, "nest": 1,
                "egg": 1, "container": {"startup_command": "java -jar a.jar", "image": "reg/java:21", "installed": 1,
                                        "environment": {"STARTUP": "x", "RCON_PASSWORD": "very secret"}}}

    def _user(self, n):
        return {"external_id": None, "uuid": self._uuid(), "username": f"user{n}", "email": f"user{n}@example.com",
                "first_name": "First", "last_name": "Last", "language": "en", "root_admin": n == 1, "2fa": False}

    def _database(self, n):
        return {"server": 1, "host": 1, "database": f"s1_db{n}", "username": f"u{n}", "remote": "%", "max_connections": None}

    # ---- what it says -------------------------------------------------------------------------------------------------

    def error(self, status, code, detail, headers=None):
        return Answer(status, {"errors": [{"code": code, "status": str(status), "detail": detail}]}, headers)

    def answer(self, request):
        if request.headers.get("authorization") != f"Bearer {self.key}":
            if "json" not in request.headers.get("accept", ""):
                return Answer(302, b"<html>Redirecting</html>", {"Location": self.url + "/auth/login"}, "text/html")
            return self.error(401, "AuthenticationException", "Unauthenticated.")
        with self.lock:
            wait = self.window.take()
            rate = {"X-RateLimit-Limit": self.window.limit, "X-RateLimit-Remaining": self.window.left()} if self.window.limit else {}
        if wait:
            return Answer(429, b"Too Many Attempts.", {**rate, "Retry-After": int(wait) + 1}, "text/html")
        with self.lock:
            found = self._find(request)
        found.headers = {**found.headers, **rate}
        return found

    def _find(self, request):
        parts = request.path.split("/")
        if request.path.startswith("/api/application/") and request.method == "GET":
            key = (request.path, tuple(sorted(request.query.items())))
            if key not in self.cache:
                self.cache[key] = self._list(parts[3:], request.query)
            made = self.cache[key]
            if made:
                return Answer(made.status, made.body, dict(made.headers), made.kind)
        return self.error(404, "NotFoundHttpException", "The resource does not exist.")

    def _list(self, parts, query):
        """None: there is no such list."""
        kind, of = parts[0], None
        if len(parts) == 3 and (parts[0], parts[2]) in (("nodes", "allocations"), ("nests", "eggs"), ("servers", "databases")):
            kind, of = parts[2], int(parts[1])
            if of not in self.has[parts[0]]:
                return None
        elif len(parts) != 1 or kind in ("allocations", "databases") or (kind == "eggs" and not self.pelican):
            return None
        if kind not in KINDS or (self.pelican and ("nests" in parts or "locations" in parts)):
            return None
        if kind in self.denied:
            return self.error(403, "AccessDeniedHttpException", "This action is unauthorized.")
        parent = {"allocations": "node_id", "eggs": "nest", "databases": "server"}.get(kind)
        rows = [v for _, v in sorted(self.has[kind].items()) if of is None or v[parent] == of]
        if kind == "databases" or (kind == "eggs" and not self.pelican):
            return Answer(200, {"object": "list", "data": [self._item(kind, v, query) for v in rows]})
        return self._page(kind, rows, query)

    def _page(self, kind, rows, query):
        size, page = int(query.get("per_page", 50)), int(query.get("page", 1))
        shown = rows[(page - 1) * size:page * size]
        pages = max((len(rows) + size - 1) // size, 1)
        links = {}
        if page > 1:
            links["previous"] = f"{self.url}/api/application/{kind}?page={page - 1}"
        if page < pages:
            links["next"] = f"{self.url}/api/application/{kind}?page={page + 1}"  # the page's size and the includes are lost
        meta = {"pagination": {"total": len(rows), "count": len(shown), "per_page": size if page % 2 else str(size),
                               "current_page": page, "total_pages": pages, "links": links or self.links}}
        return Answer(200, {"object": "list", "data": [self._item(kind, v, query) for v in shown], "meta": meta})

    def _item(self, kind, row, query):
        shown = {k: v for k, v in row.items() if not (kind == "allocations" and k in ("node_id", "created_at", "updated_at"))}
        if self.pelican:
            for gone in ("nest", "first_name", "last_name"):
                shown.pop(gone, None)
        related = {}
        for name in query.get("include", "").split(","):
            children = self._children(kind, row, name)
            if children is None:
                continue  # ignored without a word
            related[name] = {"object": "list", "data": children}
            if name in self.denied:
                related[name] = {"object": "null_resource", "attributes": None}
        if related:
            shown["relationships"] = related
        return item(kind, shown)

    def _children(self, kind, row, name):
        if name not in self.includes or (kind, name) not in (("nodes", "allocations"), ("nests", "eggs"), ("servers", "allocations"),
                                                            ("servers", "databases")):
            return None
        self._index()
        of = self.cache["index"].get((kind, name, row["id"]), [])
        made = [self._item(name, v, {}) for v in of]
        if name == "databases":
            for child in made:
                child["object"] = "databases"  # and not server_database
        return made

    def _index(self):
        if "index" in self.cache:
            return
        index = {}
        for child, parent, of in (("allocations", "nodes", "node_id"), ("eggs", "nests", "nest"), ("databases", "servers", "server")):
            for _, v in sorted(self.has[child].items()):
                index.setdefault((parent, child, v[of]), []).append(v)
        for s in self.has["servers"].values():
            if s["allocation"] in self.has["allocations"]:
                index[("servers", "allocations", s["id"])] = [self.has["allocations"][s["allocation"]]]
        self.cache["index"] = index


class VirtFusion(Fake):
    """Servers, in the envelope of Laravel's own paginator; a key that is not right is answered with nothing but 401."""

    def __init__(self, key="vf-key"):
        self.servers, self.key = {}, key
        super().__init__()

    def fill(self, servers=5):
        for n in range(1, servers + 1):
            self.servers[n] = {"id": n, "uuid": f"vf-{n}", "name": f"vm {n}", "commissioned": 3, "owner": n % 3 + 1, "hypervisorId": 2,
                               "suspended": n == 2, "protected": False, "updated": TIME, "created": TIME}
        return self

    def answer(self, request):
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Answer(401)
        if request.path != "/api/v1/servers":
            return Answer(404, {"msg": "not found"})
        size, page = min(int(request.query.get("results", 20)), 200), int(request.query.get("page", 1))
        with self.lock:
            rows = [v for _, v in sorted(self.servers.items())]
        pages = max((len(rows) + size - 1) // size, 1)
        url = self.url + "/api/v1/servers?page="
        return Answer(200, json.dumps({
            "current_page": page, "data": rows[(page - 1) * size:page * size], "first_page_url": url + "1", "from": 1,
            "last_page": pages, "last_page_url": f"{url}{pages}", "links": [], "next_page_url": f"{url}{page + 1}" if page < pages else None,
            "path": self.url, "per_page": size, "prev_page_url": None, "to": size, "total": len(rows)}).encode())
