#!/usr/bin/env python3
"""What others notice of a policy that does harm, and how soon a published policy is enforced.

Usage: gateway/benches/hostile.py [--rounds 5] [--seconds 10] [--binary PATH]

Starts a gateway in front of the sandbox orchestrator and publishes `tests/guests/src/acts_as_set.rs`, which behaves until
its settings name an act. One service user with a built-in role asks 500 times a second, another, whose role is that policy,
200 times. In each round the act is none at first, then each of them: the other user's requests and no act are what the
harm is compared with. Prints p50, p99 and p99.9 of the first user's requests, median over the rounds, their ratios to the
round's own time without an act, failed requests, and resident memory; then the time from the request to publish to the
first request that a new role allows.

Needs h2load (nghttp2-client), and cargo for the guests and, without --binary, for postern. Everything is on loopback.
"""

import argparse
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swaps import ORG, TARGET, Gateway, receive, start, started

ROOT = Path(__file__).resolve().parents[2]
ACTS = ["none", "loop", "recursion", "memory", "fill", "trap"]
POLICY = f"/orgs/{ORG}/policies/acts-as-set"


def guests():
    """Builds the guests; returns their folder."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tmp" / "guests"
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "build", "--release", "--examples", "--locked", "--quiet"]
    subprocess.run(command, cwd=ROOT / "tests" / "guests", env=environment, check=True)
    return target / "wasm32-unknown-unknown" / "release" / "examples"


class Api:
    """The administrator of a gateway."""

    def __init__(self, gateway):
        self.gateway = gateway

    def ask(self, method, path, body=None, expect=(200, 201, 204)):
        with self.gateway.connect(None) as stream:
            status, answer = self.gateway.ask(stream, method, path, body)
        assert status in expect, (method, path, status, answer)
        return json.loads(answer) if answer else None

    def publish(self, component):
        return self.ask("POST", f"/orgs/{ORG}/policies", {"component": base64.b64encode(component).decode()})

    def user(self, name, role):
        user = self.ask("POST", f"/orgs/{ORG}/users", {"name": name, "role": role})["id"]
        return user, self.ask("POST", f"/users/{user}/tokens", {"id": "bench", "type": "static"})["token"]


def load(gateway, token, rate, seconds, log):
    """Has h2load ask at a rate, on four connections."""
    log.unlink(missing_ok=True)
    command = ["h2load", "--h1", f"--requests={rate * seconds}", "--clients=4", f"--rps={rate // 4}", f"--log-file={log}"]
    command += [f"--header=authorization: Bearer {token}", f"http://127.0.0.1:{gateway.port}{TARGET}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def percentiles(log):
    """Returns p50, p99 and p99.9 in milliseconds, and how many did not succeed."""
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    times = sorted(int(row[2]) / 1000 for row in rows)
    failed = sum(row[1] != "200" for row in rows)
    return [times[int(len(times) * share)] for share in (0.5, 0.99, 0.999)], failed


def measure(gateway, api, tokens, work, arguments):
    figures = {act: [] for act in ACTS}
    failures, memory = dict.fromkeys(ACTS, 0), {}
    for _ in range(arguments.rounds):
        for act in ACTS:
            api.ask("PATCH", POLICY, {"settings": {"act": act}})
            good, other = tokens
            noise = load(gateway, other, 200, arguments.seconds, work / "other.log")
            load(gateway, good, 500, arguments.seconds, work / "good.log").communicate()
            noise.communicate()
            times, failed = percentiles(work / "good.log")
            figures[act].append(times)
            failures[act] += failed
            memory[act] = gateway.resident_mib()
    return figures, failures, memory


def publish_to_enforced(gateway, api, component, rounds):
    """Returns seconds from the request to publish a role to the first request that it allows, in turn with its removal."""
    taken = []
    for _ in range(rounds):
        began = time.monotonic()
        api.publish(component)
        _, token = api.user("enforced", "acts-as-set")
        head = f"GET {TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", gateway.port)) as stream:
            answer = b""
            while not answer.startswith(b"HTTP/1.1 200"):
                stream.sendall(head)
                answer = receive(stream)
        taken.append(time.monotonic() - began)
        api.ask("DELETE", f"{POLICY}?bindings=member")
    return taken


def report(figures, failures, memory, taken):
    print(f"{'act':<10} {'p50 ms':>8} {'p99 ms':>8} {'p99.9':>8} {'p99 ratio':>10} {'failed':>7} {'MiB':>6}")
    for act in ACTS:
        p50, p99, p999 = (statistics.median(run[at] for run in figures[act]) for at in range(3))
        ratio = statistics.median(run[1] / calm[1] for run, calm in zip(figures[act], figures["none"]))
        print(f"{act:<10} {p50:8.3f} {p99:8.3f} {p999:8.3f} {ratio:10.2f} {failures[act]:7} {memory[act]:6.0f}")
    print(f"publish to enforced, ms: min {min(taken) * 1000:.0f}, median {statistics.median(taken) * 1000:.0f}, max {max(taken) * 1000:.0f}")


def run(arguments, work):
    (work / "credential").write_text("credential\n")
    command = [arguments.binary, "sandbox", "--listen", "127.0.0.1:0", "--credential-file", work / "credential", "--org", ORG]
    upstream = "http://" + start(command, work / "sandbox.log")[1]["address"]
    (work / "gateway").mkdir()
    gateway = Gateway(arguments.binary, work / "gateway", upstream, None)
    api, component = Api(gateway), (guests() / "acts_as_set.wasm").read_bytes()
    taken = publish_to_enforced(gateway, api, component, arguments.rounds)
    api.publish(component)
    tokens = api.user("good", "member")[1], api.user("harmful", "acts-as-set")[1]
    report(*measure(gateway, api, tokens, work, arguments), taken)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--binary", type=Path)
    arguments = parser.parse_args()
    if arguments.binary is None:
        subprocess.run(["cargo", "build", "--profile", "dist", "--locked", "--bin", "postern"], cwd=ROOT, check=True)
        arguments.binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist" / "postern"
    with tempfile.TemporaryDirectory() as work:
        try:
            run(arguments, Path(work))
        finally:
            for process in started:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(main())
