#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends the same bytes to memcached and to sinterd, and compares what they answer, byte for byte.
cas numbers are compared by where they stand, not by value.

    compare.py SINTERD MEMCACHED

Exit status 0: the same everywhere; 1: not; 77: memcached is not there, or another version.
"""
import re
import subprocess
import sys

import servers

VERSION = "1.6.18"  # whose answers are meant
K250 = "k" * 250
K251 = "k" * 251

# Not here, since memcached's answers are no model: a get with a key that is too long takes replies
# of the requests before it away; "lru_crawler enable" fails when it is enabled; a get of one
# endless word is waited for. And -I: here it is the longest value, there what memcached adds is in
# it; lengths are well away from it.
#
# Each line is a conversation on a connection of its own, after a flush_all; \r\n stands behind each
# of its strings. A value stands as a string of its own.
TALKS = [
    # ---- lines
    [""], ["", ""], [" "], ["a"], ["x y z"], ["get"], ["get "], ["gets"], ["GET a"], ["get  a"],
    ["  get a"], ["get a "], ["get\ta"], ["getx a"], ["set"], ["xyzzy 1 2 3"],
    ["get a\0b", "get b"], ["\0get a"], ["set a 0 0 1\0 noreply", "x", "get a"],
    ["GET / HTTP/1.1", "version"], ["get / HTTP/1.1"], ["POST / HTTP/1.1", "mn"],
    ["version x"], ["quit"], ["quit x"], ["quit", "mn"], ["verbosity"], ["verbosity 1"],
    ["verbosity a"], ["verbosity 1 noreply"], ["verbosity 1 2 3"], ["mn"], ["mn x"], ["mx a"],
    ["m"], ["mm"], ["bget a"], ["bget"],
    ["a " * 30], ["get " + "a " * 30], ["incr a 1 " + "x " * 30],
    # ---- set and get
    ["set a 0 0 1", "x", "get a"], ["set a 0 0 0", "", "get a"], ["set a 5 0 3", "abc", "gets a"],
    ["set a 0 0 1 noreply", "x", "get a"], ["set a 0 0 1 quiet", "x", "get a"],
    ["set a 0 0", "x"], ["set a 0 0 1 noreply more", "x"],
    ["set a x 0 1", "y", "get a"], ["set a 0 x 1", "y", "get a"], ["set a 0 0 x", "y", "get a"],
    ["set a -1 0 1", "y", "get a"], ["set a 4294967295 0 1", "y", "get a"],
    ["set a 4294967296 0 1", "y", "get a"], ["set a 18446744073709551616 0 1", "y", "get a"],
    ["set a +1 0 1", "y", "get a"], ["set a \t1 0 1", "y", "get a"], ["set a 1x 0 1", "y", "get a"],
    ["set a 0 0 -1", "y", "get a"], ["set a 0 0 2147483647", "y", "get a"],
    ["set a 0 0 2147483646", "y", "get a"], ["set a 0 0 4294967297", "y", "get a"],
    ["set a 0 0 9223372036854775807", "y"], ["set a 0 0 9223372036854775808", "y"],
    ["set a 0 0 99999999999999999999", "y"],
    ["set a 0 -1 1", "y", "get a"], ["set a 0 9223372036854775807 1", "y", "get a"],
    ["set a 0 0 3", "abcde", "get a"], ["set a 0 0 3", "a", "get a", "mn"],
    ["set a 0 0 3 noreply", "abcde", "get a"],
    ["set a 0 0 1", "x", "set a 0 0 3", "abcde", "get a"],
    ["set " + K250 + " 0 0 1", "x", "get " + K250], ["set " + K251 + " 0 0 1", "x"],
    ["get " + K251], ["get a " + K251 + " b"],
    ["delete " + K251], ["touch " + K251 + " 1"], ["incr " + K251 + " 1"],
    ["set a 0 0 1", "x", "set b 0 0 1", "y", "get a b c", "get c a a b"],
    ["set a 0 0 1", "x", "get " + "a " * 100],
    ["set a 0 0 1", "x", "get " + "b a " * 3000],
    ["set a 0 0 2000000", "x" * 2000000, "get a"],
    ["set a 0 0 1", "x", "set a 0 0 2000000", "x" * 2000000, "get a"],
    ["set a 0 0 1", "x", "add a 0 0 2000000", "x" * 2000000, "get a"],
    ["set a 0 0 2000000 noreply", "x" * 2000000, "get a"],
    ["set a 9 0 500000", "v" * 500000, "get a", "gets a"],
    ["set a 9 0 1000000", "v" * 1000000, "get a a b"],
    ["set a 0 0 70000", "v" * 70000, "append a 0 0 70000", "w" * 70000, "get a"],
    # ---- add, replace, append, prepend, cas
    ["add a 1 0 1", "x", "add a 2 0 1", "y", "get a"], ["replace a 0 0 1", "x", "get a"],
    ["set a 0 0 1", "x", "replace a 3 0 2", "yz", "get a"],
    ["append a 0 0 1", "x"], ["prepend a 0 0 1", "x"],
    ["set a 7 0 2", "bc", "append a 1 0 1", "d", "prepend a 2 0 1", "a", "get a"],
    ["set a 7 0 2", "bc", "append a 1 0 1 noreply", "d", "prepend a 2 0 1 noreply", "a", "get a"],
    ["cas a 0 0 1 1", "x"], ["cas a 0 0 1", "x"], ["cas a 0 0 1 x", "y"],
    ["set a 0 0 1", "x", "cas a 0 0 1 0", "y", "get a"],
    ["set a 0 0 1", "x", "cas a 0 0 1 99999999999", "y", "get a"],
    ["set a 0 0 1", "x", "cas a 0 0 1 -1", "y", "get a"],
    ["cas a 0 0 1 1 noreply", "x", "mn"], ["add", "replace a", "prepend a 0 0", "append"],
    ["set a 0 0 600000", "x" * 600000, "append a 0 0 600000", "y" * 600000, "mg a s"],
    ["set a 0 0 600000", "x" * 600000, "prepend a 0 0 600000", "y" * 600000, "get a"],
    ["ms a 600000", "x" * 600000, "ms a 600000 MA", "y" * 600000, "ms a 600000 MP k",
     "y" * 600000, "mg a s"],
    # ---- delete, incr, decr, touch
    ["delete a"], ["set a 0 0 1", "x", "delete a", "get a"], ["delete"], ["delete a 0"],
    ["delete a 1"], ["delete a noreply", "mn"], ["delete a 0 noreply", "mn"],
    ["delete a 0 1 noreply", "mn"], ["delete a 0 0", "mn"], ["set a 0 0 1", "x", "delete a 0"],
    ["incr a 1"], ["decr a 1"], ["incr a"], ["incr a x"], ["incr a -1"], ["incr a 1 noreply", "mn"],
    ["set a 0 0 1", "5", "incr a 1", "incr a 10", "get a"],
    ["set a 0 0 2", "10", "decr a 1", "get a", "decr a 100", "get a", "incr a 7", "get a"],
    ["set a 3 0 20", "18446744073709551615", "incr a 1", "get a", "incr a 2", "get a"],
    ["set a 0 0 20", "18446744073709551616", "incr a 1"],
    ["set a 0 0 1", "x", "incr a 1"], ["set a 0 0 2", "1x", "incr a 1"],
    ["set a 0 0 3", "1 x", "incr a 1", "get a"], ["set a 0 0 2", " 1", "incr a 1", "get a"],
    ["set a 0 0 2", "-1", "incr a 1", "get a"], ["set a 0 0 0", "", "incr a 1"],
    ["set a 0 0 1", "1", "incr a 99999999999999999999"], ["set a 0 0 1", "1", "incr a -1"],
    ["set a 0 0 1", "1", "incr a 18446744073709551615", "get a"],
    ["set a 0 0 1000", "1" + " " * 999, "incr a 1"],
    ["touch a 1"], ["touch a"], ["touch a x"], ["set a 0 0 1", "x", "touch a 0", "get a"],
    ["set a 0 0 1", "x", "touch a -1", "get a"], ["set a 0 0 1", "x", "touch a 100 noreply", "mn"],
    ["gat"], ["gat 0"], ["gat x a"], ["gat 100 a"], ["set a 0 0 1", "x", "gat 100 a b", "mg a t"],
    ["set a 0 0 1", "x", "gats 0 a a"], ["set a 0 0 1", "x", "gat -1 a", "get a"],
    ["gat 0 " + K251],
    # ---- expiry and flush
    ["set a 0 100 1", "x", "mg a t"], ["set a 0 2592001 1", "x", "get a"],
    ["set a 0 0 1", "x", "flush_all", "get a"], ["flush_all 0"], ["flush_all x"],
    ["flush_all noreply", "mn"], ["flush_all 0 noreply", "mn"], ["flush_all 1 2 3"],
    ["set a 0 0 1", "x", "flush_all -1", "get a"], ["set a 0 0 1", "x", "flush_all 1000", "get a"],
    ["flush_all 0"],
    # ---- mg
    ["mg"], ["mg a"], ["mg a v"], ["mg a s v q", "mn"], ["mg a q k Oabc", "mn"], ["mg a k Oabc"],
    ["set a 5 0 3", "abc", "mg a", "mg a v", "mg a s t f v", "mg a k Ox s", "mg a q v", "mg a q"],
    ["set a 5 0 3", "abc", "mg a c", "mg a v c", "mg a v v", "mg a ?", "mg a S", "mg a E1"],
    ["mg " + K251 + " v"], ["mg " + K250 + " k"], ["mg a O" + "x" * 31], ["mg a O" + "x" * 32],
    ["set a 0 0 1", "x", "mg a O" + "x" * 32], ["mg a " + "v " * 20],
    ["mg a s t f v k q c l h u N1 R1 T1 b O1 x y z w"],
    ["mg a T"], ["mg a Tx"], ["mg a N"], ["mg a Nx v"], ["mg a Rx"], ["mg a \x7f"], ["mg a v\0 k"],
    ["set a 0 0 1", "x", "mg a T30 t", "mg a t T60", "mg a t", "mg a T0 t", "mg a t"],
    ["mg a N30 v t", "mg a N30 v t", "mg a v", "get a"], ["mg a N0 t", "mg a t"],
    ["mg a N30 t v s k Oq f"],
    ["set a 0 100 1", "x", "mg a R30 v", "mg a R200 v", "mg a R200 v", "mg a v"],
    ["set a 0 0 1", "x", "mg a R200 v"],
    ["set a 0 0 1", "x", "md a I T30", "mg a v t", "mg a v", "mg a v"],
    ["ms YQ== 1 b", "x", "mg YQ== b v k", "get a", "mg a k v", "mg YQ= b", "mg !!!! b", "mg YQ b"],
    ["mg YQ== b k"], ["mg YWJj b k Ox q", "mn"], ["md YQ== b k"], ["ma YQ== b k"],
    ["set a 0 0 70000", "v" * 70000, "mg a v s", "mg a s"],
    # ---- ms
    ["ms"], ["ms a"], ["ms a x", "y"], ["ms a -1", "y"], ["ms a 1", "x", "mg a v"],
    ["ms a 1 T100 F5", "x", "mg a v t f"], ["ms a 1 q", "x", "mg a v"], ["ms a 1 k Oabc", "x"],
    ["ms a 1 c", "x"], ["ms a 1 c k Ox q", "x", "mn"], ["ms a 2 k", "x", "mn"],
    ["ms a 1 ME", "x", "ms a 1 ME", "y", "ms a 1 ME q k", "z", "mg a v"],
    ["ms a 1 MA", "x", "ms a 1 MP", "x", "ms a 1 MR", "x", "ms a 1 MR q", "x", "mn"],
    ["ms a 1 MS", "b", "ms a 1 MA", "c", "ms a 1 MP", "a", "mg a v", "ms a 1 MR F2", "z",
     "mg a v f"],
    ["ms a 1 MX", "x", "mn"], ["ms a 1 M", "x", "mn"], ["ms a 1 MSS", "x", "mn"],
    ["ms a 1 Fx", "x", "mn"], ["ms a 1 Tx", "x", "mn"], ["ms a 1 Cx", "x", "mn"],
    ["ms a 1 F1 F2", "x", "mn"], ["ms a 1 ?", "x", "mn"], ["ms a 1 O" + "x" * 40, "x", "mn"],
    ["ms a 1 O" + "x" * 40 + " MX", "x", "mn"],
    ["ms a 1 C1", "x"], ["set a 0 0 1", "x", "ms a 1 C99999999", "y", "ms a 1 C0", "y", "get a"],
    ["set a 0 0 1", "x", "ms a 1 C99999999 MA", "y", "get a"], ["ms a 1 C5 MA", "y"],
    ["set a 0 0 1", "x", "ms a 1 I C99999999 c", "y", "mg a v"],
    ["set a 0 0 1", "x", "ms a 1 I C1 c", "y", "mg a v"],
    ["ms a 2000000 k", "x" * 2000000, "mn"], ["ms " + K251 + " 1", "x", "mn"],
    ["ms a 3 q", "abcde", "mn"], ["ms a 0", "", "mg a v s"], ["ms a 2147483647", "x"],
    ["ms a 1 T-1", "x", "mg a v"], ["ms a 1 b", "x", "mn"], ["ms a S1", "x"],
    ["ms a 1 " + "O1 " * 20, "x"],
    # ---- md
    ["md"], ["md a"], ["md a q", "mn"], ["md a k Ox q"], ["set a 0 0 1", "x", "md a k Ox", "get a"],
    ["set a 0 0 1", "x", "md a q", "mg a"], ["set a 0 0 1", "x", "md a C99999999 k", "md a C0"],
    ["md a ?"], ["md a q q"], ["md a Cx"], ["md " + K251], ["md a O" + "x" * 40],
    ["set a 0 0 1", "x", "md a I", "mg a v t", "mg a v", "md a I q T30", "mg a v t"],
    ["md a I"], ["set a 0 0 1", "x", "md a I C99999999", "md a I C0", "mg a v"],
    # ---- ma
    ["ma"], ["ma a"], ["ma a q", "mn"], ["ma a k Ox v"], ["ma a N0 J13 v t", "ma a v t", "mg a v"],
    ["ma a N30 v t", "ma a t"], ["set a 0 0 2", "10", "ma a", "ma a v", "ma a D10 v", "ma a MD v"],
    ["set a 0 0 2", "10", "ma a MD D100 v", "ma a M+ v", "ma a M- v", "ma a MI v", "ma a q v"],
    ["set a 0 0 2", "10", "ma a MX"],
    ["set a 0 0 2", "10", "ma a Dx", "ma a Jx", "ma a M", "ma a ?"],
    ["set a 0 0 1", "x", "ma a"], ["set a 0 0 2", "10", "ma a T30 t v", "ma a t", "ma a c"],
    ["set a 0 0 2", "10", "ma a C99999999 k", "ma a C0 v"], ["ma a N0 q", "mn"], ["ma " + K251],
    # ---- me
    ["me"], ["me a"], ["me " + K251], ["me YQ== b"], ["me !! b"],
    ["set abc 0 0 1", "x", "me abc", "ms YQ== 1 b", "x", "me YQ== b", "me a"],
    ["set abc 5 100 10", "x" * 10, "me abc", "set abcdefghi 1 0 0", "",
     "me abcdefghi"],
    ["set a 0 0 3", "123", "incr a 1", "me a", "append a 0 0 2", "xx", "me a"],
    # ---- the server
    ["stats x"], ["stats reset"], ["stats detail"], ["stats detail on"], ["stats detail x"],
    ["stats sizes"], ["stats cachedump"], ["stats cachedump 1"], ["stats cachedump x 1"],
    ["stats cachedump 1 x"], ["stats cachedump -1 1"], ["stats cachedump 0 0"],
    ["stats cachedump 1 1 1 1"], ["stats cachedump 4294967296 1"], ["stats cachedump 300 1"],
    ["stats cachedump 64 1"], ["stats cachedump 63 1"],
    ["stats cachedump 1 0"], ["shutdown"], ["shutdown x"], ["slabs"], ["slabs automove 1"],
    ["slabs automove x"], ["slabs automove 3"], ["slabs automove"], ["slabs reassign 1"],
    ["slabs reassign x y"], ["lru"], ["lru tune"], ["lru tune 10 25 0.1 2.0"],
    ["lru tune 50 50 0.1 2.0"], ["lru mode flat"], ["lru mode segmented"], ["lru mode x"],
    ["lru temp_ttl 0"], ["lru temp_ttl x"], ["lru_crawler"],
    ["lru_crawler x"], ["lru_crawler sleep 100"], ["lru_crawler sleep 9999999"],
    ["lru_crawler tocrawl 0"], ["lru_crawler tocrawl x"],
    ["cache_memlimit"], ["cache_memlimit x"], ["cache_memlimit 1"], ["cache_memlimit 64"],
    ["cache_memlimit 4000000000"], ["cache_memlimit 64 noreply", "mn"],
]

# Without an end: what they are answered, or that they are closed.
RAW = [
    b"x" * 2049, b"x" * 5000, b"set a 0 0 1\nx\r\n", b"get a\nget b\n", b"set a 0 0 2\r\na",
    b"set a 0 0 1\r\nx\r", b"get a", b"\r", b"\n", b"\n\n", b" \n", b"\r\n\r\r\n",
    b"set a 0 0 1\r\nx\nget a\r\n", b"set a 0 0 1\r\nxy\r\n", b"set a 0 0 1\r\nx\r\nget a\r\r\n",
    b" " * 101 + b"get " + b"a " * 2000,
    b"set a 0 0 1\r\nx\r\nget " + b"a " * 40000 + b"\r\n",
    b"get " + b"b " * 40000 + b"a\r\nmn\r\n",
    b"\x80\x00\x00\x00\r\n"[1:], b"\xff\xfe\r\nmn\r\n",
]


def bytes_of(talk):
    return b"".join(text.encode("latin-1") + b"\r\n" for text in talk)


def normal(answer):
    """cas numbers, and the version, are each server's own."""
    answer = re.sub(rb"(?m)^(VALUE \S+ \d+ \d+) \d+\r$", rb"\1 CAS\r", answer)
    answer = re.sub(rb"(?m)^(ME .* cas=)\d+", rb"\1CAS", answer)
    answer = re.sub(rb"(?m)^((?:HD|VA \d+)\b.*?) c(?!0\b)\d+", rb"\1 cCAS", answer)
    return re.sub(rb"(?m)^VERSION .*\r$", b"VERSION\r", answer)


