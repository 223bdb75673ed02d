#!/usr/bin/env bash
# Playwright on the page of `make up`, in the system's Chromium: what follows is for it, for example
# --project desk --grep token. Pictures of a failure are in target/browser/results.
here=$(dirname "$0")
for part in lib packages quiet; do source "$here/$part.sh"; done

if [[ -z ${CHROMIUM:-} ]]; then
  have chromium || { say '      installing Chromium …'; apt_get update || true; apt_get install --yes --no-install-recommends chromium fonts-liberation; } ||
    fail "Chromium could not be installed, see $state/log/packages.log; or set CHROMIUM to the program"
  CHROMIUM=$(command -v chromium)
fi
eval "$("$here/env.sh")"
[[ -n ${FASTDEPLOY_URL:-} ]] || fail 'there is no page yet: make up'
node_modules tests/browser
if quiet_network "$FASTDEPLOY_URL"; then CHROMIUM=$(in_the_quiet_network "$CHROMIUM"); fi
export CHROMIUM
cd "$root/tests/browser"
npx --no-install playwright test "$@"
