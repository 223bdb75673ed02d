#!/usr/bin/env python3
"""The same playbook by hand: in a pod like the last run's, but with a shell instead of our runner,
`ansible-playbook` is started a number of times with the settings that the runner gives it. Prints
the wall time from start to end, to hold against `claim → first task → Ansible ended` of run.py.

    benches/by_hand.py [--runs 5] [--service blog]
"""
import argparse
import json
import subprocess

INSIDE = r'''
import json, os, pathlib, shutil, statistics, subprocess, time
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
walls = []
for _ in range(RUNS):
    shutil.rmtree(memory / "cp", ignore_errors=True)  # each run opens its own connections
    began = time.monotonic()
    done = subprocess.run(["ansible-playbook", "-i", str(memory / "inventory.yml"), "-e", f"@{memory}/variables.json",
                           bundle["playbook"]], cwd=source, env=environment, capture_output=True, text=True)
    walls.append(time.monotonic() - began)
    if done.returncode: raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
print(f"by hand, {RUNS} runs: median {statistics.median(walls):.3f} s   min {min(walls):.3f}   max {max(walls):.3f}")
'''


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(["kubectl", *arguments], input=stdin, check=True, text=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--namespace", default="fastdeploy-demo")
    parser.add_argument("--service", default="blog")
    arguments = parser.parse_args()
    jobs = json.loads(kubectl("get", "jobs", "-n", arguments.namespace, "-l", f"fastdeploy.dev/service={arguments.service}", "-o", "json"))
    spec = jobs["items"][-1]["spec"]["template"]["spec"]
    spec["containers"][0] |= {"command": ["sleep", "3600"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-hand", "namespace": arguments.namespace}, "spec": spec}
    kubectl("create", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("wait", "pod/by-hand", "-n", arguments.namespace, "--for=condition=Ready", "--timeout=60s")
        program = INSIDE.replace("RUNS", str(arguments.runs))
        print(kubectl("exec", "-i", "by-hand", "-n", arguments.namespace, "--", "python3", "-", stdin=program), end="")
    finally:
        kubectl("delete", "pod", "by-hand", "-n", arguments.namespace, "--grace-period=0", "--force")


if __name__ == "__main__":
    main()
