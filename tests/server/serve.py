#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What sinterd does as a process: options, sockets, connections that misbehave, its end.

    serve.py SINTERD [GROUP|TEST...]
"""
import os
import socket
import stat
import subprocess
import sys

import servers

SINTERD = sys.argv[1]
with open(SINTERD, "rb") as program:  # its sanitizer's memory counts, so that little stays cached
    SANITIZED = b"__tsan_init" in program.read()
SERVED = b"set a 0 0 1\r\nx\r\nget a\r\n"
ANSWER = b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n"


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


def bad_options_get_one_line():
    for arguments in ("-m x", "-m 0", "-m 99%", "-m -1", "-m", "-t 0", "-t 65", "-c 0", "-p 70000",
                      "-I 1", "-I 2000m", "-a 999", "-a x", "-b 0", "-M", "-S", "-Z", "-B binary",
                      "--nothing", "-z", "word", "-o idle_timeout", "-o idle_timeout=x",
                      "-o stall_timeout=0", "-o metrics=x", "-s ",
                      "-m 16 -I 512m", "-l 256.256.256.256", "-l []:1", "-Y /nonexistent",
                      "-s /nonexistent/socket", "-s " + "x" * 200, "-u nobody-of-this-name",
                      "-l " + ",".join(["127.0.0.1"] * 17)):
        words = arguments.split(" ")
        user = ["-u", "root"] if os.geteuid() == 0 and "-u" not in words else []
        if "-l" not in words and "-s" not in words:
            user += ["-p", "0"]
        done = subprocess.run([SINTERD, *user, *words], capture_output=True, text=True, timeout=300)
        check(done.returncode in (64, 71), arguments, done)
        lines = [line for line in done.stderr.splitlines() if "port" not in line]
        check(len(lines) == 1 and lines[0].startswith("sinterd: "), arguments, done.stderr)
        if len(words) == 2 and words[0] in ("-m", "-I"):
            check(lines[0].startswith(f"sinterd: {arguments}: "), arguments, done.stderr)


def texts():
    done = subprocess.run([SINTERD, "-h"], capture_output=True, text=True)
    check(done.returncode == 0 and done.stdout.startswith("usage: sinterd"), done)
    done = subprocess.run([SINTERD, "--version"], capture_output=True, text=True)
    check(done.returncode == 0 and done.stdout.startswith("sinterd "), done)


def odd_options_are_told():
    with servers.Server(SINTERD, "-m", "1", "-U", "11211", "-o", "modern,hashpower=20",
                        "-C", "-k", "-L", "-R", "20", "-f", "1.25", "-n", "48") as server:
        lines = server.error_text().splitlines()
        check(len(lines) == 4, lines)
        check(server.talk(SERVED) == ANSWER)


def it_ends_cleanly():
    for tcp in (False, True):
        server = servers.Server(SINTERD, "-t", "2", tcp=tcp)
        path = server.path
        check(server.talk(SERVED) == ANSWER)
        waiting = server.connect()
        waiting.sendall(b"set b 0 0 5\r\nab")
        check(server.close() == 0)
        check(waiting.recv(10) == b"" and not os.path.exists(path))


def a_left_socket_is_replaced_and_a_used_one_is_not():
    with servers.Server(SINTERD, "-a", "720") as server:
        check(stat.S_IMODE(os.stat(server.path).st_mode) == 0o720)
        again = subprocess.run([SINTERD, "-u", "root", "-s", server.path], capture_output=True)
        check(again.returncode == 71 and server.talk(SERVED) == ANSWER)
    directory = servers.tempfile.mkdtemp()
    left = os.path.join(directory, "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(left)
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen([SINTERD, "-s", left, *user])
    for _ in range(6000):
        with socket.socket(socket.AF_UNIX) as probe:
            if os.path.exists(left) and probe.connect_ex(left) == 0:
                break
        servers.time.sleep(0.01)
    process.terminate()
    check(process.wait(120) == 0)
    os.rmdir(directory)


def loopback_is_the_default():
    user = ["-u", "root"] if os.geteuid() == 0 else []
    process = subprocess.Popen([SINTERD, "-p", "0", *user], stderr=subprocess.PIPE, text=True)
    port = int(process.stderr.readline().split()[-1])
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as rows:
            for row in list(rows)[1:]:
                address, state = row.split()[1], row.split()[3]
                if state == "0A" and int(address.split(":")[1], 16) == port:
                    listening.add(address.split(":")[0])
    process.terminate()
    check(process.wait(120) == 0)
    check(listening <= {"0100007F", "0" * 24 + "01000000"} and "0100007F" in listening, listening)


def a_unix_socket_is_the_users():
    """Seen failing: root's, whom it says nothing that -u has dropped it."""
    import pwd
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam("nobody")
    directory = servers.tempfile.mkdtemp()
    os.chown(directory, user.pw_uid, user.pw_gid)
    path = os.path.join(directory, "socket")
    process = subprocess.Popen([SINTERD, "-u", "nobody", "-s", path, "-a", "700"])
    for _ in range(6000):
        with socket.socket(socket.AF_UNIX) as probe:
            if os.path.exists(path) and probe.connect_ex(path) == 0 and is_served(probe):
                break
        servers.time.sleep(0.01)
    status = os.stat(path)
    process.terminate()
    check(status.st_uid == user.pw_uid and stat.S_IMODE(status.st_mode) == 0o700, status)
    check(process.wait(120) == 0 and not os.path.exists(path))
    os.rmdir(directory)


