# Settings that every script in dev/ shares, and three small tools: progress
# lines, templates, and programs that run in the background. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What is expensive to make (programs, base image) lives in the cache, what the
# cluster knows (etcd, containers, keys) in the state folder. Neither is here.
cache=${FASTDEPLOY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fastdeploy}
state=${FASTDEPLOY_STATE:-/var/lib/fastdeploy-dev}
config=$state/config
pki=$state/pki
kubeconfig=$state/kubeconfig
bin=$cache/bin # links to the programs in use

# Nine ports from here on, all on the loopback or the node's own address.
port=${FASTDEPLOY_PORT:-7443}
api_port=$port etcd_port=$((port + 1)) etcd_peer_port=$((port + 2))
kubelet_port=$((port + 3)) kubelet_health_port=$((port + 4))
manager_port=$((port + 5)) scheduler_port=$((port + 6))
proxy_health_port=$((port + 7)) proxy_metrics_port=$((port + 8))

# The node's address is from a range for documentation: no real host has it.
node=fastdeploy-dev
node_link=fastdeploy0
node_ip=${FASTDEPLOY_NODE_IP:-198.51.100.1}
pod_cidr=${FASTDEPLOY_POD_CIDR:-10.244.0.0/24}
service_cidr=${FASTDEPLOY_SERVICE_CIDR:-10.96.0.0/16}
api_service_ip=${service_cidr%.*.*}.0.1
dns_service_ip=${service_cidr%.*.*}.0.10
api_url=https://$node_ip:$api_port

containerd_socket=$state/run/containerd.sock

# Somebody else's cluster, if the caller's KUBECONFIG names one. Ours does not
# count: `eval "$(make -s env)"` puts it there.
external=
if [[ -n ${KUBECONFIG:-} && $KUBECONFIG != "$kubeconfig" ]]; then external=$KUBECONFIG; fi
export KUBECONFIG=${external:-$kubeconfig}
export PATH=$bin:$PATH

say() { printf '%s\n' "$*"; }
fail() { printf '\nmake: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

# fingerprint FILE…: twelve characters that change when the content of a file
# does, or what comes on standard input. Not the names: a clone is as good.
fingerprint() { (sha256sum -- "$@" | cut -d' ' -f1; cat) | sha256sum | cut -c1-12; }

# render TEMPLATE: the file with its $variables and $(commands) filled in.
render() { eval "cat <<END_OF_TEMPLATE
$(<"$1")
END_OF_TEMPLATE"; }

# write FILE: standard input, but only touched if it differs.
write() {
  local new; new=$(cat)
  [[ -f $1 && $new == "$(<"$1")" ]] || printf '%s\n' "$new" >"$1"
}

# phases "TITLE: FUNCTION"…: runs the functions in order, says how long each
# took and what comes next. A phase may set `outcome` to a few words.
phases() {
  local total=$# number=0 began title function next line
  local start=$SECONDS
  while (($#)); do
    title=${1%%: *} function=${1##*: }; shift
    next=${1:+"next: ${1%%: *}"}
    number=$((number + 1)) began=${EPOCHREALTIME/./} outcome=
    printf '[%d/%d] %s …\n' "$number" "$total" "$title"
    "$function"
    line=$(((${EPOCHREALTIME/./} - began) / 100000))
    printf '      %s%d.%d s%s\n' "${outcome:+$outcome, }" $((line / 10)) $((line % 10)) "${next:+   $next}"
  done
  printf 'Everything took %d min %d s.\n' $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60))
}

# until_ok SECONDS WHAT COMMAND…: tries again until the command succeeds.
until_ok() {
  local seconds=$1 what=$2 deadline; shift 2
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "$what: not within $seconds s. Logs: make logs"
    sleep 0.2
  done
}

# one_at_a_time: two `make up` at once would start everything twice.
one_at_a_time() {
  mkdir -p "$state"
  exec 9>"$state/lock"
  flock --nonblock 9 || { say 'Another make is at work on the cluster; waiting for it …'; flock 9; }
}

# node_modules FOLDER: what its package-lock.json says, unless it is there.
node_modules() {
  (
    cd "$root/$1"
    [[ -d node_modules && node_modules/.package-lock.json -nt package-lock.json ]] && exit
    npm ci --no-audit --no-fund --loglevel=error
  )
}
