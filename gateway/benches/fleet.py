#!/usr/bin/env python3
"""Revocation in a fleet: how soon every gateway refuses a revoked token, while parts of the fleet fail.

Usage: gateway/benches/fleet.py [--revocations 1000] [--faults 50] [--only SCENARIO,...] [--binary PATH]

Two admin replicas on one PostgreSQL with a standby, five gateways and the sandbox orchestrator, each in a network namespace
of its own behind one bridge; gateways reach the replicas through a TCP proxy of this script's, which can cut, slow or
half-open a link. h2load asks each gateway all the time. A revocation is a token that all gateways accept, then one
`DELETE …?wait=2s`; meanwhile one watcher for each gateway asks with the token, every 2 ms, until it is refused. Counted
are the time from the store's commit to the first refusal at the last gateway, and requests that a gateway accepted after
the receipt said that it refuses the token. Then faults are put in one after another, each with what is expected of it.

Prints a line for each scenario; exits with 1 when an expectation does not hold. Needs root (network namespaces), iproute2,
h2load, PostgreSQL 15 and faketime from Debian and, without --binary, cargo. Nothing leaves the machine.
"""

import argparse
import ctypes
import datetime
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from swaps import ORG, TARGET, receive, wait_for

ROOT = Path(__file__).resolve().parents[2]
GATEWAYS = 5
REPLICAS = 2
# What gateways are configured with: short, so that a gateway that is cut off is seen to stop.
WRITES_MAX_MS, READS_MAX_MS = 3_000, 6_000
# Between two questions of a watcher. Without it the watchers, and the proxy that the feed goes through, would wait for each
# other, in one interpreter, and that would be measured; for the same reason they change places more often than every 5 ms.
WATCH_PAUSE_S, SWITCH_INTERVAL_S = 0.002, 0.0002
# The aims, in milliseconds.
P99_AIM, MAX_AIM = 100, 1_000


def run(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, **options).stdout