def timer_of(port, peer):
    with open("/proc/net/tcp", encoding="ascii") as rows:
        for row in list(rows)[1:]:
            words = row.split()
            if [int(words[i].split(":")[1], 16) for i in (1, 2)] == [port, peer]:
                return words[5][:2]
    return None


def what_the_kernel_is_told():
    """Huge pages are off, and clients that are gone are noticed. Seen failing: neither."""
    with servers.Server(SINTERD, "-t", "1", tcp=True) as server:
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            words = [line.split()[1] for line in status if line.startswith("THP_enabled")]
        check(words in ([], ["0"]), words)
        with server.connect() as connection:
            check(is_served(connection))
            for _ in range(6000):
                timer = timer_of(server.port, connection.getsockname()[1])
                if timer != "01":  # until what was sent is acknowledged
                    break
                servers.time.sleep(0.01)
            check(timer == "02", timer)  # of keepalive


def memory_that_is_not_there_is_not_promised():
    """Seen failing: OK."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    with servers.Server(SINTERD, "-t", "1", "-m", "1048576") as server:
        given = int(server.stats(b"sinter")["memory_limit"])
        check(given <= there and "too much" in server.error_text(), given, there)
        most = given >> 20
        for mib in (999999999, 1 << 20, there >> 20):
            answer = server.talk(b"cache_memlimit %d\r\n" % mib)
            check(answer.startswith(b"MEMLIMIT_ADJUST_FAILED"), mib, answer)
        check(server.talk(b"cache_memlimit 100\r\n") == b"OK\r\n" and most > 100)
        check(int(server.stats(b"sinter")["memory_limit"]) == 100 << 20)


def is_served(connection):
    try:
        connection.sendall(b"mn\r\n")
        return connection.recv(100) == b"MN\r\n"
    except (BrokenPipeError, ConnectionResetError):
        return False


def connect_until_served(server):
    """A place is free once a worker has seen that another connection is closed."""
    for _ in range(6000):
        connection = server.connect()
        if is_served(connection):
            return connection
        connection.close()
        servers.time.sleep(0.01)
    raise AssertionError("no place was given back")


def too_many_connections_are_told():
    with servers.Server(SINTERD, "-c", "5") as server:
        held = [connect_until_served(server) for _ in range(5)]
        check(server.talk(b"") == b"ERROR Too many open connections\r\n")
        held.pop().close()
        connect_until_served(server).close()


def descriptors_run_out():
    """Connections wait until there is one."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with servers.Server(SINTERD, "-t", "1", "-c", "100") as server:
        files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (files + 2, hard))
        held = [connect_until_served(server) for _ in range(2)]
        late = server.connect()
        late.sendall(b"mn\r\n")
        held.pop().close()
        check(late.recv(10) == b"MN\r\n")
        late.sendall(b"stats\r\n")
        text = b""
        while not text.endswith(b"END\r\n"):
            text += late.recv(65536)
        check(b"STAT accepting_conns " in text and soft)


