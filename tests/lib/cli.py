"""The `portway` command as people and scripts call it: with pipes, and on a terminal (a pty)."""
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

from portway import BIN, eventually

PROGRAM = os.path.join(BIN, "portway")
END = "\x1fthe end\x1f"


def environment(env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PORTWAY_") and "proxy" not in k.lower()}
    clean.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    return {**clean, "XDG_CONFIG_HOME": "/nonexistent", "TERM": "xterm", **env}


def portway(*args, stdin=None, **env):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=180, input=stdin or "", env=environment(env))


def run(*args, status=0, stdin=None, **env):
    """portway() that must end with this status; its output."""
    done = portway(*args, stdin=stdin, **env)
    assert done.returncode == status, f"portway {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.stdout if status == 0 else done.stderr


class Watch:
    """A command that goes on: its lines as they come."""

    def __init__(self, *args, **env):
        self.process = subprocess.Popen([PROGRAM, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment(env), text=True)
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)


class Terminal:
    """A command on a terminal of its own. Reads what it writes, types, resizes, looks at what the terminal is set to."""

    def __init__(self, *args, size=(24, 80), program=(PROGRAM,), **env):
        self.master, self.slave = pty.openpty()
        self.resize(*size, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.process = subprocess.Popen([*program, *args], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        env=environment(env), preexec_fn=self._own_terminal)

    def _own_terminal(self):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds=0.05):
        if select.select([self.master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.text += os.read(self.master, 65536).decode(errors="replace")
        return self.text

    def rest(self):
        """All that a program that has ended wrote: a terminal passes it on in its own time, and in order."""
        while select.select([self.master], [], [], 0)[0]:  # else there may be no room for more
            self.read()
        os.write(self.slave, END.encode())
        end = time.monotonic() + 30
        while END not in self.text:
            assert time.monotonic() < end, "the terminal passes nothing on"
            self.read()
        self.text = self.text.replace(END, "")
        return self.text

    def expect(self, pattern, seconds=30):
        """Waits until the text since the last expect() matches; forgets what was read up to there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            match = re.search(pattern, self.rest() if ended else self.read(), re.DOTALL)
            if match:
                self.text = self.text[match.end():]
                return match
            if ended:
                break
        raise AssertionError(f"{pattern!r} did not come; there is {self.text[-2000:]!r}")

    def type(self, text):
        os.write(self.master, text.encode())

    def type_secret(self, text):
        """What is typed before the terminal is silent would be seen, and is thrown away."""
        eventually(lambda: not self.settings()[3] & termios.ECHO, "the terminal is silent")
        self.type(text)

    def settings(self):
        return termios.tcgetattr(self.slave)

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it has not ended; it wrote {self.text[-2000:]!r}"
            self.read()
        self.rest()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
