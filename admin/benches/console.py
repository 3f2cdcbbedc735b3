#!/usr/bin/env python3
"""Weighs the pages of the console and times them, with 10,000 service users.

Usage: admin/benches/console.py [--binary target/dist/postern] [--users 10000]

Prints a line for each page: octets of HTML, octets of all that a first visit loads, as they are sent and as gzip makes them,
and the median and the longest time of 20 requests, in milliseconds, from the request to the last octet of the answer.
"""

import argparse
import gzip
import http.client
import json
import re
import statistics
import subprocess
import tempfile
import time
from urllib.parse import urlsplit

ORG = "bench"
REPETITIONS = 20


def ask(connection, method, path, fields, body=None):
    connection.request(method, path, body=body, headers=fields)
    answer = connection.getresponse()
    return answer, answer.read()


def connect(url):
    return http.client.HTTPConnection("127.0.0.1", urlsplit(url).port)


class Console:
    def __init__(self, binary, data):
        command = [binary, "serve", "--upstream", "http://127.0.0.1:9", "--upstream-token-file", f"{data}/credential"]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--console-listen", "127.0.0.1:0"]
        command += ["--data", f"{data}/data", "--org", ORG, "--access-log", "off"]
        with open(f"{data}/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stderr=log)
        told = None
        while told is None:
            time.sleep(0.05)
            with open(f"{data}/log", encoding="utf-8") as log:
                told = next((json.loads(line) for line in log if '"message":"listening"' in line), None)
        self.gateway, self.url = f"http://{told['requests']}", told["console"]
        local = self.url.replace("localhost", "127.0.0.1")
        opened = subprocess.run(
            [binary, "console", "open", "--url", local, "--data", f"{data}/data"], capture_output=True, text=True, check=True
        )
        self.fields = {"Host": urlsplit(self.url).netloc}
        asked = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", **self.fields}
        code = opened.stdout.strip().split("#")[1]
        answer, _ = ask(connect(self.url), "POST", "/sign-in", asked, f"code={code}&next=/")
        self.fields["Cookie"] = answer.getheader("Set-Cookie").split(";")[0]

    def fill(self, token, users):
        """Makes service users, each with a token; returns the last one's id."""
        connection = connect(self.gateway)
        fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        for number in range(users):
            body = {"name": f"robot {number:05}", "role": "member", "email": f"robot{number}@example.com"}
            answer, made = ask(connection, "POST", f"/orgs/{ORG}/users", fields, json.dumps(body))
            assert answer.status == 200, made
            user = json.loads(made)["id"]
            body = {"id": "main", "type": "static", "expires_at": f"{2027 + number % 9}-06-01T00:00:00Z"}
            answer, made = ask(connection, "POST", f"/users/{user}/tokens", fields, json.dumps(body))
            assert answer.status == 200, made
        return user

    def page(self, path):
        connection = connect(self.url)
        times = []
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            answer, html = ask(connection, "GET", path, self.fields)
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status == 200, (path, answer.status)
        loaded = [html]
        for name in set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', html.decode())):
            loaded.append(ask(connection, "GET", name, self.fields)[1])
        zipped = sum(len(gzip.compress(part)) for part in loaded)
        return len(html), sum(map(len, loaded)), zipped, statistics.median(times), max(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/dist/postern")
    parser.add_argument("--users", type=int, default=10000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        with open(f"{data}/credential", "w", encoding="utf-8") as file:
            file.write("credential")
        console = Console(arguments.binary, data)
        try:
            with open(f"{data}/data/bootstrap-token", encoding="utf-8") as file:
                user = console.fill(file.read().strip(), arguments.users)
            one = f"/service-users/{user}"
            pages = ["/service-users", "/service-users?q=robot+09", "/service-users?state=ending&sort=ending"]
            pages += ["/service-users?page=150", one, f"{one}/tokens/new", f"{one}/access", "/members", "/policies"]
            pages += ["/decisions", "/audit", "/gateways", "/sessions"]
            print("| page | HTML | all | all, gzip | median ms | longest ms |\n|---|---|---|---|---|---|")
            for path in pages:
                html, loaded, zipped, median, longest = console.page(path)
                name = path.replace(user, "ID")
                print(f"| `{name}` | {html:,} | {loaded:,} | {zipped:,} | {median:.1f} | {longest:.1f} |", flush=True)
        finally:
            console.process.terminate()
            console.process.wait()


if __name__ == "__main__":
    main()
