#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sinterd under bench/load's server_load, which checks every byte that it reads; and server_load
under a proxy that spoils bytes, which it must notice.

    load.py SINTERD SERVER_LOAD [GROUP|TEST...]
    load.py SINTERD SERVER_LOAD hour [SECONDS]      all of it at once, for an hour
"""
import os
import socket
import subprocess
import sys
import threading

import servers

SINTERD, LOAD = sys.argv[1], sys.argv[2]
FEW = 5000 if servers.is_sanitized() else 30000


def run(where, *arguments, pid=None):
    """What it printed. It must end by itself."""
    watched = ["--pid", str(pid)] if pid else []
    return subprocess.run([LOAD, *where, *watched, *arguments], capture_output=True, text=True,
                          errors="replace", check=False)


def nothing_is_wrong(options, *arguments, limit=None):
    with servers.Server(SINTERD, *options) as server:
        if limit and not servers.is_sanitized():
            arguments += ("--limit-mib", limit)
        done = run(["--unix", server.path], *arguments, pid=server.process.pid)
        assert done.returncode == 0 and "wrong: 0" in done.stdout, (done, server.stats())
        print(done.stdout, end="")


def what_is_kept_is_right():
    for protocol in ("text", "meta"):
        nothing_is_wrong(["-m", "256", "-t", "2"], "--keeps", "--requests", str(FEW),
                         "--range-requests", "6000", "--protocol", protocol)


def what_is_evicted_does_not_come_back():
    """Sizes shift within -m, which each sample of the resident memory keeps."""
    nothing_is_wrong(["-m", "16", "-t", "2"], "--requests", str(FEW), "--range-requests", "6000",
                     "--keys", "50000", "--slow", "2", limit="16")


def clients_are_killed():
    """Also: times to live that end while it runs."""
    nothing_is_wrong(["-m", "32", "-t", "2"], "--requests", str(10 * FEW), "--range-requests",
                     str(2 * FEW), "--keys", "20000", "--kills", "30", limit="32")


def many_wait_for_slow_ones():
    """Half of 192 connections, more than there are buffers for. Seen failing: disconnected."""
    nothing_is_wrong(["-m", "64", "-t", "4"], "--requests", str(FEW), "--connections", "64",
                     "--slow", "32", "--depth", "64", "--range-requests", "3000", "--threads", "3",
                     "--ranges", "16-64,1000-20000", limit="64")


class Proxy:
    """Between a client and the server; `spoil` changes what the server says."""

    def __init__(self, server, spoil):
        self.server, self.spoil, self.spoiled = server, spoil, False
        self.path = os.path.join(server.directory, "proxy")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = self.server.connect()
            except OSError:  # it has ended meanwhile
                return
            server.settimeout(None)
            for pair in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.forward, args=pair, daemon=True).start()

    def forward(self, source, target, replies):
        try:
            while data := source.recv(65536):
                target.sendall(self.changed(data) if replies else data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def changed(self, data):
        other = self.spoil(data)
        self.spoiled = self.spoiled or other != data
        return other


def a_bit(data):
    """In the middle of a value's bytes."""
    at = data.find(b"VALUE load:")
    begin = data.find(b"\r\n", at) + 2
    if at < 0 or begin < 2 or len(data) < begin + 20:
        return data
    return data[:begin + 9] + bytes([data[begin + 9] ^ 1]) + data[begin + 10:]


def an_answer(data):
    return data.replace(b"STORED\r\n", b"STORES\r\n", 1)


def a_flag(data):
    at = data.find(b"VALUE load:")
    end = data.find(b" ", at + 6) + 1 if at >= 0 else 0
    if end == 0 or len(data) < end + 2:
        return data
    return data[:end] + (b"1" if data[end:end + 1] != b"1" else b"2") + data[end + 1:]


def a_line_more(data):
    return data + b"END\r\n" if data.endswith(b"\r\n") else data


def a_success(data):
    return data.replace(b"NOT_STORED\r\n", b"STORED\r\n")


def spoiled_bytes_are_noticed():
    for spoil in (a_bit, an_answer, a_flag, a_line_more, a_success):
        with servers.Server(SINTERD, "-m", "64", "-t", "1") as server:
            proxy = Proxy(server, spoil)
            done = run(["--unix", proxy.path], "--requests", "30000", "--threads", "1", "--slow",
                       "0", "--keys", "500")
            assert proxy.spoiled and done.returncode == 1 and "wrong: " in done.stderr, (
                spoil, proxy.spoiled, done)


def what_goes_behind_its_back_is_noticed():
    """Keys are deleted, or are others' values; a limit is not kept."""
    for act in (b"flush_all\r\n", b"set load:000000000000008 0 0 3\r\nabc\r\n"):
        with servers.Server(SINTERD, "-m", "64", "-t", "1") as server:
            with subprocess.Popen([LOAD, "--unix", server.path, "--keeps", "--keys", "64"],
                                  stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                while process.poll() is None:  # ends with the first thing that is wrong
                    server.talk(act)
                assert process.returncode == 1 and b"wrong: " in process.stderr.read()
    with servers.Server(SINTERD, "-m", "64", "-t", "1") as server:
        done = run(["--unix", server.path], "--requests", "1000", "--limit-mib", "1",
                   pid=server.process.pid)
        assert done.returncode == 1 and "above the limit" in done.stderr, done


def hour(seconds):
    """Two runs at a time at one server: one that evicts nothing of its own would see the other's
    evictions, so none is told to be kept."""
    with servers.Server(SINTERD, "-m", "64", "-t", "2") as server:
        arguments = ["--unix", server.path, "--pid", str(server.process.pid), "--limit-mib", "64",
                     "--seconds", seconds, "--keys", "60000", "--kills", str(int(seconds) * 4)]
        pair = [subprocess.Popen([LOAD, *arguments, "--protocol", protocol, "--prefix", protocol])
                for protocol in ("text", "meta")]
        assert [process.wait() for process in pair] == [0, 0], server.stats()


GROUPS = {
    "checked": (what_is_kept_is_right, what_is_evicted_does_not_come_back),
    "longer": (clients_are_killed, many_wait_for_slow_ones),
    "spoiled": (spoiled_bytes_are_noticed, what_goes_behind_its_back_is_noticed),
}


def main():
    if sys.argv[3:4] == ["hour"]:
        hour((sys.argv[4:5] or ["3600"])[0])
        return
    wanted = sys.argv[3:] or list(GROUPS)
    for name, group in GROUPS.items():
        for test in group:
            if name in wanted or test.__name__ in wanted:
                begin = servers.time.monotonic()
                test()
                print(f"{test.__name__}: {servers.time.monotonic() - begin:.2f} s", flush=True)


if __name__ == "__main__":
    main()
