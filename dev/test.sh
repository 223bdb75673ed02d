#!/usr/bin/env bash
# `make test`, and what CI runs: from what fails soonest to what takes longest.
here=$(dirname "$0")
source "$here/lib.sh"
cd "$root"

lint() { make --silent lint; }
units() {
  eval "$("$here/env.sh")" # the store is tested on the cluster's PostgreSQL, in databases of its own
  cargo test --locked --workspace --exclude tests
}
cluster() { "$here/up.sh"; }
current() { "$here/generate.sh" --check; }
stories() {
  eval "$("$here/env.sh")"
  cargo test --locked --package tests -- --test-threads=5 "$@"
}

phases 'format and clippy: lint' 'cluster and installation: cluster' 'unit tests: units' \
  'generated files: current' 'stories on the cluster: stories'
