#!/usr/bin/env python3
"""A gigabyte of output through everything: a script prints a million lines of 1,000 bytes, in a run of ours and
in a pod of the same image without us. Prints how long both took, the most memory that each part had meanwhile
(its share of the pages, as the kernel counts them), how long pages, a search and a download of the output take
afterwards, and by how much the database grew. What a run keeps is bounded; that what is left out is said is checked.
Takes away what it made: output goes with its day, not with its Deployment, so its rows are deleted by hand.

The cluster's node has to be this machine. `make up` first, then:
    eval "$(make -s env)"; benches/gigabyte.py [--lines 1000000]
"""
import argparse
import glob
import json
import os
import pathlib
import statistics
import subprocess
import threading
import time
import urllib.request

from live import URL, ask
from run import ansible, kubectl

NAMESPACE = "bench-gigabyte"
INSTALLATION = os.environ.get("FASTDEPLOY_NAMESPACE", "fastdeploy-system")
CAPPED = "[fastDeploy: the output beyond 256 MB is only in the container's log]"
# Words, so that it packs as output does; no two lines of a chunk are alike.
SCRIPT = """#!/usr/bin/env python3
import random, sys, time
began, chance = time.monotonic(), random.Random(1)
words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(2000)]
bodies = [(" ".join(chance.choices(words, k=200))[:LENGTH - 9]).encode() for _ in range(4096)]
for at in range(1, LINES + 1, 1000):
    sys.stdout.buffer.write(b"".join(b"%07d %s\\n" % (n, bodies[n * 2654435761 % 4096]) for n in range(at, at + 1000)))
sys.stdout.flush()
print(f"took {time.monotonic() - began}", file=sys.stderr)
"""
# What stands for a part in /proc: a word of its pods' labels, and the end of its program's name.
PARTS = {
    "runner": ("fastdeploy.dev/deployment", "fastdeploy-runner"),
    "api-server": ("app.kubernetes.io/component=api-server", "api-server"),
    "operator": ("app.kubernetes.io/component=operator", "operator"),
    "PostgreSQL": ("app.kubernetes.io/component=postgresql", ""),
}


def psql(statement: str) -> str:
    command = "exec /usr/lib/postgresql/*/bin/psql --host /tmp --username fastdeploy --quiet --tuples-only --no-align fastdeploy"
    words = ["exec", "--stdin", "statefulset/fastdeploy-postgresql", "--", "sh", "-c", command]
    return kubectl("--namespace", INSTALLATION, *words, stdin=statement).strip()


class Memory(threading.Thread):
    """The most that each part had, in bytes, and what it had at the start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.first: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.over = threading.Event()

    def run(self) -> None:
        pods: dict[str, list[str]] = {}
        known: dict[str, list[str]] = {}
        looks = 0
        while not self.over.wait(0.25):
            # Connections of PostgreSQL come and go.
            if looks % 4 == 0:
                for part, (label, _) in PARTS.items():
                    pods[part] = pods.get(part) or of_pods(label)
                known = processes(pods)
            looks += 1
            for part in PARTS:
                if size := sum(map(share, known[part])):
                    self.first.setdefault(part, size)
                    self.most[part] = max(self.most.get(part, 0), size)


def of_pods(label: str) -> list[str]:
    where = NAMESPACE if label.endswith("/deployment") else INSTALLATION
    return kubectl("--namespace", where, "get", "pods", "--selector", label, "-o", "jsonpath={.items[*].metadata.uid}").split()


def processes(pods: dict[str, list[str]]) -> dict[str, list[str]]:
    """Of each part, those of its program in the control groups of its pods."""
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for process in glob.glob("/proc/[0-9]*"):
        try:
            groups = pathlib.Path(process, "cgroup").read_text()
            name = pathlib.Path(process, "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        for part, (_, program) in PARTS.items():
            if name.endswith(program) and any(uid in groups or uid.replace("-", "_") in groups for uid in pods[part]):
                found[part].append(process)
    return found


def share(process: str) -> int:
    try:
        rollup = pathlib.Path(process, "smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def alone(script: str, image: str) -> float:
    """Without us; seconds, as the script itself says."""
    # What it says at last stands in the pod's status: in a log, the two streams overtake each other.
    command = ["sh", "-c", 'exec python3 -c "$0" 2>/dev/termination-log', script]
    container = {"name": "alone", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
    spec = {"restartPolicy": "Never", "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone", "namespace": NAMESPACE}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(pod))
    kubectl("wait", "pod/alone", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=10m")
    last = kubectl("get", "pod", "alone", "-n", NAMESPACE, "-o", "jsonpath={.status.containerStatuses[0].state.terminated.message}")
    kubectl("delete", "pod", "alone", "-n", NAMESPACE)
    return float(last.removeprefix("took "))


def run(script: str) -> tuple[dict, float]:
    """A run of ours, and how long after the script's end all of it was in PostgreSQL."""
    service = {
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Service", "metadata": {"name": "flood", "namespace": NAMESPACE},
        "spec": {"source": {"inline": {"flood.py": script}}, "script": "flood.py", "inventory": {"local": True}},
    }
    deployment = {
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "flood", "namespace": NAMESPACE},
        "spec": {"service": "flood", "reason": "benches/gigabyte.py"},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(service))
    kubectl("create", "-f", "-", stdin=json.dumps(deployment))
    kubectl("wait", "fdep/flood", "-n", NAMESPACE, "--for=condition=Succeeded", "--timeout=20m")
    uid = kubectl("get", "fdep", "flood", "-n", NAMESPACE, "-o", "jsonpath={.metadata.uid}")
    until = time.monotonic() + 300
    while not psql(f"select 1 from runs where uid = '{uid}' and sealed_at is not null"):
        assert time.monotonic() < until, "the final report has not arrived"
        time.sleep(0.5)
    made = json.loads(kubectl("get", "fdep", "flood", "-n", NAMESPACE, "-o", "json"))
    ended = json.loads(made["status"]["run"]["result"])["finishedAt"]
    late = psql(f"select extract(epoch from sealed_at - '{ended}'::timestamptz) from runs where uid = '{uid}'")
    return made, float(late)


