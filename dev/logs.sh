#!/usr/bin/env bash
# `make logs`: the last lines of everything; `make logs C=kubelet` or
# `C=operator` follows one.
here=$(dirname "$0")
for part in lib processes images install; do source "$here/$part.sh"; done

case ${1:-} in
'')
  for log in "$state"/log/*.log; do
    [[ ! -s $log ]] || { say "== ${log##*/}"; tail -n 5 "$log" | cut -c1-240; }
  done
  for name in operator api-server; do
    say "== $name"
    kubectl --namespace "$namespace" logs "deployment/fastdeploy-$name" --tail 5 2>&1 || true
  done
  ;;
operator | api-server) kubectl --namespace "$namespace" logs "deployment/fastdeploy-$1" --follow --tail 100 ;;
*)
  [[ -f $state/log/$1.log ]] || fail "no log $1; there are: operator api-server $(cd "$state/log" && ls -- *.log | sed 's/\.log$//' | xargs)"
  tail -n 100 --follow=name "$state/log/$1.log"
  ;;
esac
