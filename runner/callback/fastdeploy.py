# What happens in a run, as JSON lines on the pipe that the runner gave us.
#
# Shipped inside the runner, written beside the run, enabled by it. It must never
# break or slow a run: every hook swallows its own errors (and reports them as a
# line), nothing here talks to a network, and task arguments are never sent.
# Python 3.9+, ansible-core 2.19-2.22.

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import select
import subprocess
import time

import yaml

from ansible import constants, context
from ansible.parsing.vault import VaultLib, is_encrypted
from ansible.playbook.block import Block
from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars

DOCUMENTATION = """
    name: fastdeploy
    type: aggregate
    short_description: Reports plan, steps and results to the fastDeploy runner
    description:
      - Writes JSON lines into the file descriptor named by FASTDEPLOY_EVENTS_FD.
"""

# Masking happens in the runner, on whole values: what is cut here must be far
# longer than what people are shown.
MESSAGE_LIMIT = 16 * 1024
# The runner cuts bodies to 64 kB once they are masked.
BODY_LIMIT = 128 * 1024
NOTES = 10
# Seconds for an `ssh` that no longer reads.
SSH_ENDS_WITHIN = 2
# As Ansible's PlayIterator names the task that it adds itself.
GATHERING = "Gathering Facts"
PAUSES = ("pause", "ansible.builtin.pause", "ansible.legacy.pause")
# A value of a vault file whose name says so is secret however short it is.
SECRET_NAMES = ("pass", "pwd", "secret", "token", "key", "credential", "private", "auth", "pin")


def never_break(hook):
    """An error in a hook is a line for the runner, never the end of a run."""

    @functools.wraps(hook)
    def safe(self, *args, **kwargs):
        try:
            return hook(self, *args, **kwargs)
        except Exception as error:  # pylint: disable=broad-except
            self.send({"t": "callbackError", "hook": hook.__name__, "message": repr(error)[:500]})
            return None

    return safe


