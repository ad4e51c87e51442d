#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sinterd by clients that are not ours: memccapable of libmemcached's tools, and pymemcache.

    clients.py SINTERD memccapable|pymemcache

Exit status 77: the client is not installed.
"""
import shutil
import subprocess
import sys

import servers


def memccapable(sinterd):
    program = shutil.which("memccapable") or shutil.which("memcapable")
    if not program:
        print("memccapable is not installed (Debian: libmemcached-tools)")
        return 77
    with servers.Server(sinterd, tcp=True) as server:
        done = subprocess.run(
            [program, "-h", "127.0.0.1", "-p", str(server.port), "-a", "-t", "60"],
            capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return 0 if done.returncode == 0 and done.stdout.count("[pass]") == 27 else 1


def pymemcache(sinterd):
    try:
        from pymemcache.client.base import Client
    except ImportError:
        print("pymemcache is not installed (Debian: python3-pymemcache)")
        return 77
    with servers.Server(sinterd, tcp=True) as server:
        client = Client(("127.0.0.1", server.port), default_noreply=False)
        assert client.set("key", b"value") and client.get("key") == b"value"
        assert client.get("nothing") is None and client.get("nothing", 5) == 5
        assert client.set_many({f"k{i}": b"%d" % i for i in range(1000)}) == []
        found = client.get_many([f"k{i}" for i in range(1100)])
        assert found == {f"k{i}": b"%d" % i for i in range(1000)}
        assert not client.add("key", b"other") and client.add("new", b"1")
        assert client.replace("new", b"5") and not client.replace("absent", b"1")
        assert client.append("key", b"!") and client.prepend("key", b"<")
        assert client.get("key") == b"<value!"
        value, cas = client.gets("key")
        assert value == b"<value!" and client.cas("key", b"mine", cas)
        assert client.cas("key", b"late", cas) is False and client.cas("gone", b"x", cas) is None
        assert client.incr("new", 10) == 15 and client.decr("new", 20) == 0
        assert client.incr("absent", 1) is None
        assert client.touch("key", 100) and not client.touch("absent", 100)
        assert client.get("key") == b"mine"
        assert client.delete("key") and not client.delete("key")
        large = bytes(range(256)) * 4000
        assert client.set("large", large, flags=7) and client.get("large") == large
        for size in (0, 1, 255, 4096, 65535, 65536, 65537, 1 << 20):
            assert client.set("sized", b"s" * size) and client.get("sized") == b"s" * size
        assert client.stats()[b"curr_items"] == 1003
        assert client.version().startswith(b"1.6.18") and client.flush_all()
        assert client.get("k1") is None
        client.quit()
    return 0


if __name__ == "__main__":
    sys.exit({"memccapable": memccapable, "pymemcache": pymemcache}[sys.argv[2]](sys.argv[1]))