def idle_connections_hold_nothing():
    with servers.Server(SINTERD, "-t", "1") as server:
        before = int(server.stats(b"sinter")["buffers"])
        held = [server.connect() for _ in range(200)]
        for connection in held:
            connection.sendall(b"set a 0 0 1000\r\n" + b"x" * 1000 + b"\r\nget a\r\n")
            text = b""
            while not text.endswith(b"END\r\n"):
                text += connection.recv(65536)
        after = int(server.stats(b"sinter")["buffers"])
        check(after - before < 200 * 1024, before, after)
        for connection in held:
            connection.close()


def half_requests_are_charged_by_what_came():
    """A length that is promised takes no memory."""
    with servers.Server(SINTERD, "-t", "1", "-m", "64") as server:
        held = [server.connect() for _ in range(100)]
        for connection in held:
            connection.sendall(b"set a 0 0 1000000\r\n" + b"x" * 100)
        check(server.talk(SERVED) == ANSWER)
        check(int(server.stats(b"sinter")["buffers"]) < 1 << 20)
        check(int(server.stats(b"sinter")["resident"]) < 32 << 20 or servers.is_sanitized())
        for connection in held:
            connection.close()


class Client:
    """Sends its request and reads what is answered, at most so many bytes at a time."""

    def __init__(self, server, request, answers, piece=1 << 20):
        self.connection = server.connect()
        self.connection.setblocking(False)
        self.left, self.answer, self.end, self.piece = request, b"", answers, piece

    def fileno(self):
        return self.connection.fileno()

    def is_answered(self):
        """All of it is there; it may not be closed before."""
        return len(self.answer) >= self.end

    def send(self):
        self.left = self.left[self.connection.send(self.left[:self.piece]):]

    def receive(self):
        some = self.connection.recv(self.piece)
        check(some, "closed", len(self.answer), self.end)
        self.answer += some


def turn(clients):
    """One piece of each client that can go on."""
    readable, writable, _ = servers.select.select(
        clients, [client for client in clients if client.left], [], servers.HANGS_SECONDS)
    check(readable or writable, [len(client.answer) for client in clients])
    for client in writable:
        client.send()
    for client in readable:
        client.receive()


def carry_on(clients):
    while waiting := [client for client in clients if not client.is_answered()]:
        turn(waiting)


def check_nobody_was_parted_with(server):
    stats = server.stats()
    check(stats["slow_kicks"] == "0", stats)


def check_somebody_waited(server):
    stats = server.stats()
    check(int(stats["buffer_waits"]) > 0, stats)


def upload(server, name, size, piece=1 << 20):
    return Client(server, b"set %s 0 0 %d\r\n%s\r\n" % (name, size, b"v" * size),
                  len(b"STORED\r\n"), piece)


PATIENT = ("-m", "64", "-o", "stall_timeout=86400")


def large_uploads_go_on_when_buffers_are_short():
    """More than the pool has, at a time: each waits, all are done."""
    if SANITIZED:
        return
    value = b"v" * 1000000
    with servers.Server(SINTERD, "-t", "2", *PATIENT) as server:
        clients = []
        for i in range(12):
            answer = b"STORED\r\nVALUE a%d 0 1000000\r\n" % i + value + b"\r\nEND\r\n"
            clients.append((Client(server, b"set a%d 0 0 1000000\r\n" % i + value +
                                   b"\r\nget a%d\r\n" % i, len(answer), 10000), answer))
        carry_on([client for client, _ in clients])
        check(all(client.answer == answer for client, answer in clients))
        check_nobody_was_parted_with(server)
        check_somebody_waited(server)