def shown(text):
    return repr(text if len(text) < 400 else text[:190] + b" ... " + text[-190:])


def compare(pair, request):
    answers = []
    for server in pair:
        server.talk(b"flush_all\r\n")
        answers.append(normal(server.talk(request)))
    if answers[0] == answers[1]:
        return True
    print("sent      " + shown(request) + "\nmemcached " + shown(answers[0]) + "\nsinterd   " +
          shown(answers[1]) + "\n")
    return False


def cas_of(server, key):
    return re.search(rb"VALUE \S+ \d+ \d+ (\d+)", server.talk(b"gets " + key + b"\r\n")).group(1)


def compare_with_cas(pair, requests):
    """Each request has CAS where the number stands that the key `a` has before it."""
    answers = [[], []]
    for server, told in zip(pair, answers):
        server.talk(b"flush_all\r\nset a 1 0 1\r\nx\r\n")
        for request in requests:
            told.append(normal(server.talk(request.replace(b"CAS", cas_of(server, b"a")))))
    if answers[0] == answers[1]:
        return True
    print(f"sent {requests}\nmemcached {answers[0]}\nsinterd   {answers[1]}\n")
    return False


DUMPED = [b"set a 0 0 1\r\nx\r\n", b"set abc 3 0 0\r\n\r\n", b"ms YWJj 1 b\r\nx\r\n",
          b"set a 5 1000 20\r\n" + b"v" * 20 + b"\r\n",
          b"set a 0 0 9000\r\n" + b"v" * 9000 + b"\r\n"]


