#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Prometheus that scrapes sinterd (-o metrics), with the configuration of src/server/README.md.

    prometheus.py SINTERD

Exit status 77: prometheus is not installed.
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import servers
from tls import README, free_port


def configuration(server):
    """That of the README, but for the port, and scraping more often."""
    with open(README, encoding="utf-8") as page:
        text = re.search(r"```yaml\n(scrape_configs:\n.*?)```", page.read(), re.S).group(1)
    assert "127.0.0.1:11211" in text, text
    return ("global:\n  scrape_interval: 1s\n" +
            text.replace("127.0.0.1:11211", f"127.0.0.1:{server.port}"))


def begin(directory, server, port):
    path = os.path.join(directory, "prometheus.yml")
    with open(path, "w", encoding="ascii") as file:
        file.write(configuration(server))
    checked = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked
    with open(os.path.join(directory, "log"), "wb") as log:
        return subprocess.Popen(
            ["prometheus", "--config.file=" + path, f"--web.listen-address=127.0.0.1:{port}",
             "--storage.tsdb.path=" + os.path.join(directory, "data")], stdout=log, stderr=log)


def ask(port, expression):
    """Values by their labels; none until it is up, and has scraped."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with straight.open(url, timeout=servers.HANGS_SECONDS) as answer:
            found = json.load(answer)
    except (OSError, http.client.HTTPException):
        return []
    assert found["status"] == "success", found
    return [(one["metric"], float(one["value"][1])) for one in found["data"]["result"]]


def wait_for(process, port, expression, value):
    """Until it is what a scrape has seen."""
    found = []
    for _ in range(6000):
        assert process.poll() is None, "prometheus has ended"
        found = ask(port, expression)
        if [number for _, number in found] == [value]:
            return
        servers.time.sleep(0.05)
    raise AssertionError((expression, value, found))


def is_scraped(process, port, server):
    name = 'sinterd_stats_total{name="%s"}'
    wait_for(process, port, 'up{job="sinterd"}', 1)
    server.talk(b"set a 0 0 1\r\nx\r\nget a\r\nget b\r\nget b\r\n")
    wait_for(process, port, name % "get_hits", 1)
    wait_for(process, port, name % "get_misses", 2)
    wait_for(process, port, "sinterd_memory_limit_bytes", 64 << 20)
    wait_for(process, port, "sinter_cache_items", 1)
    assert len(ask(port, "sinterd_stats_total")) > 20
    assert ask(port, "sinter_committed_bytes") and ask(port, "sinter_cache_held_bytes")
    assert ask(port, 'scrape_samples_scraped{job="sinterd"}')[0][1] > 50


def main():
    for program in ("prometheus", "promtool"):
        if not shutil.which(program):
            print(f"{program} is not installed (Debian: prometheus)")
            return 77
    directory = tempfile.mkdtemp(prefix="sinterd-prometheus.")
    with servers.Server(sys.argv[1], "-t", "1", "-o", "metrics", tcp=True) as server:
        port = free_port()
        process = begin(directory, server, port)
        try:
            is_scraped(process, port, server)
        except AssertionError:
            with open(os.path.join(directory, "log"), encoding="utf-8") as log:
                print(log.read())
            raise
        finally:
            process.kill()  # its files go with it
            process.wait()
            shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
