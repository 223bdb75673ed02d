#!/usr/bin/env python3
"""How long a run takes, part by part, on the local cluster: medians over a number of runs.

The API server's audit log says when what was asked for (in microseconds); the runner says when
the first step began. `make up` first, then:  benches/run.py [--runs 7] [--service blog]
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import time

STATE = pathlib.Path(os.environ.get("FASTDEPLOY_STATE", "/var/lib/fastdeploy-dev"))
OURS = "system:serviceaccount:fastdeploy-system:fastdeploy-"


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(["kubectl", *arguments], input=stdin, check=True, text=True, capture_output=True).stdout


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def one_run(namespace: str, service: str) -> dict:
    manifest = {
        "apiVersion": "fastdeploy.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": f"bench-{time.time_ns() // 1_000_000}", "namespace": namespace},
        "spec": {"service": service, "reason": "benches/run.py"},
    }
    name = kubectl("create", "-f", "-", "-o", "name", stdin=json.dumps(manifest)).strip().split("/")[1]
    # It watches: to ask again and again would take the CPU from the run. Ansible's end alone is not enough: as long
    # as the old pod is there, the next run waits for it.
    kubectl("wait", f"fdep/{name}", "-n", namespace, "--for=condition=Succeeded", "--timeout=10m")
    kubectl("wait", f"job/{name}-a1", "-n", namespace, "--for=condition=Complete", "--timeout=1m")
    return json.loads(kubectl("get", "fdep", name, "-n", namespace, "-o", "json"))


def ansible(deployment: dict) -> float:
    """How long Ansible ran, as the runner told it; seconds."""
    told = json.loads(deployment["status"]["run"]["result"])
    return at(told["finishedAt"]) - at(told["startedAt"])


def audit_of(deployments: list[dict]) -> dict[str, list[dict]]:
    """The audit log's entries by Deployment."""
    names = {d["metadata"]["name"]: [] for d in deployments}
    for line in (STATE / "audit.log").open():
        if not any(name in line for name in names):
            continue
        entry = json.loads(line)
        text = json.dumps(entry.get("objectRef", {})) + entry.get("requestURI", "")
        for name, entries in names.items():
            if name in text:
                entries.append(entry)
    return names


def figures(deployment: dict, entries: list[dict]) -> dict[str, float]:
    name, status = deployment["metadata"]["name"], deployment["status"]

    def first(verb, resource, user="", subresource=None, last=False):
        hits = [
            e for e in entries
            if e["verb"] == verb and e["objectRef"].get("resource") == resource and user in e["user"]["username"]
            and e["objectRef"].get("subresource") == subresource and e.get("responseStatus", {}).get("code", 500) < 300
        ]
        return at((hits[-1] if last else hits[0])["stageTimestamp"]) if hits else None

    asked = first("create", "deployments")
    job = first("create", "jobs")
    pod = first("create", "pods", subresource="binding")
    claim = first("patch", "deployments", OURS + "api-server", "status")
    verdict = first("patch", "deployments", OURS + "operator", "status", last=True)
    started = [at(step["startedAt"]) for step in status.get("steps", []) if step.get("startedAt")]
    ended = at(status["finishedAt"])
    numbered = first("patch", "deployments", OURS + "operator", "status")
    return {
        "apply → numbered": numbered - asked,
        "numbered → Job": job - numbered,
        "Job → pod bound to a node": pod - job if pod else None,
        "pod bound → claim granted": claim - pod if pod else None,
        "claim → first task": min(started) - claim if started else None,
        "first task → Ansible ended": ended - min(started) if started else None,
        "Ansible, from its start to its end": ansible(deployment),
        "Ansible ended → verdict in status": verdict - ended,
        "writes by the operator": sum(e["user"]["username"] == OURS + "operator" and e["verb"] in ("create", "patch", "delete") for e in entries),
        "writes by the api-server": sum(e["user"]["username"] == OURS + "api-server" and e["verb"] == "patch" for e in entries),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--namespace", default="fastdeploy-demo")
    parser.add_argument("--service", default="blog")
    arguments = parser.parse_args()
    deployments = [one_run(arguments.namespace, arguments.service) for _ in range(arguments.runs)]
    time.sleep(2)  # the audit log is written with a delay
    audit = audit_of(deployments)
    rows: dict[str, list[float]] = {}
    for deployment in deployments:
        for row, value in figures(deployment, audit[deployment["metadata"]["name"]]).items():
            if value is not None:
                rows.setdefault(row, []).append(value)
    print(f"{len(deployments)} runs of {arguments.service}; seconds, or a count")
    for row, values in rows.items():
        print(f"{row:36} median {statistics.median(values):8.3f}   min {min(values):8.3f}   max {max(values):8.3f}")


if __name__ == "__main__":
    main()
