#!/usr/bin/env python3
"""What the callback plugin adds to tasks that do nothing: the same playbook with and without it, in turns.

    benches/overhead.py [--runs 7] [--tasks 50]
Needs ansible-playbook in the PATH. Prints milliseconds per task.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

PLUGIN = pathlib.Path(__file__).resolve().parent.parent / "runner/callback"


def run(folder: str, with_plugin: bool) -> float:
    reader, writer = os.pipe()
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8", "ANSIBLE_LOCALHOST_WARNING": "0"}
    if with_plugin:
        environment |= {"ANSIBLE_CALLBACK_PLUGINS": str(PLUGIN), "ANSIBLE_CALLBACKS_ENABLED": "fastdeploy",
                        "FASTDEPLOY_EVENTS_FD": str(writer), "FASTDEPLOY_STOP_FILE": folder + "/stop"}
    began = time.monotonic()
    process = subprocess.Popen(["ansible-playbook", "-i", "localhost,", "-c", "local", "play.yml"], cwd=folder, env=environment,
                               pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.close(writer)
    drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")])
    drain.start()
    if process.wait():
        raise SystemExit("ansible-playbook failed")
    took = time.monotonic() - began
    drain.join()
    os.close(reader)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--tasks", type=int, default=50)
    arguments = parser.parse_args()
    tasks = "".join(f"    - {{name: Task {n}, ansible.builtin.debug: {{msg: nothing}}}}\n" for n in range(arguments.tasks))
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "play.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks:\n" + tasks)
        run(folder, True)
        plain, watched = [], []
        for _ in range(arguments.runs):
            plain.append(run(folder, False))
            watched.append(run(folder, True))
    bare, seen = min(plain), min(watched)
    print(f"{arguments.tasks} tasks, {arguments.runs} runs each: without {statistics.median(plain):.3f} s (least {bare:.3f})   "
          f"with {statistics.median(watched):.3f} s (least {seen:.3f})   per task {1000 * (statistics.median(watched) - statistics.median(plain)) / arguments.tasks:+.2f} ms"
          f" (of the least {1000 * (seen - bare) / arguments.tasks:+.2f} ms)   wall x {statistics.median(watched) / statistics.median(plain):.3f}")


if __name__ == "__main__":
    main()
