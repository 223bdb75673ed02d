#!/usr/bin/env bash
# Playwright on the page of `make up`, in the system's Chromium: what follows is for it, for example
# --project desk --grep token. Pictures of a failure are in target/browser/results.
here=$(dirname "$0")
for part in lib packages; do source "$here/$part.sh"; done

if [[ -z ${CHROMIUM:-} ]]; then
  have chromium || { say '      installing Chromium …'; apt_get update || true; apt_get install --yes --no-install-recommends chromium fonts-liberation; } ||
    fail "Chromium could not be installed, see $state/log/packages.log; or set CHROMIUM to the program"
  CHROMIUM=$(command -v chromium)
fi
export CHROMIUM
eval "$("$here/env.sh")"
[[ -n ${FASTDEPLOY_URL:-} ]] || fail 'there is no page yet: make up'
node_modules tests/browser
cd "$root/tests/browser"
exec npx --no-install playwright test "$@"
