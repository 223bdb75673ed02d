#!/usr/bin/env python3
"""How soon a browser knows, and how fast the API answers, on the local cluster.

Runs a Service in a pod of its own with many quick steps, follows it with 1, 100 and 1,000 sockets, and
compares the time in each event (when the runner saw what the callback wrote) with the time of its
arrival. All clocks are this machine's. `make up` first, then:
    eval "$(make -s env)"; benches/live.py [--runs 5] [--clients 1 100 1000]
The steps follow each other as quickly as Ansible can, some 40 a second: to 1,000 sockets, 40,000 messages a second.
REST is measured with wrk (apt-get install wrk), if it is there.
"""
import argparse
import base64
import datetime
import json
import os
import select
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator

URL = os.environ.get("FASTDEPLOY_URL", "http://127.0.0.1:30090")
HOST, PORT = URL.split("//")[1].split(":")
NAMESPACE = "bench-live"
STEPS = 60
# Seconds in which something comes.
PATIENCE = 60
# Seconds in which all sockets join: what comes then is caught up with, which is not what is measured.
JOIN = 5
SERVICE = {
    "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "quick", "namespace": NAMESPACE},
    "spec": {
        "playbook": "deploy.yml", "inventory": {"local": True},
        "source": {"inline": {"deploy.yml": json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [
            {"name": "All are here", "ansible.builtin.command": f"sleep {JOIN}"},
            *({"name": f"Step {n}", "ansible.builtin.debug": {"msg": "x"}} for n in range(STEPS))]}])}},
    },
}


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(["kubectl", *arguments], input=stdin, check=True, text=True, capture_output=True).stdout


def ask(method: str, path: str, token: str = "", body: dict | None = None) -> dict:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{URL}/api/v1{path}", data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def at(text: str) -> float:
    whole, _, rest = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc).timestamp()
    return seconds + float(f"0.{rest or 0}")


class Socket:
    """As much of RFC 6455 as is needed here. What comes is kept with its time and read when the run has ended, all
    have one buffer, and one loop asks the system for them: 1,000 sockets that read JSON meanwhile, or that asyncio
    looks after, would measure themselves."""

    buffer = memoryview(bytearray(1 << 18))

    def __init__(self, token: str) -> None:
        self.file, self.came, self.end = socket.create_connection((HOST, int(PORT)), PATIENCE), [], b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.file.sendall((
            f"GET /api/v1/ws HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        self.say({"type": "signIn", "token": token})
        while not self.takes(b'"type":"ready"'):
            pass

    def takes(self, *words: bytes) -> bool:
        """What is there, and whether one of these words is in it."""
        size = self.file.recv_into(self.buffer)
        if size == 0:
            raise ConnectionError("the socket was closed")
        data = bytes(self.buffer[:size])
        self.came.append((time.time(), data))
        heard, self.end = self.end + data, data[-32:]
        return any(word in heard for word in words)

    def say(self, message: dict) -> None:
        text = json.dumps(message).encode()
        length = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0xFE]) + len(text).to_bytes(2)
        self.file.sendall(bytes([0x81]) + length + bytes(4) + text)

    def messages(self) -> Iterator[tuple[float, dict]]:
        """With the time at which each was there as a whole."""
        kept = b""
        for now, data in self.came:
            kept += data
            if kept.startswith(b"HTTP/"):
                _, head, kept = kept.partition(b"\r\n\r\n")
                assert head, "the head comes in one piece"
            while len(kept) >= 4:
                start, length = (4, int.from_bytes(kept[2:4])) if kept[1] & 0x7F == 126 else (2, kept[1] & 0x7F)
                if kept[1] & 0x7F == 127:
                    start, length = 10, int.from_bytes(kept[2:10])
                if len(kept) < start + length:
                    break
                if kept[0] & 0x0F == 1:
                    yield now, json.loads(kept[start:start + length])
                kept = kept[start + length:]


def take(sockets: list[Socket], *words: bytes) -> None:
    """Until one of these words has come to each of them."""
    waiting = {one.file.fileno(): one for one in sockets}
    with select.epoll() as ready:
        for number in waiting:
            ready.register(number, select.EPOLLIN)
        while waiting:
            told = ready.poll(PATIENCE)
            if not told:
                raise TimeoutError("nothing came any more")
            for number, _ in told:
                if waiting[number].takes(*words):
                    ready.unregister(number)
                    del waiting[number]


