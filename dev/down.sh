#!/usr/bin/env bash
# `make down`: stops what was started, by pid, and takes away its containers,
# mounts, links and rules. What the cluster knows is kept for the next `make up`;
# `dev/down.sh --forget` forgets that too.
here=$(dirname "$0")
for part in lib processes images cluster; do source "$here/$part.sh"; done

if [[ -n $external ]]; then fail "KUBECONFIG names a cluster that is not ours ($external); unset it to stop the one of this machine"; fi
if [[ ! -d $state/run ]]; then say 'Nothing was started here.'; exit; fi
one_at_a_time
phases 'stopping the cluster: stop_cluster'
if [[ ${1:-} == --forget ]]; then rm -rf "$state"; say "Forgotten: $state"; fi
