#!/usr/bin/env python3
"""How soon a gateway serves when it starts while the admin service is away.

Usage: gateway/benches/cold-start.py [--tokens 1000000] [--users 100000] [--rounds 5] [--binary PATH]

Fills a store by SQL, has a gateway take it up and keep it, ends both by SIGKILL, and starts the gateway alone, once a round.
Prints how long it takes from exec to the first request that is answered 200, what of that is reading the kept state, how large
that is, and the gateway's memory: resident when it serves, and at most. The files are in the page cache: the state has just
been written. Without --binary, postern is built with the profile `release`.
"""

import argparse
import http.client
import http.server
import json
import os
import platform
import signal
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORG = "acme"
TARGET = f"/orgs/{ORG}/env-types"


class Upstream(http.server.BaseHTTPRequestHandler):
    """An orchestrator that has nothing."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(port, path, token=None):
    """Returns status and body; None when nobody answers."""
    fields = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return None
    finally:
        connection.close()


def wait(what, look, pause=0.05, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(pause)
    raise SystemExit(f"waited in vain for {what}")


def metric(port, name):
    answer = get(port, "/metrics")
    lines = answer[1].decode().splitlines() if answer else []
    return next((float(line.split()[1]) for line in lines if line.split()[0] == name), 0)


def fill(path, users, tokens):
    """Puts service users and tokens in, past the admin service."""
    with sqlite3.connect(path) as store:
        names = [f"s-{os.urandom(16).hex()}" for _ in range(users)]
        subjects = ((name, ORG, "service-user", name, 0, "bench") for name in names)
        store.executemany(
            "INSERT INTO subjects (id, org, kind, name, created_ms, created_by) VALUES (?, ?, ?, ?, ?, ?)", subjects
        )
        roles = ((name, "service-user", ORG, f"/orgs/{ORG}", "member", 0, "bench") for name in names)
        store.executemany("INSERT INTO role_bindings VALUES (?, ?, ?, ?, ?, ?, ?)", roles)
        rows = (
            (names[number % users], ORG, f"token-{number // users}", os.urandom(32), "", 0, "bench")
            for number in range(tokens)
        )
        store.executemany(
            "INSERT INTO tokens (subject, org, id, digest, description, created_ms, created_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


class Machine:
    """The files and ports of both halves."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.admin_port, self.port, self.ops_port = free_port(), free_port(), free_port()
        upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        self.upstream = f"http://127.0.0.1:{upstream.server_address[1]}"

    def admin(self):
        command = [self.binary, "admin", "--data", self.work / "admin", "--org", ORG]
        command += ["--admin-listen", f"127.0.0.1:{self.admin_port}", "--console-listen", ""]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait("the admin service", lambda: get(self.admin_port, "/livez"))
        return process

    def gateway(self):
        command = [self.binary, "gateway", "--upstream", self.upstream, "--data", self.work / "edge"]
        command += ["--admin-url", f"http://127.0.0.1:{self.admin_port}", "--access-log", "off"]
        command += ["--gateway-credential-file", self.work / "admin" / "gateway-credential"]
        command += ["--feed-public-key-file", self.work / "admin" / "feed-key.pub"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--ops-listen", f"127.0.0.1:{self.ops_port}"]
        with open(self.work / "edge.log", "w", encoding="utf-8") as log:
            return subprocess.Popen(command, stderr=log)

    def read_ms(self):
        """How long reading the kept state took, as the log has it."""
        lines = (self.work / "edge.log").read_text(encoding="utf-8").splitlines()
        lines = (json.loads(line) for line in lines)
        return next(line["took_ms"] for line in lines if line["message"] == "the kept state was read")


def memory(process):
    """Returns resident memory now and at most, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    rows = dict(line.split(":", 1) for line in status.splitlines())
    return [int(rows[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]


def end(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def prepare(machine, users, tokens):
    """Has the gateway take up and keep a large store; returns a token that it knows."""
    admin = machine.admin()
    admin.terminate()
    admin.wait()
    fill(machine.work / "admin" / "postern.db", users, tokens)
    admin, gateway = machine.admin(), machine.gateway()
    wait("the state on the disk", lambda: metric(machine.ops_port, "postern_kept_state_revision") > 0)
    size = metric(machine.ops_port, "postern_kept_state_octets")
    print(f"{metric(machine.ops_port, 'postern_cache_tokens'):,.0f} tokens, {users:,} service users; "
          f"the kept state has {size / 2**20:.0f} MiB")
    end(admin)
    end(gateway)
    return (machine.work / "admin" / "bootstrap-token").read_text(encoding="ascii").strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", type=Path)
    arguments = parser.parse_args()
    binary = arguments.binary
    if binary is None:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
        binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "postern"
    print(f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}")
    with tempfile.TemporaryDirectory() as work:
        machine = Machine(binary.resolve(), Path(work))
        token = prepare(machine, arguments.users, arguments.tokens)
        times, reads = [], []
        for _ in range(arguments.rounds):
            began = time.monotonic()
            gateway = machine.gateway()
            answered = lambda: (get(machine.port, TARGET, token) or (0,))[0] == 200
            wait("the first answer", answered, pause=0.002)
            times.append(time.monotonic() - began)
            reads.append(machine.read_ms())
            resident, most = memory(gateway)
            end(gateway)
            print(f"served after {times[-1]:.2f} s, of which {reads[-1]} ms to read the state; "
                  f"{resident:.0f} MiB resident, {most:.0f} MiB at most")
    print(f"median of {arguments.rounds}: {statistics.median(times):.2f} s, {statistics.median(reads):.0f} ms to read")


if __name__ == "__main__":
    main()
