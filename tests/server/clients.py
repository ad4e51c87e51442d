#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sinterd by clients that are not ours: memccapable and the others of libmemcached's tools, and
pymemcache.

    clients.py SINTERD memccapable|libmemcached|pymemcache

Exit status 77: the client is not installed.
"""
import os
import shutil
import subprocess
import sys
import tempfile

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


def libmemcached(sinterd):
    """Files are copied there and back. memcdump asks for "stats cachedump" of classes below 64, as
    memcached has no more: there items of every size have to be."""
    if not shutil.which("memccp"):
        print("memccp is not installed (Debian: libmemcached-tools)")
        return 77
    directory = tempfile.mkdtemp()
    with servers.Server(sinterd, tcp=True) as server:
        def run(tool, *arguments):
            command = ["memc" + tool, f"--servers=127.0.0.1:{server.port}", *arguments]
            return subprocess.run(command, capture_output=True, cwd=directory, check=False)

        for name, data in (("small", b"hello"), ("large", bytes(range(256)) * 3000)):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(data)
            assert run("cp", name).returncode == 0 and run("exist", name).returncode == 0
            assert run("cat", "--file=back", name).returncode == 0
            with open(os.path.join(directory, "back"), "rb") as file:
                assert file.read() == data
        if shutil.which("memcdump"):
            dump = run("dump")
            assert dump.returncode == 0, dump
            assert sorted(dump.stdout.split()) == [b"large", b"small"], dump
        assert run("touch", "--expire=100", "small").returncode == 0
        assert run("ping").returncode == 0 and b"1.6.18" in run("stat").stdout
        assert run("rm", "small").returncode == 0 and run("exist", "small").returncode != 0
        assert run("flush").returncode == 0 and run("exist", "large").returncode != 0
        slap = ["memcaslap", "-s", f"127.0.0.1:{server.port}", "-T", "1", "-c", "8", "-x", "2000",
                "-v", "1"]
        done = subprocess.run(slap, capture_output=True, check=False)
        assert done.returncode == 0 and b"verify_failed: 0" in done.stdout, done
    shutil.rmtree(directory)
    return 0


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
    sys.exit({"memccapable": memccapable, "libmemcached": libmemcached,
              "pymemcache": pymemcache}[sys.argv[2]](sys.argv[1]))
