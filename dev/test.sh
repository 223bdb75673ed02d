#!/usr/bin/env bash
# `make test`, and what CI runs: from what fails soonest to what takes longest.
here=$(dirname "$0")
source "$here/lib.sh"
cd "$root"

lint() { make --silent lint; }
units() {
  eval "$("$here/env.sh")" # the store is tested on the cluster's PostgreSQL, in databases of its own
  cargo test --locked --workspace
}
parsers() { "$here/fuzz.sh" 5; }
page() {
  node_modules web
  (cd web && npm run --silent lint && npm test --silent)
}
cluster() { "$here/up.sh"; }
# Which tells those of desk and phone before.
browser() { "$here/browser.sh" --project restart; }
current() { "$here/generate.sh" --check; }
# Up to three that failed are told once more, by themselves, after `make up` has mended what they
# may have left broken. One that is green then is named as unsteady: a race, of ours or of its own.
stories() {
  eval "$("$here/env.sh")"
  local log=$state/log/stories.log failed
  cargo test --locked --workspace --test stories -- --test-threads=5 2>&1 | tee "$log" && return
  mapfile -t failed < <(sed -En 's/^test ((alone|beside|finally)::.*) \.\.\. FAILED$/\1/p' "$log")
  ((${#failed[@]} >= 1 && ${#failed[@]} <= 3)) || return 1
  "$here/up.sh"
  eval "$("$here/env.sh")"
  cargo test --locked --workspace --test stories -- --test-threads=1 --exact "${failed[@]}"
  say "UNSTEADY, failed once and was green when told again: ${failed[*]}"
}

# The browser first: what it asks for is among what the last story compares with our rights.
phases 'format and clippy: lint' 'the page, by itself: page' 'cluster and installation: cluster' 'unit tests: units' 'every parser, fuzzed: parsers' \
  'generated files: current' 'stories in the browser: browser' 'stories on the cluster: stories'
