#!/usr/bin/env python3
"""A playbook of 20 tasks over SSH through a TCP proxy that delays, once as Ansible comes and once with the
settings that the runner gives it (pipelining, one connection that stays, facts that are kept). Both go
through the same proxy to the same server, one after the other in turns; what counts is the ratio.

    benches/delayed_ssh.py --to 10.0.0.5:22 --user deploy --key FILE [--delay 20 100] [--runs 3]
Needs ssh and ansible-playbook in the PATH. --delay is a round trip in milliseconds.
"""
import argparse
import asyncio
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

TASKS = 20
PLAYBOOK = "- hosts: all\n  tasks:\n" + "".join(f"    - {{name: Task {n}, ansible.builtin.command: 'true'}}\n" for n in range(TASKS))
STOCK: dict[str, str] = {}


def ours(facts: pathlib.Path) -> dict[str, str]:
    """As runner/src/command.rs has it."""
    return {
        "ANSIBLE_PIPELINING": "true", "ANSIBLE_FORKS": "10", "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(facts),
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent", "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=60s",
    }


class Proxy(threading.Thread):
    """Passes bytes on, each half a round trip later. Bytes overtake neither each other nor the delay."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        super().__init__(daemon=True)
        self.to, self.half = (host, port), delay / 2
        self.loop, self.port, self.ready = asyncio.new_event_loop(), 0, threading.Event()
        self.start()
        self.ready.wait()

    def run(self) -> None:
        self.loop.run_until_complete(self.listen())
        self.loop.run_forever()

    async def listen(self) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.half * 2)  # the handshake of TCP
        there, back = await asyncio.open_connection(*self.to)
        await asyncio.gather(self.carry(reader, back), self.carry(there, writer), return_exceptions=True)

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - self.loop.time()))
                if not data:
                    sink.close()
                    return
                sink.write(data)
                await sink.drain()

        sending = asyncio.ensure_future(send())
        try:
            while True:
                data = await source.read(65536)
                queue.put_nowait((self.loop.time() + self.half, data))
                if not data:
                    break
        except OSError:
            queue.put_nowait((self.loop.time(), b""))
        await sending


def run(folder: pathlib.Path, port: int, user: str, key: str, settings: dict[str, str]) -> float:
    home = pathlib.Path(tempfile.mkdtemp(dir="/tmp", prefix="cp"))  # no connection stays from the run before
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
        "ANSIBLE_PRIVATE_KEY_FILE": key, "ANSIBLE_REMOTE_USER": user, "ANSIBLE_HOST_KEY_CHECKING": "False", **settings,
    }
    began = time.monotonic()
    done = subprocess.run(["ansible-playbook", "-i", "server,", "-e", f"ansible_host=127.0.0.1 ansible_port={port}", "play.yml"],
                          cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True)
    parser.add_argument("--user", default="deploy")
    parser.add_argument("--key", required=True)
    parser.add_argument("--delay", type=float, nargs="*", default=[20, 100])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    host, port = arguments.to.rsplit(":", 1)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "play.yml").write_text(PLAYBOOK)
        for delay in arguments.delay:
            proxy = Proxy(host, int(port), delay / 1000)
            facts = pathlib.Path(tempfile.mkdtemp(dir=folder))
            walls: dict[str, list[float]] = {"stock": [], "ours": []}
            for _ in range(arguments.runs):
                for name, settings in (("stock", STOCK), ("ours", ours(facts))):
                    walls[name].append(run(pathlib.Path(folder), proxy.port, arguments.user, arguments.key, settings))
            stock, own = statistics.median(walls["stock"]), statistics.median(walls["ours"])
            first = walls["ours"][0]
            print(f"{delay:5.0f} ms: stock {stock:6.1f} s   ours {own:6.1f} s   {stock / own:.2f} times as fast"
                  f"   (without facts of an earlier run: {first:.1f} s, {walls['stock'][0] / first:.2f})", flush=True)


if __name__ == "__main__":
    main()
