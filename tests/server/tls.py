#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TLS before sinterd, by haproxy with the configuration of src/server/README.md.

    tls.py SINTERD

Exit status 77: haproxy or openssl is not installed.
"""
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile

import servers

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/server/README.md")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(directory):
    key, certificate = (os.path.join(directory, name) for name in ("key", "certificate"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True)
    both = os.path.join(directory, "both.pem")
    with open(both, "w", encoding="ascii") as to:
        for name in (certificate, key):
            with open(name, encoding="ascii") as file:
                to.write(file.read())
    return certificate, both


def configuration(port, server, pem):
    with open(README, encoding="utf-8") as page:
        text = re.search(r"```haproxy\n(.*?)```", page.read(), re.S).group(1)
    for old, new in ((":11212", f"127.0.0.1:{port}"), ("/etc/haproxy/sinterd.pem", pem),
                     ("127.0.0.1:11211", f"127.0.0.1:{server.port}")):
        assert old in text, old
        text = text.replace(old, new)
    return text


def connect(port, certificate):
    context = ssl.create_default_context(cafile=certificate)
    plain = socket.create_connection(("127.0.0.1", port), servers.HANGS_SECONDS)
    return context.wrap_socket(plain, server_hostname="localhost")


def ask(connection, request, end):
    connection.sendall(request)
    answer = b""
    while not answer.endswith(end):
        some = connection.recv(1 << 20)
        assert some, answer[-100:]
        answer += some
    return answer


def wait_until_up(port, certificate, proxy):
    for _ in range(1500):
        assert proxy.poll() is None
        try:
            with connect(port, certificate) as connection:
                if ask(connection, b"mn\r\n", b"\r\n") == b"MN\r\n":
                    return
        except (OSError, AssertionError):
            servers.time.sleep(0.02)
    raise AssertionError("haproxy does not serve")


def is_served(port, certificate):
    data = bytes(range(256)) * 3000
    with connect(port, certificate) as connection:
        stored = ask(connection, b"set a 5 0 %d\r\n%s\r\n" % (len(data), data), b"\r\n")
        assert stored == b"STORED\r\n", stored
        got = ask(connection, b"get a\r\n", b"END\r\n")
        assert got == b"VALUE a 5 %d\r\n%s\r\nEND\r\n" % (len(data), data)
        pipeline = b"".join(b"mg a f\r\n" for _ in range(1000)) + b"mn\r\n"
        assert ask(connection, pipeline, b"MN\r\n").count(b"HD f5\r\n") == 1000
    with socket.create_connection(("127.0.0.1", port), servers.HANGS_SECONDS) as plain:
        plain.sendall(b"get a\r\n")  # without TLS there is no answer of the cache's
        try:
            answer = plain.recv(1000)
        except ConnectionResetError:
            answer = b""
        assert b"VALUE" not in answer and b"END" not in answer, answer


def main():
    os.environ["PATH"] += ":/usr/sbin"
    for program in ("haproxy", "openssl"):
        if not shutil.which(program):
            print(f"{program} is not installed (Debian: {program})")
            return 77
    directory = tempfile.mkdtemp(prefix="sinterd-tls.")
    with servers.Server(sys.argv[1], "-t", "1", tcp=True) as server:
        certificate, pem = make_certificate(directory)
        port, path = free_port(), os.path.join(directory, "haproxy.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(configuration(port, server, pem))
        checked = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True)
        assert checked.returncode == 0, checked
        proxy = subprocess.Popen(["haproxy", "-db", "-q", "-f", path])
        try:
            wait_until_up(port, certificate, proxy)
            is_served(port, certificate)
        finally:
            proxy.terminate()
            proxy.wait()
            shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