def slow_connections_are_waited_for():
    """Half of them ask for much and take little, more than the buffers hold; all get all. Seen
    failing: 42 of 96 were closed."""
    count, size, times = 96, 20000, 16
    answer = b"VALUE a 0 %d\r\n%s\r\nEND\r\n" % (size, b"v" * size)
    with servers.Server(SINTERD, "-t", "2", *PATIENT) as server:
        server.talk(b"set a 0 0 %d\r\n%s\r\n" % (size, b"v" * size))
        clients = [Client(server, b"get a\r\n" * times, times * len(answer),
                          8000 if i % 2 else 1 << 20) for i in range(count)]
        for client in clients:  # before the first of them reads
            client.send()
        carry_on(clients)
        check(all(client.answer == answer * times for client in clients))
        check_nobody_was_parted_with(server)


def an_upload_is_done_beside_many():
    """Who began is served before who comes anew, so that it is not for ever among those that wait.
    Seen failing: closed."""
    with servers.Server(SINTERD, "-t", "1", *PATIENT) as server:
        others = [upload(server, b"b%d" % i, 900000) for i in range(60)]
        one, ended = upload(server, b"a", 900000, 100000), 0
        while not one.is_answered():
            turn([one, *others])
            for i, client in enumerate(others):
                if client.is_answered():
                    client.connection.close()
                    ended += 1
                    others[i] = upload(server, b"b%d" % i, 900000)
            check(ended < 200, ended)
        check(one.answer == b"STORED\r\n")
        check_nobody_was_parted_with(server)
        check_somebody_waited(server)


def check_buffers(server):
    """Within the pools, but for what one connection may have beyond: a value, and what it appends
    to."""
    stats = server.stats(b"sinter")
    check(int(stats["buffers"]) <= int(stats["buffers_limit"]) + (2 << 20), stats["buffers"])


def silent_connections_make_way():
    """More than the pools have, by clients that send nothing more, and that do not read: whom it
    parts with is told in slow_kicks, and others are served. Seen failing: a get was closed."""
    with servers.Server(SINTERD, "-t", "2", "-m", "64", "-o", "stall_timeout=1") as server:
        server.talk(b"set big 0 0 60000\r\n" + b"v" * 60000 + b"\r\n")
        silent = [server.connect() for _ in range(700)]
        for i, connection in enumerate(silent):
            connection.setblocking(False)
            request = b"get big\r\n" * 100 if i % 10 == 0 else b"set x 0 0 900000\r\n" + b"x" * 3900
            check(connection.send(request) == len(request))
            if i % 100 == 99:
                check_buffers(server)
        check(server.talk(b"get big\r\n").count(b"v") == 60000)
        value = b"u" * 900000
        check(server.talk(b"set up 0 0 900000\r\n" + value + b"\r\nget up\r\n") ==
              b"STORED\r\nVALUE up 0 900000\r\n" + value + b"\r\nEND\r\n")
        check_buffers(server)
        check(int(server.stats()["slow_kicks"]) > 0)
        for connection in silent:
            connection.close()


def slow_readers_are_waited_for():
    """Replies of 60 MB that are read late, and as fast as one likes: all of them come."""
    with servers.Server(SINTERD, "-t", "1", "-m", "64") as server:
        server.talk(b"set a 0 0 200000\r\n" + b"v" * 200000 + b"\r\n")
        with server.connect() as slow:
            slow.sendall(b"get" + b" a" * 300 + b"\r\n")
            check(server.talk(SERVED.replace(b" a", b" b")) == ANSWER.replace(b" a", b" b"))
            check(int(server.stats(b"sinter")["buffers"]) < 4 << 20)
            size = 300 * (len(b"VALUE a 0 200000\r\n") + 200002) + 5
            while size > 0:
                some = slow.recv(min(size, 1 << 20))
                check(some)
                size -= len(some)


def clients_die_anywhere():
    with servers.Server(SINTERD, "-t", "2", "-m", "64") as server:
        requests = b"set a 0 0 100000\r\n" + b"v" * 100000 + b"\r\nget a a a a a a a a\r\nmn\r\n"
        for i in range(0, len(requests), 3001):
            with server.connect() as connection:
                connection.sendall(requests[:i])
        check(server.talk(SERVED) == ANSWER)
        for _ in range(6000):  # until the workers have seen it
            if server.stats()["curr_connections"] == "1":
                return
        raise AssertionError("connections stay")


