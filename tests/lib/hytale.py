"""An account service of the tests' own, as its guide describes it: codes, tokens with rotation, profiles, game sessions with a
limit, keys. One server plays all three of its hosts; what it is to do wrong is said by attributes."""
import base64
import json
import secrets
import threading
import time
import urllib.parse
import uuid
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    def __init__(self, kid):
        self.kid, self.key = kid, Ed25519PrivateKey.generate()

    def jwk(self):
        return {"kty": "OKP", "alg": "EdDSA", "use": "sig", "kid": self.kid, "crv": "Ed25519",
                "x": b64(self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))}

    def sign(self, claims, kid=None, alg="EdDSA"):
        head = b64({"alg": alg, "kid": kid or self.kid, "typ": "JWT"}) + "." + b64(claims)
        return head + "." + b64(self.key.sign(head.encode()))


class Hytale:
    def __init__(self):
        self.lock = threading.Lock()
        self.calls = []                     # (method, path) in their order
        self.flows, self.access, self.refresh, self.sessions = {}, {}, {}, {}
        self.used = []                      # refresh tokens that were used up
        self.owner = str(uuid.uuid4())
        self.profiles = [{"uuid": str(uuid.uuid4()), "username": name} for name in ("alice", "bob")]
        self.signers = [Signer("k1")]       # the first one signs; all are published
        self.hidden = []                    # key ids that are not published
        self.interval, self.access_life, self.session_life = 5, 3600, 3600
        self.rotate, self.session_limit = True, 100
        self.answers = []                   # given first: (path, status, body)
        self.hold = None                    # an event that a refresh waits for
        self.token_alg = "EdDSA"
        self.bad_signature = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                n = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(n)
                status, said = outer.take(self.command, self.path, dict(self.headers), body)
                data = b"" if said is None else said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def env(self):
        return {"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8", "CONTROLD_HYTALE_OAUTH_URL": self.url, "CONTROLD_HYTALE_ACCOUNTS_URL": self.url,
                "CONTROLD_HYTALE_SESSIONS_URL": self.url + "/"}

    def count(self, path):
        with self.lock:
            return sum(p == path for _, p in self.calls)

    # ---- what it does
    def take(self, method, path, headers, body):
        with self.lock:
            self.calls.append((method, path))
            for i, (where, status, said) in enumerate(self.answers):
                if where == path:
                    del self.answers[i]
                    return status, said
        bearer = headers.get("Authorization", "")[len("Bearer "):]
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        if (method, path) == ("POST", "/oauth2/token") and form.get("grant_type") == "refresh_token" and self.hold:
            self.hold.wait(30)
        with self.lock:
            handler = {("POST", "/oauth2/device/auth"): lambda: self.device(form),
                       ("POST", "/oauth2/token"): lambda: self.token(form),
                       ("GET", "/my-account/get-profiles"): lambda: self.get_profiles(bearer),
                       ("POST", "/game-session/new"): lambda: self.session_new(bearer, body),
                       ("POST", "/game-session/refresh"): lambda: self.session_refresh(bearer),
                       ("DELETE", "/game-session"): lambda: self.session_end(bearer),
                       ("GET", "/.well-known/jwks.json"): lambda: (200, {"keys": [s.jwk() for s in self.signers
                                                                                   if s.kid not in self.hidden]}),
                       }.get((method, path))
            return handler() if handler else (404, {"error": "not_found"})

    def device(self, form):
        assert form == {"client_id": "hytale-server", "scope": "openid offline auth:server"}, form
        code = "D" + secrets.token_urlsafe(24)
        self.flows[code] = "pending"
        return 200, {"device_code": code, "user_code": "AB12-CD34", "verification_uri": "https://accounts.hytale.com/device",
                     "verification_uri_complete": "https://accounts.hytale.com/device?user_code=AB12-CD34", "expires_in": 900,
                     "interval": self.interval}

    def decide(self, code, state):
        """"agreed", "denied", "expired": what the person does."""
        with self.lock:
            self.flows[code] = state

    def pair(self):
        access, refresh = self.signers[0].sign({"sub": self.owner, "exp": time.time() + self.access_life}), secrets.token_urlsafe(40)
        self.access[access] = time.time() + self.access_life
        self.refresh[refresh] = True
        return {"access_token": access, "token_type": "Bearer", "expires_in": self.access_life, "refresh_token": refresh,
                "scope": "openid offline auth:server"}

    def token(self, form):
        assert form["client_id"] == "hytale-server"
        if form["grant_type"] == "refresh_token":
            return self.refreshed(form["refresh_token"])
        assert form["grant_type"] == DEVICE_GRANT
        state = self.flows.get(form["device_code"])
        if state == "agreed":
            del self.flows[form["device_code"]]
            return 200, self.pair()
        error = {"pending": "authorization_pending", "denied": "access_denied", "expired": "expired_token", "slow": "slow_down",
                 None: "invalid_grant"}.get(state, state)
        return 400, {"error": error, "error_description": "as the service says"}

    def refreshed(self, token):
        if token not in self.refresh:
            return 400, {"error": "invalid_grant", "error_description": "reused" if token in self.used else "unknown"}
        said = self.pair()
        if self.rotate:
            del self.refresh[token]
            self.used.append(token)
        else:
            del self.refresh[said["refresh_token"]]
            del said["refresh_token"]
        return 200, said

    def good(self, bearer):
        return self.access.get(bearer, 0) > time.time()

    def get_profiles(self, bearer):
        if not self.good(bearer):
            return 401, {"error": "unauthorized"}
        return 200, {"owner": self.owner, "profiles": self.profiles}

    def session_pair(self, profile):
        ends = datetime.now(timezone.utc) + timedelta(seconds=self.session_life)
        claims = {"iss": "https://sessions.hytale.com", "sub": profile, "exp": int(ends.timestamp()), "jti": secrets.token_hex(8)}
        session = self.signers[0].sign(claims, alg=self.token_alg)
        identity = self.signers[0].sign({**claims, "scope": "hytale:server"}, alg=self.token_alg)
        if self.bad_signature:
            session = session[:-8] + ("A" * 8 if not session.endswith("A" * 8) else "B" * 8)
        self.sessions[session] = profile
        return {"sessionToken": session, "identityToken": identity, "expiresAt": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def session_new(self, bearer, body):
        profile = json.loads(body)["uuid"]
        if not self.good(bearer):
            return 401, {"message": "bad token"}
        if profile not in [p["uuid"] for p in self.profiles]:
            return 404, {"message": "unknown profile"}
        if len(self.sessions) >= self.session_limit:
            return 403, {"message": "session limit"}
        return 200, self.session_pair(profile)

    def session_refresh(self, bearer):
        profile = self.sessions.pop(bearer, None)
        if profile is None:
            return 401, {"message": "no such session"}
        return 200, self.session_pair(profile)

    def session_end(self, bearer):
        return (204, None) if self.sessions.pop(bearer, None) else (401, {"message": "no such session"})

    def revoke(self):
        """The person takes his consent back."""
        with self.lock:
            self.access.clear()
            self.refresh.clear()

    def close(self):
        if self.hold:
            self.hold.set()
        self.server.shutdown()
        self.server.server_close()
