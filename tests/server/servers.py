# SPDX-License-Identifier: MIT
"""Servers for the tests: each at a Unix socket of its own, in a directory that goes away."""
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HANGS_SECONDS = 300  # ends what hangs; it is no verdict on speed


def is_sanitized():
    """Sanitizers' processes are slower, and larger."""
    return os.environ.get("SINTER_SANITIZED", "") not in ("", "0")


class Server:
    """A process that serves at self.path until close()."""

    def __init__(self, program, *arguments, tcp=False, environment=None):
        self.directory = tempfile.mkdtemp(prefix="sinterd-test.")
        self.path = os.path.join(self.directory, "socket")
        self.port = None
        where = ["-p", "0", "-l", "127.0.0.1"] if tcp else ["-s", self.path]
        user = ["-u", "root"] if os.geteuid() == 0 and "-u" not in arguments else []
        self.errors = os.path.join(self.directory, "errors")
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [program, *where, *user, *arguments], stderr=errors, stdin=subprocess.DEVNULL,
                env=environment)
        self.wait()

    def error_text(self):
        with open(self.errors, encoding="utf-8") as errors:
            return errors.read()

    def is_up(self):
        """Whether it answers: the socket is there before the rest is."""
        for line in self.error_text().splitlines():
            if line.startswith("sinterd: port "):
                self.port = int(line.split()[-1])
        if self.port is None and not os.path.exists(self.path):
            return False
        try:
            with self.connect() as probe:
                probe.sendall(b"mn\r\n")
                return probe.recv(10) != b""
        except (ConnectionError, FileNotFoundError):
            return False

    def wait(self):
        for _ in range(6000):
            if self.is_up():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError("the server did not start: " + self.error_text())

    def connect(self):
        if self.port is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(HANGS_SECONDS)
            connection.connect(self.path)
        else:
            connection = socket.create_connection(("127.0.0.1", self.port), HANGS_SECONDS)
        return connection

    def talk(self, request):
        """All that is answered to a request after which nothing more comes."""
        with self.connect() as connection:
            return talk(connection, request)

    def stats(self, kind=b""):
        lines = self.talk(b"stats " + kind + b"\r\n").decode().splitlines()
        assert lines[-1] == "END", lines
        return dict(line.split(" ", 2)[1:] for line in lines[:-1])

    def close(self):
        """Ends it as a service is ended. Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(120)
        text = self.error_text()
        shutil.rmtree(self.directory)
        if "Sanitizer" in text or "runtime error" in text:
            raise AssertionError(text)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def talk(connection, request):
    """Sends, says that this is all, and reads to the end. What a server that closes does not take
    does not matter."""
    connection.setblocking(False)
    answer, at = b"", 0
    ended = False
    while True:
        readable, writable, _ = select.select(
            [connection], [connection] if at < len(request) else [], [], HANGS_SECONDS)
        if not readable and not writable:
            raise AssertionError("nothing comes: " + repr(answer[-200:]))
        if writable:
            try:
                at += connection.send(request[at:at + 65536])
            except (BrokenPipeError, ConnectionResetError):
                at = len(request)
        if at >= len(request) and not ended:
            ended = True
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        if readable:
            try:
                some = connection.recv(1 << 20)
            except ConnectionResetError:
                return answer
            if not some:
                return answer
            answer += some