def dump_of(server, request):
    """What "stats cachedump" shows of the class that the item is in."""
    server.talk(b"flush_all\r\n" + request)
    number = next(name for name in server.stats(b"items")
                  if name.endswith(":number")).split(":")[1].encode()
    return server.talk(b"stats cachedump %s 0\r\nstats cachedump %s 1\r\n" % (number, number))


def compare_dumps(pair, request):
    for server in pair:  # memcached shows what is in its oldest part only
        server.talk(b"lru mode flat\r\n")
    answers = [dump_of(server, request) for server in pair]
    ends = [[int(end) for end in re.findall(rb"(\d+) s\]", answer)] for answer in answers]
    told = [re.sub(rb"\d+ s\]", b"END s]", answer) for answer in answers]
    # Each server's seconds begin at another moment; 0 is never.
    if told[0] == told[1] and all(abs(a - b) <= (a > 0) for a, b in zip(*ends)):
        return True
    print(f"sent {request}\nmemcached {answers[0]}\nsinterd   {answers[1]}\n")
    return False


WITH_CAS = [
    [b"cas a 2 0 1 CAS\r\ny\r\nget a\r\n"],
    [b"cas a 2 0 1 CAS\r\ny\r\ncas a 2 0 1 CAS\r\nz\r\nget a\r\n"],
    [b"ms a 1 CCAS c\r\ny\r\nmg a v\r\n", b"ms a 1 CCAS MR\r\nz\r\nmg a v\r\n"],
    [b"ms a 1 CCAS MA\r\ny\r\nms a 1 CCAS MP\r\ny\r\nmg a v\r\n"],
    [b"md a CCAS\r\nmg a\r\nset a 0 0 1\r\nx\r\n"],
    [b"md a CCAS I T50\r\nmg a v t\r\n", b"ms a 1 CCAS\r\ny\r\nmg a v t\r\nmg a v\r\n"],
    [b"ms a 1 CCAS I\r\ny\r\nmg a v\r\n"],
    [b"set b 0 0 1\r\nx\r\nms a 1 CCAS c\r\ny\r\nms a 1 I CCAS\r\nz\r\nmg a v\r\nmg a v\r\n"],
    [b"set a 0 0 1\r\n1\r\n", b"ma a CCAS v\r\nma a CCAS v\r\nmg a v\r\n"],
    [b"touch a 100\r\ncas a 2 0 1 CAS\r\ny\r\nget a\r\n"],
    [b"gats 100 a\r\ncas a 2 0 1 CAS\r\ny\r\nget a\r\n"],
    [b"mg a T100 c\r\nmg a t c\r\nms a 1 CCAS\r\ny\r\nmg a v\r\n"],
]


def main():
    sinterd, memcached = sys.argv[1:3]
    try:
        version = subprocess.run([memcached, "-V"], capture_output=True, text=True).stdout
    except OSError:
        print("there is no memcached to compare with")
        return 77
    if VERSION not in version:
        print(f"this is about memcached {VERSION}; here is {version}")
        return 77
    same = True
    with servers.Server(memcached, "-t", "1") as one, servers.Server(sinterd, "-t", "1") as other:
        pair = (one, other)
        for request in [bytes_of(talk) for talk in TALKS] + RAW:
            same &= compare(pair, request)
        for requests in WITH_CAS:
            same &= compare_with_cas(pair, requests)
        for request in DUMPED:
            same &= compare_dumps(pair, request)
    print(f"{len(TALKS) + len(RAW) + len(WITH_CAS) + len(DUMPED)} conversations")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