class Net:
    """Hosts in network namespaces on one bridge; this process is one of them."""

    def __init__(self):
        self.prefix, self.names = f"pstn{os.getpid()}", []
        self.hub = self.namespace("hub")
        run("ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.hub, "link", "set", "bridge", "up")

    def namespace(self, name):
        full = f"{self.prefix}-{name}"
        run("ip", "netns", "add", full)
        self.names.append(full)
        run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def host(self, name, number):
        """Makes a host; returns its namespace and its address."""
        full, end = self.namespace(name), f"port{number}"
        run("ip", "-n", self.hub, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", full)
        run("ip", "-n", self.hub, "link", "set", end, "master", "bridge", "up")
        run("ip", "-n", full, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        run("ip", "-n", full, "link", "set", "eth0", "up")
        return full, f"10.77.0.{number}"

    def join(self, namespace):
        """Moves this process, and what it starts, into a namespace."""
        with open(f"/run/netns/{namespace}", "rb") as handle:
            # Of this thread, and so of all threads that it starts.
            assert ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0) == 0, os.strerror(ctypes.get_errno())

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


class Process:
    """A process of a host, which can be ended and started again."""

    def __init__(self, namespace, command, log, environment=None, user=None):
        self.namespace, self.command, self.log = namespace, list(map(str, command)), log
        self.environment, self.user = environment or {}, user
        self.process = None
        started.append(self)

    def start(self, wait="listening"):
        before = self.log.stat().st_size if self.log.exists() else 0
        command = ["ip", "netns", "exec", self.namespace, *self.command]
        environment = {**os.environ, **self.environment}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log.open("a"), stderr=subprocess.STDOUT, env=environment, user=self.user
        )
        if wait:
            wait_for(f"{wait} in {self.log}", lambda: self.said(wait, before))
        return self

    def said(self, text, after=0):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return text in self.log.read_text()[after:]

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Postgres:
    """A PostgreSQL server, or its standby. It refuses to run as root."""

    def __init__(self, namespace, address, work):
        self.namespace, self.address, self.data = namespace, address, work / f"postgres-{address}"
        self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.data.mkdir()
        shutil.chown(self.data, "postgres", "postgres")
        self.data.chmod(0o700)
        self.process = None

    def initialise(self):
        self.as_postgres(self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.77.0.0/24 trust\nhost replication all 10.77.0.0/24 trust\n")

    def follow(self, primary):
        self.as_postgres(self.bin / "pg_basebackup", "-D", self.data, "-h", primary.address, "-U", "postgres", "-R", "-X", "stream")
        # The name by which the primary waits for it.
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = 'host={primary.address} user=postgres application_name=standby'\n")

    def as_postgres(self, *command):
        run("ip", "netns", "exec", self.namespace, "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command, cwd="/")

    def start(self, *settings):
        options = [part for setting in settings for part in ("-c", setting)]
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", self.bin / "postgres", "-D", self.data]
        command += ["-c", "listen_addresses=*", "-c", "unix_socket_directories=", *options]
        self.process = Process(self.namespace, command, self.data.parent / f"{self.data.name}.log").start("ready to accept")

    def sql(self, text, database="postgres"):
        return run(self.bin / "psql", "-h", self.address, "-U", "postgres", "-d", database, "-qAtc", text)


class Link:
    """A TCP proxy from one gateway to one replica, with faults."""

    def __init__(self, target):
        self.target, self.mode, self.pairs = target, "pass", []
        self.listener = socket.create_server(("0.0.0.0", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            if self.mode == "cut":
                near.close()
                continue
            try:
                far = socket.create_connection(self.target, 5)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                # A frame must not wait here until the one before has been acknowledged.
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        source.settimeout(None)
        try:
            while octets := source.recv(65536):
                if self.mode == "slow":
                    time.sleep(0.1)
                while self.mode == "half-open":
                    time.sleep(0.01)
                sink.sendall(octets)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def set(self, mode):
        self.mode = mode
        if mode == "cut":
            for pair in self.pairs:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.pairs.clear()


class Caller:
    """A keep-alive connection to a gateway."""

    def __init__(self, address):
        self.address, self.stream = address, None

    def ask(self, token, method="GET", path=TARGET, body=None, wait_s=10):
        """Returns the status and the body; status 0 when there was no answer."""
        text = json.dumps(body) if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: fleet\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n" if body is not None else ""
        try:
            self.stream = self.stream or socket.create_connection((self.address, 8080), wait_s)
            self.stream.settimeout(wait_s)
            self.stream.sendall((head + "\r\n" + text).encode())
            return self.answer()
        except OSError:
            self.close()
            return 0, b""

    def answer(self):
        octets = b""
        while b"\r\n\r\n" not in octets:
            octets += receive(self.stream)
        head, rest = octets.split(b"\r\n\r\n", 1)
        length = re.search(rb"content-length: (\d+)", head, re.I)
        while len(rest) < int(length[1] if length else 0):
            rest += receive(self.stream)
        return int(head.split(b" ", 2)[1]), rest

    def close(self):
        if self.stream:
            self.stream.close()
        self.stream = None


class Watcher(threading.Thread):
    """Asks one gateway with a token, again and again, until it is refused."""

    def __init__(self, gateway, token, until):
        super().__init__(daemon=True)
        self.gateway, self.token, self.until = gateway, token, until
        self.refused_at, self.accepted = None, []

    def run(self):
        caller = Caller(self.gateway.address)
        while time.monotonic() < self.until:
            began = time.time()
            status, _ = caller.ask(self.token, wait_s=1)
            if status == 401:
                self.refused_at = time.time()
                break
            if status == 200:
                self.accepted.append(began)
            time.sleep(WATCH_PAUSE_S)
        caller.close()


class Gateway:
    def __init__(self, fleet, number):
        self.name = f"edge-{number}"
        self.namespace, self.address = fleet.net.host(self.name, 30 + number)
        self.links = [Link((replica.address, 8081)) for replica in fleet.replicas]
        self.data = fleet.work / self.name
        self.data.mkdir()
        if number == 1:
            # A disk that can be filled.
            run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.data)
            fleet.mounted.append(self.data)
        self.clock = self.data / "clock"
        self.clock.write_text("+0\n")
        urls = ",".join(f"http://{fleet.address}:{link.port}" for link in self.links)
        command = [fleet.binary, "gateway", "--upstream", fleet.upstream, "--upstream-token-file", fleet.work / "credential"]
        command += ["--upstream-addresses", "10.77.0.0/24", "--admin-url", urls, "--name", self.name, "--data", self.data / "data"]
        command += ["--gateway-credential-file", fleet.work / "admin-0" / "gateway-credential"]
        command += ["--feed-public-key-file", fleet.work / "admin-0" / "feed-key.pub"]
        command += ["--listen", "0.0.0.0:8080", "--ops-listen", "0.0.0.0:8082", "--access-log", "/dev/null", "--workers", "1"]
        command += ["--data-age-writes-max-ms", WRITES_MAX_MS, "--data-age-reads-max-ms", READS_MAX_MS]
        faked = {"LD_PRELOAD": fleet.faketime, "FAKETIME_TIMESTAMP_FILE": self.clock, "FAKETIME_NO_CACHE": "1"}
        faked |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.process = Process(self.namespace, command, self.data / "log", faked if number == GATEWAYS - 1 else {})

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://{self.address}:8082/readyz", timeout=2).status == 200
        except OSError:
            return False


class Replica:
    def __init__(self, fleet, number):
        self.namespace, self.address = fleet.net.host(f"admin-{number}", 20 + number)
        self.data = fleet.work / f"admin-{number}"
        command = [fleet.binary, "admin", "--data", self.data, "--admin-listen", "0.0.0.0:8081", "--console-listen", "", "--org", ORG]
        command += ["--store-url", fleet.store_url]
        self.process = Process(self.namespace, command, fleet.work / f"admin-{number}.log")


class Fleet:
    """All of it."""

    def __init__(self, binary, work):
        self.binary, self.work, self.net, self.mounted = binary, work, Net(), []
        self.faketime = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))))

    def begin(self):
        namespace, self.address = self.net.host("callers", 10)
        self.net.join(namespace)
        self.start_store()
        (self.work / "credential").write_text("credential\n")
        sandbox, address = self.net.host("orchestrator", 40)
        command = [self.binary, "sandbox", "--listen", "0.0.0.0:9090", "--credential-file", self.work / "credential", "--org", ORG]
        Process(sandbox, command, self.work / "sandbox.log").start()
        self.upstream = f"http://{address}:9090"
        self.start_replicas()
        self.gateways = [Gateway(self, number) for number in range(GATEWAYS)]
        for gateway in self.gateways:
            gateway.process.start()
        self.wait_ready()
        self.admin_token = (self.work / "admin-0" / "bootstrap-token").read_text().strip()
        user = self.api(0, "POST", f"/orgs/{ORG}/users", {"name": "fleet", "role": "member"})
        self.user, self.number = user["id"], 0
        self.steady = self.api(0, "POST", f"/users/{self.user}/tokens", {"id": "steady", "type": "static"})["token"]

    def remove(self):
        for process in reversed(started):
            process.kill()
        for path in self.mounted:
            subprocess.run(["umount", "-l", path], check=True)
        self.net.remove()

    def start_store(self):
        self.databases = []
        for number in range(2):
            namespace, address = self.net.host(f"postgres-{number}", 50 + number)
            self.databases.append(Postgres(namespace, address, self.work))
        primary, standby = self.databases
        primary.initialise()
        primary.start("wal_level=replica", "max_wal_senders=4")
        standby.follow(primary)
        standby.start("hot_standby=on")
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.sql("SELECT pg_reload_conf()")
        primary.sql("CREATE DATABASE postern")
        self.move_address(primary)
        self.store_url = "postgres://postgres@10.77.0.100/postern?sslmode=disable"
        run(self.binary, "admin", "migrate", "--store-url", self.store_url)

    def move_address(self, database):
        """Gives a database the address that replicas know, as a cluster manager does."""
        for other in self.databases:
            subprocess.run(["ip", "-n", other.namespace, "address", "del", "10.77.0.100/24", "dev", "eth0"], capture_output=True)
        run("ip", "-n", database.namespace, "address", "add", "10.77.0.100/24", "dev", "eth0")
        # Neighbours forget where the address was.
        for name in self.net.names:
            subprocess.run(["ip", "-n", name, "neigh", "flush", "all"], capture_output=True)

    def start_replicas(self):
        self.replicas = [Replica(self, number) for number in range(REPLICAS)]
        first = self.replicas[0]
        first.process.start()
        for replica in self.replicas[1:]:
            replica.data.mkdir(mode=0o700)
            for shared in ("gateway-credential", "feed-key", "feed-key.pub"):
                shutil.copy2(first.data / shared, replica.data / shared)
            replica.process.start()

    def wait_ready(self, gateways=None):
        for gateway in gateways or self.gateways:
            wait_for(f"{gateway.name} to be ready", gateway.ready)

    def api(self, through, method, path, body=None, patience_s=20):
        """One request of the administrator, sent again until it is answered by 2xx (a deletion: or 404)."""
        until, caller = time.monotonic() + patience_s, Caller(self.gateways[through].address)
        while True:
            status, answer = caller.ask(self.admin_token, method, path, body)
            if status in (200, 201, 204) or (method == "DELETE" and status == 404):
                caller.close()
                return json.loads(answer) if answer.strip() else None
            assert time.monotonic() < until, (method, path, status, answer)
            time.sleep(0.05)

    def issue(self, through=0):
        """Returns the id and the secret of a token that every gateway that hears accepts."""
        self.number += 1
        name = f"revoked-{self.number}"
        return name, self.api(through, "POST", f"/users/{self.user}/tokens", {"id": name, "type": "static"})["token"]

    def accepted_by(self, token, gateways):
        for gateway in gateways:
            caller = Caller(gateway.address)
            wait_for(f"{gateway.name} to accept", lambda: caller.ask(token)[0] == 200)
            caller.close()

    def revoke(self, through=0, gateways=None, wait="2s", watch_s=20):
        """One revocation; returns milliseconds from its commit to the last gateway's first refusal, the receipt, and how
        many requests were accepted by a gateway after the receipt had named it."""
        gateways = gateways or self.gateways
        name, token = self.issue(through)
        self.accepted_by(token, gateways)
        watchers = [Watcher(gateway, token, time.monotonic() + watch_s) for gateway in gateways]
        for watcher in watchers:
            watcher.start()
        receipt = self.api(through, "DELETE", f"/users/{self.user}/tokens/{name}?wait={wait}")
        told = time.time()
        for watcher in watchers:
            watcher.join()
            assert watcher.refused_at, f"{watcher.gateway.name} accepts a revoked token after {watch_s} s"
        refusing = {entry["gateway"] for entry in receipt["refused_by"]} if receipt else set()
        wrong = sum(
            began > told for watcher in watchers if watcher.gateway.name in refusing for began in watcher.accepted
        )
        for gateway in gateways:
            if gateway.name in refusing:
                caller = Caller(gateway.address)
                wrong += sum(caller.ask(token)[0] == 200 for _ in range(3))
                caller.close()
        committed = time_of(receipt["committed_at"]) if receipt else told
        return (max(watcher.refused_at for watcher in watchers) - committed) * 1000, receipt, wrong


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Load:
    """h2load against each gateway, batch after batch."""

    def __init__(self, fleet):
        self.fleet, self.done, self.counts = fleet, threading.Event(), {}
        self.threads = [threading.Thread(target=self.run, args=(gateway,)) for gateway in fleet.gateways]
        for thread in self.threads:
            thread.start()

    def run(self, gateway):
        command = ["h2load", "--h1", "--requests=200", "--clients=2", "--rps=50", "--connection-inactivity-timeout=5"]
        command += [f"--header=authorization: Bearer {self.fleet.steady}", f"http://{gateway.address}:8080{TARGET}"]
        good = asked = 0
        while not self.done.is_set():
            told = subprocess.run(command, capture_output=True, text=True).stdout
            found = re.search(r"status codes: (\d+) 2xx", told)
            good, asked = good + int(found[1] if found else 0), asked + 200
            self.counts[gateway.name] = (good, asked)

    def end(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


class Scenarios:
    """Faults, one after another, and what is expected of each."""

    def __init__(self, fleet, arguments):
        self.fleet, self.arguments, self.failed = fleet, arguments, []

    def all(self):
        return [
            ("calm", "all refuse within the aims", self.calm),
            ("admin replica killed", "gateways move to the other; the aims hold for what is committed", self.replica_killed),
            ("PostgreSQL restarted", "changes fail or wait meanwhile; what was answered holds", self.postgres_restarted),
            ("PostgreSQL failed over", "nothing that was answered is lost", self.postgres_failed_over),
            ("gateway stopped and resumed", "the receipt names it; it refuses within 1 s of its return", self.gateway_stopped),
            ("link cut", "it refuses by the time that the receipt told", self.link_cut),
            ("link slowed", "all refuse within 1 s", self.link_slowed),
            ("link half-open", "it moves to the other replica, and refuses by the time that the receipt told", self.link_half_open),
            ("disk full", "revocations hold as in calm", self.disk_full),
            ("clock stepped", "revocations hold as in calm; no data grows old or young", self.clock_stepped),
        ]

    def run(self):
        for name, expected, scenario in self.all():
            if self.arguments.only and name not in self.arguments.only:
                continue
            print(f"{name}: {expected}", flush=True)
            try:
                scenario()
            except (AssertionError, TimeoutError) as error:
                self.failed.append(name)
                print(f"  NOT SO: {error}", flush=True)
            self.fleet.wait_ready()

    def measure(self, count, through=0, within_ms=MAX_AIM, **options):
        times, wrong = [], 0
        for _ in range(count):
            took, _, accepted = self.fleet.revoke(through, **options)
            times.append(took)
            wrong += accepted
        times.sort()
        p50, p99 = (times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.99))
        print(f"  {count} revocations: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {times[-1]:.1f} ms; accepted after the receipt: {wrong}", flush=True)
        assert wrong == 0, f"{wrong} requests were accepted after the receipt"
        assert times[-1] <= within_ms, f"{times[-1]:.0f} ms is more than {within_ms} ms"
        return p99

    def calm(self):
        p99 = self.measure(self.arguments.revocations)
        assert p99 <= P99_AIM, f"p99 {p99:.0f} ms is more than the aim of {P99_AIM} ms"

    def replica_killed(self):
        for replica in self.fleet.replicas:
            replica.process.kill()
            self.measure(self.arguments.faults)
            replica.process.start()

    def postgres_restarted(self):
        primary = self.fleet.databases[0]
        primary.process.signal(signal.SIGINT)
        primary.process.process.wait()
        began = time.monotonic()
        primary.process.start("ready to accept")
        self.measure(1)
        print(f"  the first revocation was done {time.monotonic() - began:.1f} s after the server was started")
        self.measure(self.arguments.faults)

    def postgres_failed_over(self):
        primary, standby = self.fleet.databases
        before = primary.sql("SELECT revision FROM store", "postern")
        primary.process.kill()
        standby.sql("SELECT pg_promote()")
        self.fleet.move_address(standby)
        after = standby.sql("SELECT revision FROM store", "postern")
        assert int(after) >= int(before), f"revision {before} has become {after}"
        began = time.monotonic()
        self.measure(1)
        print(f"  the first revocation was done {time.monotonic() - began:.1f} s after the promotion")
        self.measure(self.arguments.faults)

    def gateway_stopped(self):
        gateway = self.fleet.gateways[2]
        name, token = self.fleet.issue()
        self.fleet.accepted_by(token, self.fleet.gateways)
        gateway.process.signal(signal.SIGSTOP)
        receipt = self.fleet.api(0, "DELETE", f"/users/{self.fleet.user}/tokens/{name}?wait=1s")
        assert gateway.name in {entry["gateway"] for entry in receipt["not_heard_from"]}, receipt
        self.resumed(gateway, token)
        self.measure(self.arguments.faults)

    def resumed(self, gateway, token):
        gateway.process.signal(signal.SIGCONT)
        began, caller = time.monotonic(), Caller(gateway.address)
        wait_for(f"{gateway.name} to refuse", lambda: caller.ask(token)[0] in (401, 503))
        took = (time.monotonic() - began) * 1000
        print(f"  it refused {took:.0f} ms after its return")
        assert took <= MAX_AIM, f"{took:.0f} ms after its return"
        self.fleet.wait_ready([gateway])

    def cut_off(self, mode):
        """A gateway that hears nobody: returns when it stopped to accept, against what the receipt told."""
        gateway = self.fleet.gateways[3]
        name, token = self.fleet.issue()
        self.fleet.accepted_by(token, self.fleet.gateways)
        for link in gateway.links:
            link.set(mode)
        receipt = self.fleet.api(0, "DELETE", f"/users/{self.fleet.user}/tokens/{name}?wait=1s")
        assert gateway.name in {entry["gateway"] for entry in receipt["not_heard_from"]}, receipt
        caller = Caller(gateway.address)
        wait_for(f"{gateway.name} to refuse", lambda: caller.ask(token)[0] in (401, 503))
        late = time.time() - time_of(receipt["all_refuse_by"])
        print(f"  it stopped {-late:.1f} s before the time of the receipt")
        assert late <= 0, f"{late:.1f} s too late"
        for link in gateway.links:
            link.set("pass")
        self.fleet.wait_ready([gateway])
        self.measure(self.arguments.faults)

    def link_cut(self):
        self.cut_off("cut")

    def link_slowed(self):
        for link in self.fleet.gateways[3].links:
            link.set("slow")
        self.measure(max(1, self.arguments.faults // 5))
        for link in self.fleet.gateways[3].links:
            link.set("pass")

    def link_half_open(self):
        gateway = self.fleet.gateways[3]
        for link in gateway.links:
            link.set("half-open")
            name, token = self.fleet.issue()
            self.fleet.accepted_by(token, [other for other in self.fleet.gateways if other is not gateway])
            wait_for(f"{gateway.name} to move", gateway.ready)
            link.set("pass")
        self.cut_off("half-open")

    def disk_full(self):
        gateway = self.fleet.gateways[1]
        filler = gateway.data / "data" / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass
        self.measure(self.arguments.faults)
        filler.unlink()

    def clock_stepped(self):
        gateway = self.fleet.gateways[-1]
        for step in ("+7200", "-7200", "+0"):
            gateway.clock.write_text(f"{step}\n")
            self.measure(self.arguments.faults)
            assert gateway.ready(), f"not ready with its clock at {step} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revocations", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--binary", type=Path)
    arguments = parser.parse_args()
    if arguments.binary is None:
        subprocess.run(["cargo", "build", "--profile", "dist", "--locked", "--bin", "postern"], cwd=ROOT, check=True)
        arguments.binary = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist" / "postern"
    arguments.binary = arguments.binary.resolve()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with tempfile.TemporaryDirectory() as work:
        Path(work).chmod(0o755)
        fleet = Fleet(arguments.binary, Path(work))
        try:
            fleet.begin()
            load = Load(fleet)
            scenarios = Scenarios(fleet, arguments)
            try:
                scenarios.run()
            finally:
                load.end()
            for name, (good, asked) in sorted(load.counts.items()):
                print(f"{name}: {good} of {asked} requests of the steady load were answered 200")
            return 1 if scenarios.failed else 0
        finally:
            fleet.remove()


started = []

if __name__ == "__main__":
    sys.exit(main())
