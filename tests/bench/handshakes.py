"""tests/bench/handshakes.py PORT HOST SECONDS: full TLS 1.3 handshakes, one after the other, with a server name and no resumption.

Prints "done=N seconds=S failed=N". (openssl s_time sends no server name, by which every certificate here is chosen.)
"""
import socket
import ssl
import sys
import time


def main():
    port, host, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    done = failed = 0
    began = now = time.monotonic()
    while now < began + seconds:
        try:
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=host):
                done += 1
        except OSError:
            failed += 1
        now = time.monotonic()
    print(f"done={done} seconds={now - began:.3f} failed={failed}")


if __name__ == "__main__":
    main()
