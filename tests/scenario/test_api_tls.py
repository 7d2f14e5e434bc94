"""The API over TLS: the certificate of the settings, a renewed one taken on SIGHUP, a key that others may read refused."""
import os
import signal
import socket
import ssl
import subprocess

from portway import BIN, Controld, Daemon, eventually, run


def certificate(folder, name):
    cert, key = os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}.key")
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-keyout", key, "-out", cert])
    os.chmod(key, 0o600)
    return cert, key


def served(port, version=None):
    """The certificate's bytes, and an answer through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as s:
        s.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := s.recv(65536):
            answer += data
        return s.getpeercert(True), answer


def pem_to_der(path):
    with open(path) as f:
        return ssl.PEM_cert_to_DER_cert(f.read())


def test_certificate_is_served_and_renewed(tmp_path):
    folder = str(tmp_path)
    first, key = certificate(folder, "first")
    second, second_key = certificate(folder, "second")
    controld = Controld(folder, {"CONTROLD_HTTP_TLS_CERT": first, "CONTROLD_HTTP_TLS_KEY": key})
    Daemon.start(controld)
    try:
        eventually(lambda: served(controld.http_port), "served over TLS", 30)
        der, answer = served(controld.http_port)
        assert der == pem_to_der(first)
        assert b" 200 " in answer and b"Strict-Transport-Security" in answer
        served(controld.http_port, ssl.TLSVersion.TLSv1_2)

        os.replace(second, first)
        os.replace(second_key, key)
        controld.signal(signal.SIGHUP)
        eventually(lambda: served(controld.http_port)[0] == pem_to_der(first), "the renewed certificate")

        with open(first, "w") as f:
            f.write("no certificate")
        controld.signal(signal.SIGHUP)
        eventually(lambda: "reload_refused" in controld.log(), "a bad certificate is refused")
        assert b" 200 " in served(controld.http_port)[1], "and changes nothing"
    finally:
        controld.stop()


def test_a_key_that_everybody_may_read_is_refused(tmp_path):
    cert, key = certificate(str(tmp_path), "open")
    os.chmod(key, 0o644)
    env = {k: v for k, v in os.environ.items() if not k.startswith("CONTROLD_")}
    out = subprocess.run([os.path.join(BIN, "controld")], capture_output=True, text=True, timeout=60, env={
        **env, "CONTROLD_DATA_DIR": str(tmp_path / "data"), "CONTROLD_HTTP_LISTEN": "127.0.0.1:0",
        "CONTROLD_FLEET_LISTEN": "127.0.0.1:0", "CONTROLD_HTTP_TLS_CERT": cert, "CONTROLD_HTTP_TLS_KEY": key})
    assert out.returncode == 1
    assert "chmod 600" in out.stderr