def a_pipeline_is_answered_in_order():
    with servers.Server(SINTERD, "-t", "1") as server:
        count = 50000
        request = b"".join(b"set k%d 0 0 5\r\n%05d\r\nget k%d\r\n" % (i, i, i)
                           for i in range(count))
        answer = b"".join(b"STORED\r\nVALUE k%d 0 5\r\n%05d\r\nEND\r\n" % (i, i)
                          for i in range(count))
        check(server.talk(request) == answer)


def shutdown_is_a_command_if_allowed():
    server = servers.Server(SINTERD, "-A")
    check(server.talk(b"shutdown\r\n") == b"")
    check(server.process.wait(120) == 0 and server.close() == 0)
    with servers.Server(SINTERD, "-F") as server:
        check(server.talk(b"flush_all\r\n") == b"CLIENT_ERROR flush_all not allowed\r\n")


def dumping_is_a_command_unless_refused():
    with servers.Server(SINTERD) as server:
        check(server.talk(b"stats cachedump 1 0\r\n") == b"END\r\n")
    with servers.Server(SINTERD, "-X") as server:
        check(server.talk(b"stats cachedump 1 0\r\n") ==
              b"CLIENT_ERROR stats cachedump not allowed\r\n")


def flush_comes_when_it_is_due():
    with servers.Server(SINTERD) as server:
        check(server.talk(SERVED + b"flush_all 1\r\n") == ANSWER + b"OK\r\n")
        for _ in range(6000):
            if server.talk(b"get a\r\n") == b"END\r\n":
                return
            servers.time.sleep(0.01)
        raise AssertionError("it never came")


def the_exporter_finds_its_fields():
    """What memcached_exporter reads."""
    general = """version uptime time pid get_hits get_misses delete_hits delete_misses incr_hits
        incr_misses decr_hits decr_misses cas_hits cas_misses touch_hits touch_misses cas_badval
        cmd_get cmd_flush cmd_set cmd_touch rusage_user rusage_system bytes limit_maxbytes
        curr_items total_items bytes_read bytes_written curr_connections total_connections
        rejected_connections max_connections conn_yields listen_disabled_num evictions reclaimed
        store_too_large store_no_memory lru_crawler_starts direct_reclaims crawler_items_checked
        crawler_reclaimed moves_to_cold moves_to_warm moves_within_lru accepting_conns threads
        """.split()
    items = """number age mem_requested evicted evicted_time evicted_nonzero outofmemory
        tailrepairs reclaimed expired_unfetched evicted_unfetched evicted_active crawler_reclaimed
        crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru
        direct_reclaims hits_to_hot hits_to_warm hits_to_cold hits_to_temp number_hot number_warm
        number_cold age_hot age_warm""".split()
    slabs = """chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks
        free_chunks_end mem_requested cmd_set get_hits delete_hits incr_hits decr_hits cas_hits
        touch_hits cas_badval""".split()
    settings = "maxconns lru_crawler lru_crawler_sleep lru_crawler_tocrawl".split()
    with servers.Server(SINTERD, "-t", "1") as server:
        server.talk(SERVED)
        stats = server.stats()
        check(not [name for name in general if name not in stats], stats)
        check(stats["get_hits"] == "1" and stats["cmd_set"] == "1" and stats["curr_items"] == "1")
        found = {name.split(":")[2] for name in server.stats(b"items")}
        check(found >= set(items), set(items) - found)
        slab_stats = server.stats(b"slabs")
        found = {name.split(":")[1] for name in slab_stats if ":" in name}
        check(found >= set(slabs), set(slabs) - found)
        check("total_malloced" in slab_stats and "active_slabs" in slab_stats)
        check(set(settings) <= set(server.stats(b"settings")))
        sinter = server.stats(b"sinter")
        check(int(sinter["memory_limit"]) == 64 << 20)
        check(int(sinter["sinter_cache_payload_bytes"]) == 3)
        check(len(server.stats(b"conns")) == 4)
        server.talk(b"stats reset\r\n")
        check(server.stats()["cmd_set"] == "0")