def timed(what, times: int = 5) -> tuple[float, object]:
    took, answer = [], None
    for _ in range(times):
        began = time.monotonic()
        answer = what()
        took.append(time.monotonic() - began)
    return statistics.median(took), answer


def download(path: str, token: str) -> tuple[int, int, str]:
    """Bytes, lines, the last one; each line that was printed is there once, in order."""
    request = urllib.request.Request(f"{URL}/api/v1{path}", headers={"authorization": f"Bearer {token}"})
    size, count, line = 0, 0, b""
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            size, count = size + len(line), count + 1
            assert line.startswith((b"%07d " % count, b"took ", CAPPED.encode())), (count, line[:80])
    return size, count, line.decode().strip()


def looks(uid: str, token: str, lines: int) -> None:
    at = f"/deployments/{uid}/output"
    total = ask("GET", f"{at}?limit=1", token)["total"]
    first, page = timed(lambda: ask("GET", f"{at}?limit=1000", token))
    assert page["lines"][0].startswith("0000001 ") and len(page["lines"]) == 1000
    last, page = timed(lambda: ask("GET", f"{at}?from={total - 999}&limit=1000", token))
    assert len(page["lines"]) == 1000 and total == page["first"] + 999, (total, page["first"], len(page["lines"]), page["lines"][0][:20])
    said = page["lines"][-1] == CAPPED
    assert said or total == lines + 1, f"{lines + 1} lines were printed, {total} are kept, and nothing says so: {page['lines'][-1][:80]}"
    end, found = timed(lambda: ask("GET", f"{at}/search?q={page['lines'][-2][:7]}", token), 3)
    assert [hit["line"] for hit in found["hits"]] == [total - 1], found
    nowhere, found = timed(lambda: ask("GET", f"{at}/search?q=nowhere%20to%20be%20found", token), 3)
    assert found["hits"] == [], found
    whole, (size, count, ending) = timed(lambda: download(f"{at}/download", token), 1)
    assert (count, ending == CAPPED) == (total, said), (count, total, ending)
    print(f"kept: {total:,} of {lines:,} lines, {size / 1e6:.0f} MB" + (f"; the last line says {CAPPED}" if said else ""))
    print(f"a page of 1,000 lines: the first {first:.3f} s, the last {last:.3f} s")
    print(f"a search: for what is in the last line {end:.2f} s, for what is nowhere {nowhere:.2f} s; a download: {whole:.1f} s")


def database() -> tuple[int, str]:
    return int(psql("checkpoint; select pg_database_size(current_database())")), psql("select pg_current_wal_lsn()")


def forget(uid: str) -> None:
    tables = ["run_output", "run_events", "run_gaps", "runs"]
    psql("".join(f"delete from {table} where uid = '{uid}';" for table in tables))
    psql("vacuum run_output; vacuum run_events;")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=1_000_000)
    options.add_argument("--length", type=int, default=1_000)
    options = options.parse_args()
    script = SCRIPT.replace("LINES", str(options.lines)).replace("LENGTH", str(options.length))
    credentials = {"name": os.environ["FASTDEPLOY_USER"], "password": os.environ["FASTDEPLOY_PASSWORD"]}
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
    uid = None
    try:
        image = os.environ["FASTDEPLOY_RUNNER_IMAGE"]
        without = alone(script, image)
        before, log = database()
        memory = Memory()
        memory.start()
        made, late = run(script)
        uid = made["metadata"]["uid"]
        took = ansible(made)
        after, _ = database()
        written = int(psql(f"select pg_current_wal_lsn() - '{log}'::pg_lsn"))
        packed = int(psql(f"select sum(octet_length(content)) from run_output where uid = '{uid}'"))
        print(f"{options.lines:,} lines of {options.length:,} bytes: {took:.1f} s, without us {without:.1f} s; in PostgreSQL {late:.1f} s after the script's end")
        looks(uid, ask("POST", "/session", body=credentials)["token"], options.lines)
        memory.over.set()
        memory.join()
        for part, most in memory.most.items():
            print(f"memory of {part:10}: {memory.first[part] / 1e6:6.1f} MB at first, {most / 1e6:6.1f} MB at most")
        print(f"the database: {(after - before) / 1e6:.0f} MB more, of that {packed / 1e6:.0f} MB packed output; {written / 1e6:.0f} MB into its log")
    finally:
        kubectl("delete", "namespace", NAMESPACE)
        if uid:
            kept = psql(f"select count(*) from run_output where uid = '{uid}'")
            forget(uid)
            left = psql(f"select (select count(*) from run_output where uid = '{uid}') + (select count(*) from run_events where uid = '{uid}')")
            print(f"the Deployment is gone: {kept} chunks stay until their day is over; deleted by hand, {left} rows are left, {(database()[0] - before) / 1e6:.0f} MB more than before")


if __name__ == "__main__":
    main()
