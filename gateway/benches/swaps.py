#!/usr/bin/env python3
"""A soak of swaps: what requests, open connections and memory notice while everything that can be swapped is.

Usage: gateway/benches/swaps.py [--swaps 1000] [--idle 10000] [--binary PATH]

Starts two gateways in front of the sandbox orchestrator, one with TLS and one without, opens half of the idle connections
at each (one request, then nothing), and keeps h2load asking: HTTP/2 over TLS, and HTTP/1.1 without, 200 requests a second
each at most, on new connections every 1,000 requests. Meanwhile it swaps in turn: files of the certificate, the configuration
by SIGHUP, a role through the API. Each swap is waited for: `applied` in the metrics, or the answer of the API. In the
end every idle connection is asked once more. Prints failed requests and connections, swaps, resident memory, and
percentiles of what h2load measured; exits with 1 when anything failed.

Needs h2load (nghttp2-client), openssl and, without --binary, cargo. Everything listens on loopback. Limits of open files
are raised to the hard limit, which must be above the idle connections by a thousand.
"""

import argparse
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ORG = "bench"
TARGET = f"/orgs/{ORG}/env-types"
PATIENCE_S = 30


class Gateway:
    """A `postern serve` with its files."""

    def __init__(self, binary, work, upstream, certificate):
        self.work, self.tls = work, certificate is not None
        self.config = work / "postern.toml"
        self.write_config(0)
        command = [binary, "serve", "--config", self.config, "--upstream", upstream, "--org", ORG, "--data", work / "data"]
        command += ["--upstream-token-file", work.parent / "credential", "--access-log", "/dev/null", "--workers", "2"]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--console-listen", "", "--files-watch-interval-ms", "100"]
        if certificate:
            command += ["--tls-certificate-file", certificate[0], "--tls-key-file", certificate[1]]
        self.process, told = start(command, work / "log")
        self.port = int(told["requests"].rsplit(":", 1)[1])
        self.admin = told["admin"]
        wait_for("readiness", lambda: self.get_admin("/readyz") is not None)
        self.token = (work / "data" / "bootstrap-token").read_text().strip()

    def write_config(self, number):
        self.config.write_text(f"idle_timeout_ms = {3_600_000 + number % 2}\n")

    def get_admin(self, path):
        try:
            return urllib.request.urlopen(f"http://{self.admin}{path}", timeout=PATIENCE_S).read().decode()
        except OSError:
            return None

    def applied(self, name):
        found = re.search(rf'^{name}{{result="applied"}} (\d+)', self.get_admin("/metrics") or "", re.M)
        return int(found[1]) if found else 0

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def connect(self, context):
        stream = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        return context.wrap_socket(stream) if self.tls else stream

    def ask(self, stream, method="GET", path=TARGET, body=None):
        """Sends one request on an open connection; returns the status and the body."""
        text = json.dumps(body) if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n" if body is not None else ""
        stream.sendall((head + "\r\n" + text).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += receive(stream)
        head, rest = answer.split(b"\r\n\r\n", 1)
        length = re.search(rb"content-length: (\d+)", head, re.I)
        while len(rest) < int(length[1] if length else 0):
            rest += receive(stream)
        return int(head.split(b" ", 2)[1]), rest


class Load:
    """h2load against a gateway, batch after batch, until it is stopped."""

    def __init__(self, gateway):
        self.gateway, self.done = gateway, threading.Event()
        self.times_us, self.requests, self.failed, self.errors = [], 0, 0, []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        log = self.gateway.work / "h2load"
        scheme, protocol = ("https", []) if self.gateway.tls else ("http", ["--h1"])
        command = ["h2load", "--requests=1000", "--clients=4", "--rps=50", f"--log-file={log}", *protocol]
        command += [f"--header=authorization: Bearer {self.gateway.token}"]
        command += [f"{scheme}://127.0.0.1:{self.gateway.port}{TARGET}"]
        while not self.done.is_set():
            log.unlink(missing_ok=True)
            told = subprocess.run(command, capture_output=True, text=True).stdout
            succeeded = re.search(r"(\d+) succeeded", told)
            good = re.search(r"status codes: (\d+) 2xx", told)
            self.requests += 1000
            failed = 1000 - min(int(succeeded[1]), int(good[1])) if succeeded and good else 1000
            self.failed += failed
            if failed:
                self.errors.append(told)
            self.times_us += [int(line.split("\t")[2]) for line in log.read_text().splitlines()]

    def end(self):
        self.done.set()
        self.thread.join()


def receive(stream):
    octets = stream.recv(65536)
    if not octets:
        raise ConnectionError("the connection has ended")
    return octets


def start(command, log):
    """Starts a process; returns it and the line that says where it listens."""
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log.open("w"))
    started.append(process)

    def told():
        assert process.poll() is None, log.read_text()
        lines = [json.loads(line) for line in log.read_text().splitlines(True) if line.endswith("\n")]
        return next((line for line in lines if line.get("message") == "listening"), None)

    return process, wait_for("listening", told)


def wait_for(what, look):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.005)
    raise TimeoutError(f"waited in vain for {what}")


def certificates(work):
    """Makes two self-signed certificates for the same address."""
    for name in ["one", "two"]:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
        command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", work / f"{name}.key", "-out", work / f"{name}.pem"]
        subprocess.run(command, check=True, capture_output=True)
    # Certificate and key turn together, as a secret that is mounted does.
    turn(work, "one")
    return work / "current.pem", work / "current.key"


