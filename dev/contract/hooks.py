"""Who asks, about what, and what is left alone: for dev/contract.sh, which sets the variables."""
import os
import time
from urllib.parse import unquote

import requests
import schemathesis
from hypothesis import strategies

URL = os.environ["FASTDEPLOY_URL"] + "/api/v1"
NAMESPACE = os.environ["CONTRACT_NAMESPACE"]
RUN, WAITS = os.environ["CONTRACT_RUN"], os.environ["CONTRACT_WAITS"]
PROTECTED = set(os.environ["CONTRACT_PROTECTED"].split(","))
# A token lasts ten minutes.
REFRESH = 240
# What there is: `done` has a run that has ended, `waits` one that nobody has agreed to.
SERVICES = ["done", "waits", "spare"]
UIDS = [RUN, WAITS]


class SignedIn:
    """One sign-in, renewed by its cookie: wrong passwords that are tried meanwhile are not in its way."""

    def __init__(self):
        self.session, self.token, self.until = requests.Session(), "", 0.0

    def bearer(self) -> str:
        if time.monotonic() > self.until:
            body = {"name": os.environ["CONTRACT_ACCOUNT"], "password": os.environ["CONTRACT_PASSWORD"]}
            answer = self.session.post(f"{URL}/session/refresh") if self.token else self.session.post(f"{URL}/session", json=body)
            answer.raise_for_status()
            self.token, self.until = answer.json()["token"], time.monotonic() + REFRESH
        return self.token


SIGNED_IN = SignedIn()


@schemathesis.auth(refresh_interval=REFRESH)
class Bearer:
    def get(self, case, context):
        return SIGNED_IN.bearer()

    def set(self, case, token, context):
        case.headers["authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_load_schema(context, schema):
    """Examples of what there is: they are tried as they are, and varied one part at a time.

    A manifest in YAML is a text, as the document says; schemathesis would compare what the text stands for.
    """
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            for answer in operation.get("responses", {}).values() if isinstance(operation, dict) else []:
                answer.get("content", {}).get("application/yaml", {}).pop("schema", None)
            for parameter in operation.get("parameters", []) if isinstance(operation, dict) else []:
                match (parameter["in"], parameter["name"]):
                    case ("path", "namespace") | ("query", "namespace"):
                        parameter["example"] = NAMESPACE
                    case ("path", "name") if path.startswith("/services/"):
                        parameter["example"] = "waits" if operation["operationId"] == "startDeployment" else "done"
                    case ("path", "uid"):
                        parameter["example"] = WAITS if operation["operationId"] in ("cancelDeployment", "decideDeployment") else RUN
                    case ("query", "with"):
                        parameter["example"] = WAITS
                    case ("query", "to"):
                        parameter["example"] = "waits"


@schemathesis.hook
def flatmap_path_parameters(context, value):
    """Half of what is random is about something that there is."""
    if not value:
        return strategies.just(value)
    known = {}
    if "namespace" in value:
        known["namespace"] = strategies.just(NAMESPACE)
        known["name"] = strategies.sampled_from(SERVICES)
    if "uid" in value:
        known["uid"] = strategies.sampled_from(UIDS)
    there = strategies.fixed_dictionaries({name: known.get(name, strategies.just(value[name])) for name in value})
    return strategies.one_of(strategies.just(value), there)


@schemathesis.hook
def before_call(context, case, kwargs):
    """What others need, and what the rest of these requests is about, stays."""
    path = case.path_parameters or {}
    match case.operation.definition.raw.get("operationId"):
        case "changeUser" | "deleteUser" | "resetPassword" if unquote(path.get("name", "")) in PROTECTED:
            path["name"] = "nobody"
        case "deleteService" if unquote(path.get("name", "")) in ("done", "waits"):
            path["name"] = "spare"
