#!/usr/bin/env bash
# Only Helm, for `make generate` on a machine without a cluster.
here=$(dirname "$0")
for part in lib binaries; do source "$here/$part.sh"; done
build_helm
