#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several sinterd behind nutcracker, and behind a client that hashes consistently: one is killed,
the others serve on, it comes back with its dump. The configuration is that of src/server/README.md.

    several.py SINTERD

Exit status 77: nutcracker is not installed. Nothing is judged by time: each step waits for a state.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import servers

SINTERD = sys.argv[1]
NAMES = ("first", "second", "third")
KEYS = 3000
README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/server/README.md")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what):
    """Looks again until it is so."""
    for _ in range(3000):
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(what)


def talk(port, request):
    """The answer to a request after which nothing more comes; nothing if nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), servers.HANGS_SECONDS) as connection:
            return servers.talk(connection, request)
    except OSError:
        return b""


class Node:
    """A sinterd at a port of its own, with a dump."""

    def __init__(self, directory, name):
        self.port, self.dump = free_port(), os.path.join(directory, name)
        self.process = None
        self.start()

    def start(self):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [SINTERD, "-l", "127.0.0.1", "-p", str(self.port), "-m", "32", "-t", "1", "-e",
             self.dump, *user], stderr=subprocess.DEVNULL)
        until(lambda: talk(self.port, b"mn\r\n") == b"MN\r\n", "a server starts")

    def items(self):
        return int(re.search(rb"curr_items (\d+)", talk(self.port, b"stats\r\n")).group(1))

    def kill(self):
        """Its dump is written before, at SIGUSR1; then it has no time for anything."""
        self.process.send_signal(signal.SIGUSR1)
        until(lambda: os.path.exists(self.dump), "the dump is written")
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.kill()
        self.process.wait()


def configuration(nodes, port):
    """The README's, with the ports of today."""
    with open(README, encoding="utf-8") as page:
        text = re.search(r"```yaml\n(.*?)```", page.read(), re.S).group(1)
    text = text.replace("127.0.0.1:22121", f"127.0.0.1:{port}")
    for at, node in enumerate(nodes):
        assert f"127.0.0.1:{11211 + at}:1" in text
        text = text.replace(f"127.0.0.1:{11211 + at}:1", f"127.0.0.1:{node.port}:1")
    return text


def start_proxy(directory, nodes):
    port = free_port()
    path = os.path.join(directory, "nutcracker.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(configuration(nodes, port))
    arguments = ["-c", path, "-s", str(free_port()), "-a", "127.0.0.1", "-o",
                 os.path.join(directory, "log"), "-p", os.path.join(directory, "pid")]
    tried = subprocess.run(["nutcracker", "-t", *arguments], capture_output=True, text=True)
    assert tried.returncode == 0, tried
    proxy = subprocess.Popen(["nutcracker", *arguments])
    until(lambda: talk(port, b"get x\r\n") == b"END\r\n", "the proxy starts")
    return proxy, port


def value(key):
    return b"value of " + key + b"!" * (int(key[-3:]) % 200)


def put(port, key):
    data = value(key)
    return talk(port, b"set %s 0 0 %d\r\n%s\r\n" % (key, len(data), data)) == b"STORED\r\n"


def has(port, key):
    """A miss and an error are no wrong value."""
    answer = talk(port, b"get " + key + b"\r\n")
    if not answer.startswith(b"VALUE"):
        return False
    data = value(key)
    assert answer == b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(data), data), answer
    return True


def put_all(port, keys):
    """In one conversation, and again what an error was the answer to."""
    for key in keys:
        until(lambda: put(port, key), "a server is there for each key")


def old_and_new(word, count):
    return [b"%s:%05d" % (word, i) for i in range(count)]


def through_nutcracker(directory, nodes):
    proxy, port = start_proxy(directory, nodes)
    try:
        old, new = old_and_new(b"old", KEYS), old_and_new(b"new", 300)
        put_all(port, old)
        shares = [node.items() for node in nodes]
        assert sum(shares) == KEYS and min(shares) > KEYS / 10, shares
        nodes[1].kill()
        put_all(port, new)
        assert all(has(port, key) for key in new)
        still = sum(has(port, key) for key in old)
        assert still == KEYS - shares[1], (still, shares)
        nodes[1].start()
        assert nodes[1].items() == shares[1]
        until(lambda: all(has(port, key) for key in old), "it is asked again")
    finally:
        proxy.terminate()
        proxy.wait()


def by_a_client(nodes):
    """pymemcache's own hashing, which needs no proxy."""
    try:
        from pymemcache.client.hash import HashClient
    except ImportError:
        print("pymemcache is not installed (Debian: python3-pymemcache): left out")
        return
    client = HashClient([("127.0.0.1", node.port) for node in nodes], ignore_exc=True,
                        retry_attempts=0, dead_timeout=1, default_noreply=False)
    keys = [key.decode() for key in old_and_new(b"client", 600)]
    assert client.set_many({key: value(key.encode()) for key in keys}) == []
    before = [node.items() for node in nodes]
    assert not os.path.exists(nodes[2].dump)
    nodes[2].kill()
    for key in keys:
        assert client.get(key) in (None, value(key.encode()))
    until(lambda: client.set("late", b"1"), "the others serve on")
    nodes[2].start()
    assert nodes[2].items() == before[2]
    until(lambda: all(client.get(key) == value(key.encode()) for key in keys), "all is back")
    client.quit()


def main():
    os.environ["PATH"] += ":/usr/sbin"
    if not shutil.which("nutcracker"):
        print("nutcracker is not installed (Debian: nutcracker)")
        return 77
    directory = tempfile.mkdtemp(prefix="sinterd-several.")
    nodes = [Node(directory, name) for name in NAMES]
    try:
        through_nutcracker(directory, nodes)
        by_a_client(nodes)
    finally:
        for node in nodes:
            node.end()
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