def seen_by(one: Socket, joined: float) -> tuple[list[float], float]:
    """Delays of all events from then on, and when the run's end came."""
    delays: list[float] = []
    for now, message in one.messages():
        if message["type"] == "events":
            delays += [now - at(event["at"]) for event in message["events"] if at(event["at"]) > joined]
        elif message["type"] == "deployment" and message["deployment"]["phase"] in ("Succeeded", "Failed"):
            return delays, now
        elif message["type"] in ("refused", "reset"):
            raise RuntimeError(message)
    raise RuntimeError("the end of the run did not come")


def one_run(clients: int, token: str) -> tuple[list[float], float, int]:
    sockets = [Socket(token) for _ in range(clients)]
    run = ask("POST", f"/services/{NAMESPACE}/quick/deployments", token, {"reason": "benches/live.py"})
    topic = f"deployments/{run['deployment']['uid']}"
    for one in sockets:
        one.say({"type": "subscribe", "topic": topic, "after": run["cursor"]})
    joined = time.time() + JOIN - 1
    take(sockets, b'"phase":"Succeeded"', b'"phase":"Failed"', b'"type":"reset"', b'"type":"refused"')
    for one in sockets:
        one.file.close()
    seen = [seen_by(one, joined) for one in sockets]
    status = json.loads(kubectl("get", "fdep", run["deployment"]["name"], "-n", NAMESPACE, "-o", "json"))["status"]
    assert status["phase"] == "Succeeded", status
    ended = at(status["finishedAt"])
    while kubectl("get", "fsvc", "quick", "-n", NAMESPACE, "-o", "jsonpath={.status.active.name}"):
        time.sleep(0.1)
    return [delay for delays, _ in seen for delay in delays], statistics.median(end - ended for _, end in seen), len(seen[0][0])


def ms(seconds: float) -> str:
    return f"{seconds * 1000:7.1f} ms"


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def rest(token: str) -> None:
    if not shutil.which("wrk"):
        print("REST: wrk is not installed (apt-get install wrk)")
        return
    run = ask("GET", f"/services/{NAMESPACE}/quick/deployments?limit=1", token)["items"][0]["uid"]
    for name, path in [("services, list", "/services"), ("one deployment with steps", f"/deployments/{run}")]:
        size = len(json.dumps(ask("GET", path, token)))
        for connections in (1, 16):
            told = []
            for _ in range(5):
                command = ["wrk", "--latency", f"-t{min(2, connections)}", f"-c{connections}", "-d3s",
                           "-H", f"authorization: Bearer {token}", f"{URL}/api/v1{path}"]
                out = subprocess.run(command, check=True, text=True, capture_output=True).stdout
                assert "Non-2xx" not in out, out
                half = next(line.split()[1] for line in out.splitlines() if line.strip().startswith("50%"))
                rate = float(next(line.split()[1] for line in out.splitlines() if line.startswith("Requests/sec")))
                told.append((float(half.rstrip("ums")) / (1000 if half.endswith("us") else 1), rate))
            half, rate = (statistics.median(values) for values in zip(*told))
            print(f"REST {name} ({size} bytes), c={connections:2}: p50 {half:6.2f} ms, {rate:7.0f} requests/s")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--clients", type=int, nargs="+", default=[1, 100, 1000])
    options = options.parse_args()
    credentials = {"name": os.environ["FASTDEPLOY_USER"], "password": os.environ["FASTDEPLOY_PASSWORD"]}
    token = ask("POST", "/session", body=credentials)["token"]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
    kubectl("apply", "-f", "-", stdin=json.dumps(SERVICE))
    time.sleep(2)
    try:
        one_run(1, token)  # warm
        for clients in options.clients:
            runs = [one_run(clients, token) for _ in range(options.runs)]
            half = statistics.median(percentile(delays, 0.5) for delays, _, _ in runs)
            most = statistics.median(percentile(delays, 0.99) for delays, _, _ in runs)
            end = statistics.median(end for _, end, _ in runs)
            print(f"{clients:4} sockets, {runs[0][2]} events each: event → socket p50 {ms(half)}, p99 {ms(most)};"
                  f" Ansible ended → Succeeded on the socket p50 {ms(end)}")
        rest(token)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


if __name__ == "__main__":
    main()