# Of an option of an argument spec, what a form needs.
DECLARED = ("type", "required", "choices", "description", "default", "no_log")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fastdeploy"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.base = os.path.realpath(os.getcwd())
        self.stop_file = os.environ.get("FASTDEPLOY_STOP_FILE")
        self.keys = {}  # task uuid -> key
        self.seen = {}  # "path:line" -> how many tasks have it
        self.play = None
        self.refused = False
        self.planned = set()
        self.open = {}  # key -> hosts that began and have no result yet
        self.began = {}  # (key, host) -> when
        try:
            self.fd = int(os.environ["FASTDEPLOY_EVENTS_FD"])
            os.fstat(self.fd)
            os.set_inheritable(self.fd, False)
        except (KeyError, ValueError, OSError):
            self.disabled = True
            return
        tell_what_the_vault_hides()
        give_ssh_time_to_say_why()

    # -- the pipe

    def send(self, line):
        # As text and not as escapes: half of a surrogate pair (a byte that is no text) becomes "?".
        data = json.dumps(line, default=str, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            while data:
                data = data[os.write(self.fd, data):]
        except OSError:
            self.disabled = True

    # -- which step is it

    def location(self, item):
        """`path:line`, relative to the source, or to the role where that lies elsewhere."""
        path, _, line = (item.get_path() or "").rpartition(":")
        if not path:
            return "unknown:0"
        path = os.path.realpath(path)
        if path.startswith(self.base + os.sep):
            return "%s:%s" % (os.path.relpath(path, self.base), line)
        role = getattr(item, "_role", None)
        root = os.path.realpath(role._role_path) if role else None
        if root and path.startswith(root + os.sep):
            return "%s/%s:%s" % (role.get_name(), os.path.relpath(path, root), line)
        return "%s:%s" % (os.path.basename(path), line)

    def key(self, task):
        """The same task has the same key in every batch of `serial` and on every host."""
        known = self.keys.get(task._uuid)
        if known is None and self.is_gathering(task) and self.play is not None:
            # Made anew for each batch of a play.
            known = self.keys.get(("facts", self.play._uuid))
        if known is None:
            known = self.number(self.location(task))
        self.keys[task._uuid] = known
        return known

    def number(self, location):
        self.seen[location] = self.seen.get(location, 0) + 1
        return "%s#%d" % (location, self.seen[location])

    @staticmethod
    def is_gathering(task):
        return task.name == GATHERING and getattr(task, "_ds", None) is None

    @staticmethod
    def name(task):
        if task.name:
            return str(task.name)
        return str(task.action).rpartition(".")[2]

    @staticmethod
    def section(task, play):
        role = getattr(task, "_role", None)
        if role:
            return role.get_name()
        return play.get_name() if play is not None else ""

    # -- the plan

    @never_break
    def v2_playbook_on_start(self, playbook):
        tell_what_was_opened(playbook._loader)
        steps = []
        for play in playbook.get_plays():
            try:
                self.plan_play(play, steps)
            except Exception as error:  # pylint: disable=broad-except
                self.send({"t": "callbackError", "hook": "plan", "message": repr(error)[:500]})
        declared = []
        try:
            self.declared(playbook, declared)
        except Exception as error:  # pylint: disable=broad-except
            self.send({"t": "callbackError", "hook": "declared", "message": repr(error)[:500]})
        self.send({"t": "plan", "steps": steps, "declared": declared})
        self.planned = {step["key"] for step in steps}
        waits = self.waits(playbook)
        if waits:
            self.refuse(waits)

    def plan_play(self, play, steps):
        if self.gathers(play):
            key = self.number(self.location(play))
            self.keys[("facts", play._uuid)] = key
            steps.append({"key": key, "name": GATHERING, "section": play.get_name(), "conditional": False})
        for block in play.compile():
            self.plan_block(block, play, steps, False)
        for block in play.compile_roles_handlers() + list(play.handlers or []):
            self.plan_block(block, play, steps, True)

    def gathers(self, play):
        wanted = play.gather_facts
        if wanted is None:
            wanted = constants.DEFAULT_GATHERING != "explicit"
        return bool(wanted) and self.tags_allow(play.tags or ["always"])

    def plan_block(self, block, play, steps, conditional):
        for section, when in ((block.block, conditional), (block.rescue, True), (block.always, conditional)):
            for task in section or ():
                if isinstance(task, Block):
                    self.plan_block(task, play, steps, when)
                elif self.is_planned(task):
                    if task._uuid in self.keys:
                        continue
                    steps.append({
                        "key": self.key(task),
                        "name": self.name(task),
                        "section": self.section(task, play),
                        "conditional": when,
                    })

    def is_planned(self, task):
        if task.action in ("meta", "ansible.builtin.meta", "ansible.legacy.meta"):
            return False
        return self.tags_allow(task.tags)

    @staticmethod
    def tags_allow(tags):
        """As Taggable.evaluate_tags, without templating: a templated tag may run."""
        tags = {str(tag) for tag in tags or ()}
        if any("{{" in tag for tag in tags):
            return True
        tags = tags or {"untagged"}
        only = set(context.CLIARGS.get("tags") or ("all",))
        skip = set(context.CLIARGS.get("skip_tags") or ())
        tagged = tags != {"untagged"}
        runs = (
            "always" in tags
            or ("all" in only and "never" not in tags)
            or bool(tags & only)
            or ("tagged" in only and tagged and "never" not in tags)
        )
        if "all" in skip:
            return runs and "always" in tags and "always" not in skip
        return runs and not (tags & skip) and not ("tagged" in skip and tagged)

    # -- what the project says of its variables, for the form of the Service

    def declared(self, playbook, found):
        loader = playbook._loader
        name = playbook._file_name or ""
        for ending in (".meta.yml", ".meta.yaml"):
            path = os.path.splitext(name)[0] + ending
            specs = self.specs(loader, path)
            for spec in specs.values():
                self.declare(os.path.basename(path), spec, found)
            if specs:
                break
        seen = set()
        for role, path, entry in self.roles(playbook):
            if (path, entry) in seen:
                continue
            seen.add((path, entry))
            for file in ("argument_specs.yml", "argument_specs.yaml", "main.yml", "main.yaml"):
                specs = self.specs(loader, os.path.join(path, "meta", file))
                if specs:
                    self.declare("role " + role, specs.get(entry), found)
                    break

    @staticmethod
    def roles(playbook):
        """Each role that the playbook names, with its folder and the entry that is used."""
        def entry(files):
            return os.path.splitext(str((files or {}).get("tasks") or "main"))[0]

        def of_block(block):
            for section in (block.block, block.rescue, block.always):
                for task in section or ():
                    if isinstance(task, Block):
                        yield from of_block(task)
                        continue
                    if task._role:
                        yield task._role.get_name(), task._role._role_path, entry(task._role._from_files)
                    wanted = getattr(task, "_role_name", None)
                    if wanted and "{{" not in str(wanted):
                        # It is looked for when it runs; most lie here.
                        yield str(wanted), os.path.join(playbook._basedir, "roles", str(wanted)), entry(task._from_files)

        for play in playbook.get_plays():
            for role in play.get_roles():
                yield role.get_name(), role._role_path, entry(role._from_files)
            for block in play.compile():
                yield from of_block(block)

    @staticmethod
    def specs(loader, path):
        if not loader.is_file(path):
            return {}
        content = loader.load_from_file(path)
        specs = content.get("argument_specs") if isinstance(content, dict) else None
        return specs if isinstance(specs, dict) else {}

    @staticmethod
    def declare(by, spec, found):
        options = spec.get("options") if isinstance(spec, dict) else None
        said = []
        for name, option in options.items() if isinstance(options, dict) else ():
            if isinstance(option, dict):
                keep = {key: option[key] for key in DECLARED if key in option}
                if option.get("no_log"):
                    keep.pop("default", None)
                said.append({"name": str(name), **keep})
        if said:
            found.append({"by": by, "options": said})

    # -- nobody sits at a keyboard

    def refuse(self, waits):
        """Ends the run: what would wait for an answer would go on without one."""
        self.refused = True
        self.send({"t": "keyboard", "waits": waits[:NOTES]})
        raise KeyboardInterrupt

    def waits(self, playbook):
        """What is sure to wait for somebody at a keyboard, in sentences."""
        found = []
        given = load_extra_vars(playbook._loader)
        for play in playbook.get_plays():
            for asked in play.vars_prompt or ():
                if asked["name"] not in given:
                    found.append(self.asks(play, asked))
            if str(play.strategy) == "debug":
                found.append("%s: strategy: debug waits at a keyboard where a task fails: remove it" % self.location(play))
            for block in play.compile():
                self.waiting(block, play, False, found)
        return found

    def waiting(self, block, play, conditional, found):
        conditional = conditional or bool(block.when)
        for section, maybe in ((block.block, conditional), (block.rescue, True), (block.always, conditional)):
            for task in section or ():
                if isinstance(task, Block):
                    self.waiting(task, play, maybe, found)
                elif self.is_planned(task):
                    said = self.keyboard(task)
                    # What may be left out is looked at when it runs.
                    if said and not maybe and not task.when:
                        found.append(said)

    def asks(self, play, asked):
        name = asked["name"]
        if asked.get("private", True):
            how = "put it into a Secret that variablesFrom names, or make it an input (spec.inputs, name: %s)" % name
        else:
            how = "make it an input of the Service (spec.inputs, name: %s)" % name
        return "%s: vars_prompt asks for %s: %s" % (self.location(play), name, how)

    def keyboard(self, task):
        """Why a task waits for a key; nothing if it does not."""
        if task.action in PAUSES and isinstance(task.args, dict) and not {"seconds", "minutes", "_variable_params"} & set(task.args):
            how = "give it seconds, or make what it asks for an input of the Service (spec.inputs)"
            return "%s: %s (pause) waits for a key: %s" % (self.location(task), self.name(task), how)
        if getattr(task, "debugger", None) not in (None, "never"):
            return "%s: %s: debugger waits at a keyboard: remove it" % (self.location(task), self.name(task))
        return None

    # -- the run

    def stop_if_asked(self):
        """Ends the run between two tasks. Ansible has no other way than an interrupt."""
        if self.stop_file and os.path.exists(self.stop_file):
            self.close()
            self.send({"t": "stopped"})
            raise KeyboardInterrupt

    def close(self):
        """Ends every step that waits for no host."""
        for key in [key for key, hosts in self.open.items() if not hosts]:
            del self.open[key]
            self.send({"t": "end", "key": key})

    @never_break
    def v2_playbook_on_play_start(self, play):
        self.close()
        self.stop_if_asked()
        self.play = play

    @never_break
    def v2_playbook_on_no_hosts_matched(self):
        self.send({"t": "noHosts", "play": self.play.get_name() if self.play else ""})

    @never_break
    def v2_playbook_on_task_start(self, task, is_conditional):
        self.start(task, False)

    @never_break
    def v2_playbook_on_handler_task_start(self, task):
        self.start(task, True)

    def start(self, task, conditional):
        self.stop_if_asked()
        said = self.keyboard(task)
        if said and not self.has_condition(task):
            self.close()
            self.refuse([said])
        key = self.key(task)
        if key in self.open:  # the free strategy starts a task once per host
            return
        self.close()
        self.open[key] = set()
        self.send({
            "t": "start",
            "key": key,
            "name": self.name(task),
            "section": "" if key in self.planned else self.section(task, self.play),
            "conditional": conditional,
            "facts": self.is_gathering(task),
        })

    @staticmethod
    def has_condition(task):
        while task is not None:
            if getattr(task, "when", None):
                return True
            task = task._parent
        return False

    @never_break
    def v2_runner_on_start(self, host, task):
        key = self.key(task)
        self.began[key, host.get_name()] = time.monotonic()
        self.open.setdefault(key, set()).add(host.get_name())

    @never_break
    def v2_runner_retry(self, result):
        data = result.result
        self.send({
            "t": "retry",
            "key": self.key(result.task),
            "host": result.host.get_name(),
            "attempt": int(data.get("attempts") or 0),
            "of": int(data.get("retries") or 0),
        })

    @never_break
    def v2_on_file_diff(self, result):
        data = result.result
        if data.get("censored"):
            return
        items = data.get("results") if result.task.loop else None
        shown = []
        for one in items if items is not None else (data,):
            if isinstance(one, dict) and one.get("diff") and one.get("changed") and not one.get("censored"):
                shown.append(str(self._get_diff(one["diff"])))
        text = "".join(shown).strip("\n")
        if text:
            self.send({
                "t": "diff",
                "key": self.key(result.task),
                "host": result.host.get_name(),
                "text": text[:BODY_LIMIT],
            })

    @never_break
    def v2_runner_on_ok(self, result):
        self.result(result, "Ok", "")
        if self.keyboard(result.task):
            # It had a condition, which held: nobody was there to answer.
            self.close()
            self.refuse([self.keyboard(result.task)])

    @never_break
    def v2_runner_on_skipped(self, result):
        self.result(result, "Skipped", "")

    @never_break
    def v2_runner_on_failed(self, result, ignore_errors=False):
        if ignore_errors:
            state = "Ignored"
        elif self.is_rescued(result.task):
            state = "Rescued"
        else:
            state = "Failed"
        self.result(result, state, self.message(result))

    @never_break
    def v2_runner_on_unreachable(self, result):
        ignored = getattr(result.task, "ignore_unreachable", False)
        self.result(result, "Ignored" if ignored else "Unreachable", self.message(result))

    def result(self, result, state, message):
        key = self.key(result.task)
        host = result.host.get_name()
        began = self.began.pop((key, host), None)
        self.open.setdefault(key, set()).discard(host)
        data = result.result
        line = {
            "t": "result",
            "key": key,
            "host": host,
            "state": state,
            "changed": bool(data.get("changed", False)),
            "ms": int((time.monotonic() - began) * 1000) if began is not None else 0,
            "message": message,
        }
        if data.get("attempts", 0) not in (0, 1):
            line["attempts"] = int(data["attempts"])
        items = data.get("results")
        if result.task.loop and isinstance(items, list):
            line["items"] = self.items(items)
        if not data.get("censored"):
            if message and getattr(result, "exception", None) is not None:
                line["error"] = self.summary(result.exception)
            for name in ("warnings", "deprecations"):
                notes = [self.note(one) for one in list(getattr(result, name, None) or ())[:NOTES]]
                if notes:
                    line[name] = notes
        self.send(line)

    @staticmethod
    def items(items):
        counts = {"total": len(items), "changed": 0, "failed": 0, "skipped": 0}
        for item in items:
            if isinstance(item, dict):
                for name in ("changed", "failed", "skipped"):
                    counts[name] += bool(item.get(name))
        return counts

    @staticmethod
    def note(summary):
        event = getattr(summary, "event", None)
        return str(event.msg if event is not None else summary)[:MESSAGE_LIMIT]

    def summary(self, exception):
        """An ErrorSummary: what happened and what led to it, and the innermost known place."""
        said, excerpt, advice = [], "", ""
        event = exception.event
        while event is not None and len(said) < NOTES:
            words = str(event.msg or "").strip()
            if words and (not said or words not in said[-1]):
                said.append(words)
            excerpt = str(event.formatted_source_context or "") or excerpt
            advice = str(event.help_text or "") or advice
            event = event.chain.event if event.chain is not None and event.chain.follow else None
        return {
            "message": "\n".join(said)[:MESSAGE_LIMIT],
            "excerpt": excerpt.replace("Origin: %s%s" % (self.base, os.sep), "Origin: ").strip()[:MESSAGE_LIMIT],
            "help": advice.strip()[:MESSAGE_LIMIT],
        }

    @staticmethod
    def is_rescued(task):
        """Whether a block around the task has a `rescue` that takes over."""
        child, parent = task, task._parent
        while parent is not None:
            if isinstance(parent, Block) and parent.rescue:
                if any(child._uuid == one._uuid for one in parent.block):
                    return True
            child, parent = parent, parent._parent
        return False

    @staticmethod
    def message(result):
        """What went wrong, in the words of the module; of the first failed item in a loop."""
        data = result.result
        for item in data.get("results") or ():
            if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
                data = item
                break
        if data.get("censored"):
            return str(data["censored"])
        words = str(data.get("msg") or data.get("reason") or "").strip()
        if not words and getattr(result, "exception", None) is not None:
            words = str(getattr(getattr(result.exception, "event", None), "msg", "") or "")
        said = next(
            (str(data[k]).strip() for k in ("module_stderr", "stderr", "module_stdout", "stdout") if data.get(k)), "")
        if words == "non-zero return code" or not words:
            if data.get("rc") is not None:
                words = "exit code %s" % data["rc"]
            words = "%s: %s" % (words, said) if words and said else words or said
        elif words.startswith("MODULE FAILURE") and said:
            words = "%s: %s" % (words.splitlines()[0], said.splitlines()[-1])
        if words.startswith("Task failed: "):
            words = words[len("Task failed: "):]
        return words[:MESSAGE_LIMIT]

    @never_break
    def v2_playbook_on_stats(self, stats):
        for hosts in self.open.values():
            hosts.clear()
        self.close()
        self.send({
            "t": "stats",
            "hosts": {host: stats.summarize(host) for host in sorted(stats.processed)},
            "outputs": (getattr(stats, "custom", None) or {}).get("_run") or {},
        })


# -- why a server was not reached

def give_ssh_time_to_say_why():
    """An `ssh` that no longer reads what Ansible sends is about to end, and says why: connection refused, no
    permission, another host key. Ansible (ssh.py, _send_initial_data) gives it one millisecond for that, and
    then tells of a broken pipe instead. On a busy machine that is too short; so it is waited for here, and
    what it says is read after all. Tasks are processes forked from this one: they inherit it."""
    try:
        from ansible.plugins.connection import ssh  # pylint: disable=import-outside-toplevel

        connection, failure = ssh.Connection, ssh.AnsibleConnectionFailure
        send = connection._send_initial_data
    except (ImportError, AttributeError):
        return  # A later Ansible, which may do without.

    @functools.wraps(send)
    def and_wait(self, *args, **kwargs):
        try:
            return send(self, *args, **kwargs)
        except failure:
            processes = [one for one in (*args, *kwargs.values()) if isinstance(one, subprocess.Popen)]
            if not processes:
                raise
            try:
                processes[0].wait(SSH_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                pass
            if processes[0].returncode is None:
                raise
            return None

    connection._send_initial_data = and_wait


# -- what is decrypted on the way

def tell_what_the_vault_hides():
    """The runner hides what comes out of ansible-vault, too. It has to know it before anybody can
    print it: so whoever decrypts waits for its answer, in this process or in one of a task."""
    try:
        fd = int(os.environ["FASTDEPLOY_SECRETS_FD"])
        os.fstat(fd)
        os.set_inheritable(fd, False)
    except (KeyError, ValueError, OSError):
        return
    turn = multiprocessing.get_context("fork").Lock()
    told = set()
    decrypt = VaultLib.decrypt_and_get_vault_id

    def tell(value):
        data = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if not turn.acquire(timeout=5):
            return
        try:
            while data:
                data = data[os.write(fd, data):]
            if select.select([fd], [], [], 5)[0]:
                os.read(fd, 1)
        finally:
            turn.release()

    @functools.wraps(decrypt)
    def and_tell(self, vaulttext):
        answer = decrypt(self, vaulttext)
        try:
            for value in secret_values(answer[0]):
                if value not in told:
                    tell(value)
                    told.add(value)
        except Exception:  # pylint: disable=broad-except
            pass  # The run goes on; what was not told is as visible as in any other run.
        return answer

    VaultLib.decrypt_and_get_vault_id = and_tell


def tell_what_was_opened(loader):
    """A play with roles reads its files of variables before there are callback plugins. What was opened
    then is opened once more, so that it is told."""
    for path in list(loader._FILE_CACHE):
        try:
            with open(path, "rb") as file:
                data = file.read()
            if is_encrypted(data):
                loader._vault.decrypt(data)
        except Exception:  # pylint: disable=broad-except
            pass  # Gone meanwhile, or no longer to be opened: whoever needs it says so.


def secret_values(plaintext):
    """A decrypted value, or those of a decrypted file of variables."""
    text = plaintext.decode("utf-8", "replace") if isinstance(plaintext, bytes) else str(plaintext)
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if ":" in text else None
    except yaml.YAMLError:
        content = None
    if isinstance(content, (dict, list)):
        return list(leaves(content, ""))
    return [text]


def leaves(content, name):
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, str(key).lower())
    elif isinstance(content, list):
        for value in content:
            yield from leaves(value, name)
    elif isinstance(content, (str, int)) and not isinstance(content, bool):
        value = str(content)
        # Names of hosts and users stand in such files, too, and should stay readable.
        if len(value) >= 8 or any(word in name for word in SECRET_NAMES):
            yield value
