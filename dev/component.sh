#!/usr/bin/env bash
# One program of the cluster, for tests that take it away and for people who
# wonder what happens:  dev/component.sh stop|kill|start|restart kubelet
here=$(dirname "$0")
for part in lib processes images install cluster; do source "$here/$part.sh"; done
one_at_a_time

name=${2:?which component? There are: ${components[*]}}
case ${1:-} in
stop) stop "$name" ;;
kill) stop "$name" KILL ;;
start) start_component "$name"; is_healthy "$name" ;;
restart) stop "$name"; start_component "$name"; is_healthy "$name" ;;
*) fail 'usage: dev/component.sh stop|kill|start|restart NAME' ;;
esac