def turn(work, name):
    """Puts a pair in the place of the current one. A moment between the two files is what the gateway must bear."""
    for kind in ["pem", "key"]:
        aside = work / f"aside.{kind}"
        aside.write_bytes((work / f"{name}.{kind}").read_bytes())
        aside.rename(work / f"current.{kind}")


class Swaps:
    """Swaps in turn; each is waited for."""

    def __init__(self, work, gateways, context):
        self.work, self.gateways, self.context = work, gateways, context
        self.counts = {"certificate": 0, "configuration": 0, "role": 0}
        self.users = {}
        for gateway in gateways:
            status, body = self.api(gateway, "POST", f"/orgs/{ORG}/users", {"name": "swapped", "role": "member"})
            assert status == 200, body
            self.users[gateway] = json.loads(body)["id"]

    def api(self, gateway, *request):
        with gateway.connect(self.context) as stream:
            return gateway.ask(stream, *request)

    def one(self, number):
        kind = ["certificate", "configuration", "role"][number % 3]
        gateway = self.gateways[0] if kind == "certificate" else self.gateways[number // 3 % 2]
        getattr(self, kind)(gateway, number)
        self.counts[kind] += 1

    def certificate(self, gateway, number):
        before = gateway.applied("postern_certificate_reloads_total")
        turn(self.work, ["two", "one"][number // 3 % 2])
        wait_for("the certificate", lambda: gateway.applied("postern_certificate_reloads_total") > before)

    def configuration(self, gateway, number):
        before = gateway.applied("postern_config_reloads_total")
        gateway.write_config(number)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for("the configuration", lambda: gateway.applied("postern_config_reloads_total") > before)

    def role(self, gateway, number):
        user, path = self.users[gateway], f"/orgs/{ORG}/apps/shop/users"
        if number // 6 % 2 == 0:
            answer = self.api(gateway, "POST", path, {"id": user, "role": "developer"})
        else:
            answer = self.api(gateway, "DELETE", f"{path}/{user}")
        assert answer[0] in (200, 204), answer


def soak(arguments, work):
    (work / "credential").write_text("credential\n")
    command = [arguments.binary, "sandbox", "--listen", "127.0.0.1:0", "--credential-file", work / "credential", "--org", ORG]
    upstream = "http://" + start(command, work / "sandbox.log")[1]["address"]
    certificate = certificates(work)
    gateways = []
    for name, own in [("tls", certificate), ("plain", None)]:
        (work / name).mkdir()
        gateways.append(Gateway(arguments.binary, work / name, upstream, own))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    empty = [gateway.resident_mib() for gateway in gateways]
    idle = [(gateway, open_idle(gateway, context)) for gateway in gateways for _ in range(arguments.idle // 2)]
    swaps = Swaps(work, gateways, context)
    loads = [Load(gateway) for gateway in gateways]
    began, memory = time.monotonic(), []
    try:
        for number in range(arguments.swaps):
            if number in (0, arguments.swaps // 2):
                memory.append([gateway.resident_mib() for gateway in gateways])
            swaps.one(number)
    finally:
        for load in loads:
            load.end()
    memory.append([gateway.resident_mib() for gateway in gateways])
    return report(loads, swaps, (empty, memory), count_broken(idle), time.monotonic() - began)


def open_idle(gateway, context):
    """Opens a connection and uses it once: one that has never been used is ended by the limit on heads."""
    stream = gateway.connect(context)
    assert gateway.ask(stream)[0] == 200
    return stream


def count_broken(idle):
    broken = 0
    for gateway, stream in idle:
        try:
            broken += gateway.ask(stream)[0] != 200
        except OSError:
            broken += 1
    return broken


def report(loads, swaps, memory, broken, took_s):
    """Prints the figures; returns whether nothing failed."""
    empty, (start, middle, end) = memory
    print(f"swaps applied: {sum(swaps.counts.values())} in {took_s:.0f} s {swaps.counts}")
    print(f"idle connections that had ended: {broken}")
    for at, load in enumerate(loads):
        times = sorted(load.times_us)
        middle_ms, late_ms = (times[len(times) * share // 100] / 1000 for share in (50, 99))
        print(f"{load.gateway.work.name}: {load.requests} requests, {load.failed} failed, p50 {middle_ms:.2f} ms, p99 {late_ms:.2f} ms")
        print(f"  resident MiB: without connections {empty[at]:.0f}, start {start[at]:.0f}, middle {middle[at]:.0f}, end {end[at]:.0f}")
        print(*load.errors, sep="\n", end="")
    return broken == 0 and not any(load.failed for load in loads)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--binary", type=Path)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if arguments.binary is None:
        root = Path(__file__).resolve().parents[2]
        subprocess.run(["cargo", "build", "--profile", "dist", "--locked", "--bin", "postern"], cwd=root, check=True)
        arguments.binary = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "dist" / "postern"
    with tempfile.TemporaryDirectory() as work:
        try:
            return 0 if soak(arguments, Path(work)) else 1
        finally:
            for process in started:
                process.kill()
                process.wait()


started = []

if __name__ == "__main__":
    sys.exit(main())
