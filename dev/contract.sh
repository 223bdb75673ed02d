#!/usr/bin/env bash
# Asks the API of `make up` for anything that its own document (/api/v1/openapi.json) allows, and for what it does not:
# no 5xx, no answer that the document does not know. dev/contract.sh [EXAMPLES]: so many random requests per operation.
# It has a namespace and an account of its own, and both are gone afterwards. Always the same requests, but for what
# the API itself has given (uids, digests).
here=$(dirname "$0")
for part in lib packages; do source "$here/$part.sh"; done

version=4.32.5
examples=${1:-20}
at_most=20m # of all of it
namespace=contract
folder=$root/target/contract
tool=$cache/schemathesis-$version

eval "$("$here/env.sh")"
[[ -n ${FASTDEPLOY_URL:-} ]] || fail 'there is no API yet: make up'
mkdir -p "$folder"

install_tool() {
  [[ ! -x $tool/bin/st ]] || return 0
  python3 -c 'import ensurepip' 2>/dev/null || apt_get install --yes --no-install-recommends python3-venv ||
    fail "Python's venv is missing; see $state/log/packages.log"
  rm -rf "$tool"
  { python3 -m venv "$tool" && "$tool/bin/pip" install --quiet "schemathesis==$version"; } >"$folder/install.log" 2>&1 ||
    { tail -n 20 "$folder/install.log" >&2; rm -rf "$tool"; fail 'schemathesis could not be installed, see above'; }
}

# ask METHOD PATH [BODY]: as the administrator.
ask() {
  curl --silent --show-error --fail-with-body --max-time 30 --request "$1" "$FASTDEPLOY_URL/api/v1$2" \
    --header "authorization: Bearer $admin" --header 'content-type: application/json' ${3:+--data "$3"}
}
sign_in() {
  local body; body=$(jq --null-input '{name: env.FASTDEPLOY_USER, password: env.FASTDEPLOY_PASSWORD}')
  admin=$(curl --silent --fail --max-time 30 "$FASTDEPLOY_URL/api/v1/session" --header 'content-type: application/json' --data "$body" | jq --raw-output .token)
}
accounts() { ask GET '/users?limit=200' | jq --raw-output '.items[].name'; }

service() { # NAME POLICY
  cat <<YAML
---
apiVersion: fastdeploy.dev/v1alpha1
kind: Service
metadata: {name: $1, namespace: $namespace}
spec:
  playbook: deploy.yml
  inventory: {local: true}
  policy: $2
  inputs: [{name: version, type: text, default: v1}]
  source: {inline: {deploy.yml: '[{"hosts": "all", "gather_facts": false, "tasks": [{"name": "Say it", "ansible.builtin.debug": {"msg": "{{ version }}"}}]}]'}}
YAML
}

# The account may do everything in its namespace, and besides that only what has to do with accounts and what looks.
prepare() {
  export CONTRACT_NAMESPACE=$namespace CONTRACT_ACCOUNT=contract-$EPOCHSECONDS CONTRACT_PASSWORD
  CONTRACT_PROTECTED=$(accounts | paste --serial --delimiters ,),$CONTRACT_ACCOUNT && export CONTRACT_PROTECTED
  CONTRACT_PASSWORD=$(ask POST /users "{\"name\": \"$CONTRACT_ACCOUNT\"}" | jq --raw-output .password)
  kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $namespace}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: contract, namespace: $namespace}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fastdeploy-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "fastdeploy:$CONTRACT_ACCOUNT"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: fastdeploy-contract}
rules:
  - {apiGroups: [fastdeploy.dev], resources: [users], verbs: [list, create, update, delete]}
  - {apiGroups: [fastdeploy.dev], resources: [system], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: fastdeploy-contract}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fastdeploy-contract}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "fastdeploy:$CONTRACT_ACCOUNT"}]
$(service done '{}')
$(service waits '{approval: {required: true}}')
$(service spare '{}')
YAML
  # A run with output and steps, and one that waits for somebody to agree.
  until_ok 30 'the mirror has the Services' ask GET "/services/$namespace/waits"
  CONTRACT_RUN=$(ask POST "/services/$namespace/done/deployments" '{}' | jq --raw-output .deployment.uid)
  CONTRACT_WAITS=$(ask POST "/services/$namespace/waits/deployments" '{}' | jq --raw-output .deployment.uid)
  export CONTRACT_RUN CONTRACT_WAITS
  has_ended() { ask GET "/deployments/$CONTRACT_RUN/wait?seconds=1" | jq --exit-status .finished; }
  until_ok 120 'the first run has ended' has_ended
}

# What was made goes, also when somebody stops this. Of accounts too many wrong passwords have to be forgotten first.
clean_up() {
  kubectl delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null
  kubectl delete clusterrolebinding,clusterrole fastdeploy-contract --ignore-not-found >/dev/null
  until_ok 90 'signing in again, after so many wrong passwords' sign_in
  sign_in
  local name
  for name in $(comm -13 <(tr , '\n' <<<"${CONTRACT_PROTECTED/%,$CONTRACT_ACCOUNT/}" | sort) <(accounts | sort)); do
    ask DELETE "/users/$(jq --null-input --raw-output --arg name "$name" '$name | @uri')" || true
  done
  kubectl wait --for delete "namespace/$namespace" --timeout 2m >/dev/null
}

install_tool
kubectl wait --for delete "namespace/$namespace" --timeout 2m >/dev/null 2>&1 || true # of a run before
sign_in || fail 'the administrator cannot sign in'
trap clean_up EXIT
prepare
began=$SECONDS
if ! (cd "$folder" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/dev/contract timeout "$at_most" \
    "$tool/bin/st" --config-file "$root/dev/contract/schemathesis.toml" run "$FASTDEPLOY_URL/api/v1/openapi.json" \
    --max-examples "$examples" --generation-database "$folder/examples") >"$folder/log" 2>&1; then
  tail -n 150 "$folder/log"
  fail "an answer is not as the document says, or took too long; all of it: $folder/log"
fi
say "      $(grep -oE '[0-9]+ generated[^.]*' "$folder/log" | tail -1) in $((SECONDS - began)) s"