def scrape(server, request=b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n"):
    return server.talk(request)


def prometheus_is_answered_if_asked_for():
    """Text that promtool finds nothing wrong with, where it is installed; counters are the same as
    those of stats, and nobody else's request by HTTP is answered."""
    with servers.Server(SINTERD, "-t", "1", "-o", "metrics") as server:
        server.talk(SERVED)
        head, text = scrape(server).split(b"\r\n\r\n", 1)
        check(head.startswith(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain"), head)
        check(b'\nsinterd_stats_total{name="get_hits"} 1\n' in text, text)
        check(b"\nsinterd_memory_limit_bytes %d\n" % (64 << 20) in text, text)
        check(b"\nsinter_cache_items" in text and b"\nsinter_committed_bytes" in text)
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n",
                        b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 2000):
            check(scrape(server, request) == b"", request)
        if servers.shutil.which("promtool"):
            told = subprocess.run(["promtool", "check", "metrics"], input=text, timeout=300,
                                  capture_output=True, check=False)
            check(told.returncode == 0 and not told.stdout and not told.stderr, told)
    with servers.Server(SINTERD, "-t", "1") as server:
        check(scrape(server) == b"")


def fill(server, count):
    server.talk(b"".join(b"set k%d %d 0 5 noreply\r\n%05d\r\n" % (i, i, i) for i in range(count)) +
                b"set large 1 0 300000\r\n" + b"L" * 300000 + b"\r\nset short 0 1000 1\r\ns\r\n" +
                b"set over 0 1 1\r\no\r\nms YQ== 1 b\r\nb\r\nset empty 0 0 0\r\n\r\n")


def check_filled(server, count):
    for i in (0, 1, count // 2, count - 1):
        check(server.talk(b"get k%d\r\n" % i) == b"VALUE k%d %d 5\r\n%05d\r\nEND\r\n" % (i, i, i))
    check(server.talk(b"get large\r\n").count(b"L") == 300001)  # one is of VALUE
    left = server.talk(b"mg short t\r\n").decode().split()[1]
    check(0 < int(left[1:]) <= 1000, left)
    check(server.talk(b"mg YQ== b k v\r\n") == b"VA 1 kYQ== b\r\nb\r\n")
    check(server.talk(b"get empty\r\n") == b"VALUE empty 0 0\r\n\r\nEND\r\n")


def cas_of(server, key):
    return int(server.talk(b"gets " + key + b"\r\n").split()[4])


def dumped(path, count=5000):
    """A server that has items, ends, and its file."""
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        fill(server, count)
        return cas_of(server, b"empty")


def items_outlive_the_server():
    directory = servers.tempfile.mkdtemp()
    path = os.path.join(directory, "dump")
    count = 20000
    before = dumped(path, count)
    check(os.listdir(directory) == ["dump"] and stat.S_IMODE(os.stat(path).st_mode) == 0o600)
    servers.time.sleep(1.1)  # "over" is over, by the time of day
    with servers.Server(SINTERD, "-t", "2", "-m", "32", "-e", path) as server:
        check_filled(server, count)
        check(server.talk(b"get over\r\n") == b"END\r\n")
        check(cas_of(server, b"empty") > before)
        check(int(server.stats(b"sinter")["dump_loaded"]) == count + 4, server.stats(b"sinter"))
        server.talk(b"set k0 0 0 4 noreply\r\nnext\r\n")
        check(not os.path.exists(path))
        server.process.send_signal(servers.signal.SIGUSR1)
        for _ in range(6000):  # until it is there
            if os.path.exists(path):
                break
            check(server.talk(b"get k1\r\n").startswith(b"VALUE"))
        check(int(server.stats(b"sinter")["dump_items"]) == count + 4)
        server.process.kill()
        server.process.wait()
    with servers.Server(SINTERD, "-t", "2", "-e", path) as server:
        check(b"next" in server.talk(b"get k0\r\n"))
    servers.shutil.rmtree(directory)


def a_dump_is_used_once():
    """What was deleted must not come back after a crash. Seen failing: it did."""
    directory = servers.tempfile.mkdtemp()
    path = os.path.join(directory, "dump")
    dumped(path)
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        check(server.talk(b"delete k0\r\nget k1\r\n").startswith(b"DELETED\r\nVALUE k1"))
        server.process.kill()
        server.process.wait()
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        check(server.talk(b"get k0 k1\r\n") == b"END\r\n")
    servers.shutil.rmtree(directory)


def values_that_are_too_long_are_left_out():
    """Of a dump by a server that took longer ones. Seen failing: the length not looked at; as long
    as it is, kept; taken for damage."""
    directory = servers.tempfile.mkdtemp()
    path = os.path.join(directory, "dump")
    dumped(path, 100)
    with servers.Server(SINTERD, "-t", "1", "-e", path, "-I", "100k") as server:
        check(server.talk(b"get k1\r\nget large\r\nget empty\r\n") ==
              b"VALUE k1 1 5\r\n00001\r\nEND\r\nEND\r\nVALUE empty 0 0\r\n\r\nEND\r\n")
    servers.shutil.rmtree(directory)


def end_of_dump(text):
    """What cas numbers have to be above."""
    return int.from_bytes(text[-32:-24], "little")


def cas_numbers_do_not_come_again():
    """Nor those of items that have gone. Seen failing: 0 in the file."""
    directory = servers.tempfile.mkdtemp()
    path = os.path.join(directory, "dump")
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        server.talk(b"set a 0 0 1 noreply\r\nx\r\n" * 100000)
        last = cas_of(server, b"a")
        server.talk(b"flush_all\r\n")
        server.process.send_signal(servers.signal.SIGUSR1)
        for _ in range(6000):
            if os.path.exists(path):
                break
            servers.time.sleep(0.01)
        with open(path, "rb") as file:
            check(end_of_dump(file.read()) >= last + (1 << 38))  # many may be written after it
    with open(path, "rb") as file:
        check(last <= end_of_dump(file.read()) < last + 1000)
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        server.talk(SERVED)
        check(cas_of(server, b"a") > last)
    servers.shutil.rmtree(directory)


def sum_of_dump(text):
    total = 0xcbf29ce484222325
    for byte in text:
        total = (total ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return total.to_bytes(8, "little")


def a_clock_that_was_set_back_keeps_nothing_longer():
    """A dump of an hour later. Seen failing: an hour more to live."""
    directory = servers.tempfile.mkdtemp()
    path = os.path.join(directory, "dump")
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        server.talk(b"set a 0 1000 1 noreply\r\nx\r\n")
    with open(path, "rb") as file:
        text = file.read()[:-8]
    for at in (16, 24):  # the head's time, and when the item expires
        later = int.from_bytes(text[at:at + 8], "little") + 3600000
        text = text[:at] + later.to_bytes(8, "little") + text[at + 8:]
    with open(path, "wb") as file:
        file.write(text + sum_of_dump(text))
    with servers.Server(SINTERD, "-t", "1", "-e", path) as server:
        answer = server.talk(b"mg a t\r\n")
        check(answer.startswith(b"HD t") and 0 < int(answer[4:]) <= 1000, answer,
              server.error_text())
    servers.shutil.rmtree(directory)


def nobody_is_accepted_beside_the_last_dump():
    """Who connects then would be lost. Seen failing: accepted."""
    directory = servers.tempfile.mkdtemp()
    path = os.path.join(directory, "dump")
    server = servers.Server(SINTERD, "-t", "1", "-m", "64", "-e", path)
    server.talk(b"".join(b"set k%d 0 0 1 noreply\r\nx\r\n" % i for i in range(100000)))
    server.process.send_signal(servers.signal.SIGTERM)
    while not os.path.exists(path + ".new") and server.process.poll() is None:
        pass
    with socket.socket(socket.AF_UNIX) as late:
        check(late.connect_ex(server.path) != 0)
    check(server.close() == 0 and os.path.exists(path))
    servers.shutil.rmtree(directory)


def damaged_dumps_are_refused():
    directory = servers.tempfile.mkdtemp()
    path, bad = os.path.join(directory, "dump"), os.path.join(directory, "bad")
    dumped(path)
    with open(path, "rb") as file:
        good = file.read()
    cases = [(good[:size], "cut") for size in (0, 7, 31, 32, 40)]
    cases += [(good[:size], "") for size in (1000, len(good) - 9, len(good) - 8, len(good) - 1)]
    cases += [(good[:at] + bytes([good[at] ^ 64]) + good[at + 1:], "")
              for at in (0, 8, 12, 32, 40, 48, 52, 60, len(good) // 2, len(good) - 30,
                         len(good) - 1)]
    cases += [(good + b"x", ""), (b"junk" * 1000, "no dump"),
              (good[:8] + b"\1" + good[9:], "another version")]
    for text, why in cases:
        with open(bad, "wb") as file:
            file.write(text)
        with servers.Server(SINTERD, "-t", "1", "-e", bad) as server:
            lines = server.error_text().splitlines()
            check(len(lines) == 1 and "nothing is taken from" in lines[0] and why in lines[0],
                  lines, why, len(text))
            check(server.stats()["curr_items"] == "0")
    servers.shutil.rmtree(directory)


def a_dump_that_fails_loses_itself_only():
    with servers.Server(SINTERD, "-t", "1", "-e", "/nonexistent/dump") as server:
        check(server.talk(SERVED) == ANSWER)
        server.process.send_signal(servers.signal.SIGUSR1)
        for _ in range(6000):
            if server.stats(b"sinter")["dump_failed"] == "1":
                break
        check(server.talk(b"get a\r\n") == ANSWER[8:] and "no dump to" in server.error_text())


def memory_stays_below_the_limit():
    """Sizes shift at 24 MiB; the process's resident memory is looked at after each piece."""
    if servers.is_sanitized():
        return
    limit = 24 << 20
    with servers.Server(SINTERD, "-t", "2", "-m", "24") as server:
        statm = f"/proc/{server.process.pid}/statm"
        worst = number = 0
        for low, high in ((240, 256), (272, 288), (16, 64), (640, 640), (20000, 90000)):
            written = 0
            while written < 28 << 20:
                pieces, bytes_of_pieces = [], 0
                while bytes_of_pieces < 2 << 20:
                    size = low + number * 7919 % (high - low + 1)
                    pieces.append(b"set key:%d 0 0 %d noreply\r\n%s\r\n" %
                                  (number, size, b"v" * size))
                    bytes_of_pieces += len(pieces[-1])
                    number += 1
                written += bytes_of_pieces
                check(server.talk(b"".join(pieces)) == b"")
                with open(statm, encoding="ascii") as figures:
                    worst = max(worst, int(figures.read().split()[1]) * 4096)
            check(worst <= limit, worst, limit, server.stats(b"sinter"))
        check(server.stats()["store_no_memory"] == "0", server.stats())


GROUPS = {
    "options": (texts, bad_options_get_one_line, odd_options_are_told, it_ends_cleanly,
                a_left_socket_is_replaced_and_a_used_one_is_not, loopback_is_the_default,
                a_unix_socket_is_the_users, what_the_kernel_is_told,
                memory_that_is_not_there_is_not_promised,
                shutdown_is_a_command_if_allowed, dumping_is_a_command_unless_refused,
                flush_comes_when_it_is_due,
                the_exporter_finds_its_fields, prometheus_is_answered_if_asked_for),
    "connections": (too_many_connections_are_told, descriptors_run_out,
                    idle_connections_hold_nothing, half_requests_are_charged_by_what_came,
                    large_uploads_go_on_when_buffers_are_short, silent_connections_make_way,
                    slow_connections_are_waited_for, an_upload_is_done_beside_many,
                    slow_readers_are_waited_for,
                    clients_die_anywhere, a_pipeline_is_answered_in_order,
                    memory_stays_below_the_limit),
    "restart": (items_outlive_the_server, a_dump_is_used_once,
                values_that_are_too_long_are_left_out, cas_numbers_do_not_come_again,
                a_clock_that_was_set_back_keeps_nothing_longer,
                nobody_is_accepted_beside_the_last_dump, damaged_dumps_are_refused,
                a_dump_that_fails_loses_itself_only),
}


def main():
    wanted = sys.argv[2:] or list(GROUPS)
    for name, group in GROUPS.items():
        for test in group:
            if name in wanted or test.__name__ in wanted:
                begin = servers.time.monotonic()
                test()
                print(f"{test.__name__}: {servers.time.monotonic() - begin:.2f} s", flush=True)


if __name__ == "__main__":
    main()
