#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sinterd as a service: its unit, its binary, and the rule of MemoryMax in a memory cgroup.

    service.py unit SINTERD UNIT
    service.py binary SINTERD
    service.py cgroup SINTERD SERVER_LOAD

Exit status 77: what it needs is not there; it says what.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import servers

MIB = 1 << 20


def skip(why):
    print(why)
    return 77


def unit(sinterd, path):
    """systemd finds nothing to say about it, and MemoryMax is what the rule gives."""
    if not shutil.which("systemd-analyze"):
        return skip("systemd-analyze is not installed (Debian: systemd)")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    memory, connections = (int(re.search(rf"^ExecStart=.* -{option} (\d+)", text, re.M).group(1))
                           for option in "mc")
    most = int(re.search(r"^MemoryMax=(\d+)M$", text, re.M).group(1))
    assert 0 <= most - memory_max(memory, connections) < 10, (memory, connections, most)
    directory = tempfile.mkdtemp()
    copy = os.path.join(directory, "sinterd.service")
    with open(copy, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^ExecStart=\S+", "ExecStart=" + os.path.abspath(sinterd), text,
                          flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True,
                          text=True)
    shutil.rmtree(directory)
    assert done.returncode == 0 and not (done.stdout + done.stderr).strip(), done
    options = re.search(r"^ExecStart=\S+ (.*)$", text, re.M).group(1).split()
    help_text = subprocess.run([sinterd, "-h"], capture_output=True, text=True).stdout
    for option in options:
        assert not option.startswith("-") or f"  {option}, " in help_text, option
    return 0


def binary(sinterd):
    """Marks of control flow protection are asked for, but a whole program has them only where the
    C library's own start files do: Debian's do not."""
    if not shutil.which("hardening-check"):
        return skip("hardening-check is not installed (Debian: devscripts)")
    done = subprocess.run(["hardening-check", "--nocfprotection", sinterd], capture_output=True,
                          text=True)
    print(done.stdout, end="")
    assert done.returncode == 0, done
    headers = subprocess.run(["readelf", "-lW", sinterd], capture_output=True, text=True,
                             check=True).stdout
    stack = re.search(r"GNU_STACK.*", headers).group(0)
    assert "RWE" not in stack, stack
    return 0


# ---- a memory cgroup -----------------------------------------------------------------------------

def memory_max(mib, busy_connections):
    """The rule of src/server/README.md, in MiB."""
    return int(mib * 1.03 + 8 + busy_connections / 16 + 0.999)


class Cgroup:
    """Of version 2 or 1, whichever has a memory controller here and lets us."""

    def __init__(self, root, version, limit):
        self.path, self.version = os.path.join(root, f"sinterd-test.{os.getpid()}"), version
        os.mkdir(self.path)
        try:
            self.write({2: "memory.max", 1: "memory.limit_in_bytes"}[version], limit)
        except OSError:
            os.rmdir(self.path)
            raise

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def peak(self):
        name = {2: "memory.peak", 1: "memory.max_usage_in_bytes"}[self.version]
        try:
            return int(self.read(name))
        except OSError:
            return 0

    def kills(self):
        text = self.read({2: "memory.events", 1: "memory.oom_control"}[self.version])
        found = re.search(r"^oom_kill (\d+)", text, re.M)
        return int(found.group(1)) if found else 0

    def close(self):
        os.rmdir(self.path)


def make_cgroup(limit):
    """None, and why not."""
    reasons = []
    for root, version in (("/sys/fs/cgroup", 2), ("/sys/fs/cgroup/unified", 2),
                          ("/sys/fs/cgroup/memory", 1)):
        try:
            if version == 2:
                with open(root + "/cgroup.subtree_control", encoding="ascii") as file:
                    if "memory" not in file.read():
                        raise OSError("no memory controller for its children")
            return Cgroup(root, version, limit), None
        except OSError as error:
            reasons.append(f"{root}: {error}")
    return None, "; ".join(reasons)


def begin_in(group, directory, sinterd, arguments):
    """A shell enters the group, and becomes the server there."""
    wrapper = os.path.join(directory, "start")
    with open(wrapper, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\necho $$ > {group.path}/cgroup.procs\nexec {sinterd} \"$@\"\n")
    os.chmod(wrapper, 0o700)
    return servers.Server(wrapper, *arguments)


def shift_and_dump(server, load, dump):
    """Sizes shift at the limit, values up to 40,000 bytes; dumps are written meanwhile."""
    process = subprocess.Popen(
        [load, "--unix", server.path, "--requests", "60000", "--range-requests", "12000", "--keys",
         "60000", "--connections", "16", "--slow", "4", "--pid", str(server.process.pid)])
    while process.poll() is None:
        server.process.send_signal(servers.signal.SIGUSR1)
        servers.time.sleep(0.1)
    assert process.returncode == 0 and server.process.poll() is None, process.returncode
    for _ in range(6000):
        if os.path.exists(dump) and server.stats(b"sinter")["dump_running"] == "0":
            return
        servers.time.sleep(0.01)
    raise AssertionError("no dump")


def cgroup(sinterd, load):
    mib, busy = 32, 2 * 16
    limit = memory_max(mib, busy) * MIB
    group, why = make_cgroup(limit)
    if not group:
        return skip("no memory cgroup can be made: " + why)
    directory = tempfile.mkdtemp()
    dump = os.path.join(directory, "dump")
    try:
        arguments = ["-m", str(mib), "-t", "2", "-e", dump]
        server = begin_in(group, directory, sinterd, arguments)
        try:
            assert str(server.process.pid) in group.read("cgroup.procs").split()
            shift_and_dump(server, load, dump)
        finally:
            status = server.close()
        assert status == 0, status
        print(f"cgroup of version {group.version}: limit {limit / MIB:.0f} MiB, "
              f"highest {group.peak() / MIB:.1f}, killed {group.kills()}")
        assert group.kills() == 0
        with begin_in(group, directory, sinterd, arguments) as server:
            assert int(server.stats(b"sinter")["dump_loaded"]) > 0
        assert group.kills() == 0
    finally:
        for _ in range(100):
            try:
                group.close()
                break
            except OSError:  # the last process is still leaving
                servers.time.sleep(0.05)
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit({"unit": unit, "binary": binary, "cgroup": cgroup}[sys.argv[1]](*sys.argv[2:]))
