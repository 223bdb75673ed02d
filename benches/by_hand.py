#!/usr/bin/env python3
"""The same playbook with us and by hand, in turns: a run of ours; then a pod like that run's, in which
`ansible-playbook` is started with the settings that the runner gives it, by a few lines of Python in the place
of the runner. Both pods are new and start at once. Prints the wall time of Ansible in both, and the ratio.

    benches/by_hand.py [--runs 5] [--service blog]
"""
import argparse
import json
import statistics

import run
from run import kubectl

INSIDE = r'''
import json, os, pathlib, shutil, subprocess, time
bundle = json.load(open("/run/fastdeploy/bundle/bundle.json"))
source = pathlib.Path("/work/source")
for path, text in bundle["source"]["files"].items():
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    (source / path).write_text(text)
memory = pathlib.Path("/run/fastdeploy/memory")
(memory / "inventory.yml").write_text(json.dumps(bundle["inventory"]["inline"]))
(memory / "variables.json").write_text(json.dumps({**bundle.get("variables", {}), **bundle.get("inputs", {})}))
shutil.copy("/run/fastdeploy/secrets/ssh/ssh-privatekey", memory / "key"); os.chmod(memory / "key", 0o600)
environment = {
    "PATH": os.environ["PATH"], "HOME": "/work", "LANG": "C.UTF-8", "ANSIBLE_LOCAL_TEMP": str(memory / "tmp"),
    "ANSIBLE_PIPELINING": "true", "ANSIBLE_FORKS": "10", "ANSIBLE_GATHERING": "smart",
    "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=60s",
    "ANSIBLE_SSH_CONTROL_PATH_DIR": str(memory / "cp"), "ANSIBLE_PRIVATE_KEY_FILE": str(memory / "key"),
    "ANSIBLE_REMOTE_USER": bundle["credentials"]["sshUser"], "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
    "ANSIBLE_SSH_COMMON_ARGS": "-o UserKnownHostsFile=/run/fastdeploy/known-hosts/known_hosts -o StrictHostKeyChecking=yes",
}
began = time.monotonic()
done = subprocess.run(["ansible-playbook", "-i", str(memory / "inventory.yml"), "-e", f"@{memory}/variables.json",
                       bundle["playbook"]], cwd=source, env=environment, capture_output=True, text=True)
took = time.monotonic() - began
print(took if done.returncode == 0 else done.stdout[-2000:] + done.stderr[-2000:])
'''


def by_hand(namespace: str, spec: dict) -> float:
    """A pod of this spec, but with a program of its own; seconds."""
    spec = spec | {"restartPolicy": "Never", "containers": [spec["containers"][0] | {"command": ["python3", "-c", INSIDE]}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-hand", "namespace": namespace}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("wait", "pod/by-hand", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=10m")
        return float(kubectl("logs", "by-hand", "-n", namespace))
    finally:
        kubectl("delete", "pod", "by-hand", "-n", namespace)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--namespace", default="fastdeploy-demo")
    parser.add_argument("--service", default="blog")
    arguments = parser.parse_args()
    walls: dict[str, list[float]] = {"ours": [], "by hand": []}
    for _ in range(arguments.runs):
        deployment = run.one_run(arguments.namespace, arguments.service)
        walls["ours"].append(run.ansible(deployment))
        job = json.loads(kubectl("get", f"job/{deployment['metadata']['name']}-a1", "-n", arguments.namespace, "-o", "json"))
        walls["by hand"].append(by_hand(arguments.namespace, job["spec"]["template"]["spec"]))
    for name, of in walls.items():
        print(f"{name:8} {len(of)} runs: median {statistics.median(of):.3f} s   min {min(of):.3f}   max {max(of):.3f}")
    pairs = [ours / hand for ours, hand in zip(walls["ours"], walls["by hand"])]
    print(f"ours / by hand: median of the pairs {statistics.median(pairs):.3f}   of the least {min(walls['ours']) / min(walls['by hand']):.3f}")


if __name__ == "__main__":
    main()
