#!/usr/bin/env bash
# `make up`: from a bare machine to a running site. Safe to run again at any
# time: what is current is skipped, what died is started, what changed is replaced.
#   dev/up.sh          everything
#   dev/up.sh cluster  only the cluster; images, sample: only up to there
here=$(dirname "$0")
for part in lib processes packages binaries pki cluster images addons install sample; do
  source "$here/$part.sh"
done

cluster=(
  'system packages: install_packages'
  'Kubernetes from source (10 minutes the first time): build_kubernetes'
  'Helm from source (2 minutes the first time): build_helm'
  'keys and certificates: make_pki'
  'network and configuration: prepare_node'
  'cluster: start_cluster'
  'cluster DNS: install_addons'
)
programs=('Rust programs (5 minutes the first time): build_programs' 'dashboard (1 minute the first time): build_web')
images=('images (3 minutes the first time): product_images')
sample=('sample site: install_sample')
product=("${programs[@]}" "${images[@]}" 'fastDeploy from its chart: install_chart' "${sample[@]}" 'old images: forget_old_images')

prepare_node() { write_config; make_network; }

mkdir -p "$state"/{run,log} 2>/dev/null || fail "cannot write to $state; name another folder: FASTDEPLOY_STATE=…"
one_at_a_time
date +%Y-%m >"$state/month" # how old Debian's packages in our images may be
check_toolchains
if [[ -n $external ]]; then
  say "Using the cluster of KUBECONFIG=$external; starting none."
  cluster=('system packages: install_packages' 'kubectl: build_kubectl' 'Helm from source (2 minutes the first time): build_helm')
elif [[ $(id -u) != 0 ]]; then
  fail 'a cluster on this machine needs root (networks, containers). To use another one: KUBECONFIG=… make up'
fi
case ${1:-} in
'') phases "${cluster[@]}" "${product[@]}"; tell_what_next ;;
cluster) phases "${cluster[@]}" ;;
images) phases "${cluster[@]}" "${programs[@]}" "${images[@]}" ;;
sample) phases "${cluster[@]}" "${programs[@]}" "${images[@]}" "${sample[@]}" ;;
*) fail "dev/up.sh knows cluster, images, sample, or nothing for all; not $1" ;;
esac
