"""Debian's pebble, a certificate authority for tests that speaks ACME, and its name server, which says what a test wants."""
import contextlib
import http.server
import json
import os
import re
import ssl
import threading

import requests
import sites
from portway import eventually, free_port, listening, program


class Pebble:
    """Validates at http_port and tls_port of the address that its name server gives. Use within `with`."""

    def __init__(self, folder, http_port, tls_port, env=None, **config):
        self.folder, self.ca = str(folder), sites.Authority("CA of the CA")
        self.port, self.management, self.dns, self.names = (free_port() for _ in range(4))
        self.directory = f"https://localhost:{self.port}/dir"
        self.ca_file, _ = self.ca.write(self.folder, "pebble-ca")
        cert, key = self.ca.issue("localhost").write(self.folder, "pebble")
        self.config = os.path.join(self.folder, "pebble.json")
        with open(self.config, "w") as f:
            json.dump({"pebble": {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management}",
                                  "certificate": cert, "privateKey": key, "httpPort": http_port, "tlsPort": tls_port, **config}}, f)
        self.env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", **(env or {})}
        self.stack = contextlib.ExitStack()
        self.log_path = os.path.join(self.folder, "pebble.log")

    def __enter__(self):
        # sh: what pebble says goes to a file that tests read
        self.stack.enter_context(program(
            ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", "-management", f"127.0.0.1:{self.names}", "-defaultIPv4", "127.0.0.1",
             "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""], listening(self.names)))
        self.stack.enter_context(program(
            ["sh", "-c", 'exec pebble -strict -config "$0" -dnsserver "$1" >>"$2" 2>&1', self.config, f"127.0.0.1:{self.dns}", self.log_path],
            listening(self.port), env=self.env))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def settings(self, **more):
        """What controld needs to know to use it."""
        return {"CONTROLD_ACME_URL": self.directory, "CONTROLD_ACME_CA_FILE": self.ca_file, "CONTROLD_ACME_TERMS_AGREED": "true",
                "CONTROLD_ACME_CONTACT": "admin@example.org", "CONTROLD_ACME_RETRY": "1s", "CONTROLD_FLEET_OFFLINE_AFTER": "30s",  # who is stopped is waited for
                "CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8, ::1",
                **more}

    def point(self, host, *addresses):
        """Where the name leads to from now on."""
        for what in ("clear-a", "add-a"):
            requests.post(f"http://127.0.0.1:{self.names}/{what}", json={"host": host + ".", "addresses": list(addresses)},
                          timeout=10).raise_for_status()

    def root(self):
        return requests.get(f"https://localhost:{self.management}/roots/0", verify=self.ca_file, timeout=10).text

    def trust(self):
        return ssl.create_default_context(cadata=self.root())

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def count(self, pattern):
        return len(re.findall(pattern, self.log()))

    def orders(self):
        """How many were ever made."""
        return self.count(r"Added order")

    def proofs(self):
        """How often it was told to look."""
        return self.count(r"Pulled a task from the Tasks queue")


class Front:
    """Stands before a pebble: a test sees each request, and may answer in the CA's place or do something before the answer goes back."""

    def __init__(self, pebble):
        self.pebble, self.before, self.after = pebble, None, None  # functions of the path
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = front.before(self.path) if front.before else None
                if answer is None:
                    got = requests.request(self.command, f"https://localhost:{pebble.port}{self.path}", data=body, verify=pebble.ca_file,
                                           headers={**self.headers, "Accept-Encoding": "identity"}, timeout=30)
                    answer = got.status_code, got.content, got.headers
                    if front.after and got.ok:
                        front.after(self.path)
                status, content, headers = answer
                self.send_response(status)
                for name in ("Content-Type", "Replay-Nonce", "Location", "Retry-After", "Link"):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
            do_GET = do_HEAD = do_POST = respond

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # whoever asked was killed
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pebble.ca.issue("localhost").write(pebble.folder, "front"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.directory = f"https://localhost:{self.server.server_port}/dir"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def wait_valid(api, ident, seconds=40, **wanted):
    """The certificate, when it is valid."""
    def reached():
        cert = api.get(f"/api/v1/certificates/{ident}")
        assert cert["status"] == "valid", (cert["status"], cert["error"], cert["waiting_for"])
        assert all(cert[k] == v for k, v in wanted.items()), cert
        return cert
    return eventually(reached, f"certificate {ident} valid", seconds, 0.1)
