#!/usr/bin/env bash
# `make status`: each program with its pid and its own word on its health, the
# node, and what runs of fastDeploy.
here=$(dirname "$0")
for part in lib processes images install cluster; do source "$here/$part.sh"; done

health() {
  local get=(curl --silent --fail --max-time 2 --output /dev/null)
  case $1 in
  etcd) "${get[@]}" --cacert "$pki/etcd-ca.crt" --cert "$pki/etcd-client.crt" --key "$pki/etcd-client.key" "https://127.0.0.1:$etcd_port/health" ;;
  kube-apiserver) kubectl get --raw /readyz >/dev/null 2>&1 ;;
  kube-controller-manager) "${get[@]}" --insecure "https://127.0.0.1:$manager_port/healthz" ;;
  kube-scheduler) "${get[@]}" --insecure "https://127.0.0.1:$scheduler_port/readyz" ;;
  containerd) ctr_ version >/dev/null 2>&1 ;;
  kubelet) "${get[@]}" "http://127.0.0.1:$kubelet_health_port/healthz" ;;
  kube-proxy) "${get[@]}" "http://127.0.0.1:$proxy_health_port/healthz" ;;
  esac
}

if [[ -n $external ]]; then
  say "The cluster of KUBECONFIG=$external"
else
  printf '%-25s%-9s%s\n' COMPONENT PID HEALTH
  for name in "${components[@]}"; do
    if pid=$(pid_of "$name"); then
      health "$name" && word=ok || word="not healthy, see: make logs C=$name"
    else
      pid=- word='not running'
    fi
    printf '%-25s%-9s%s\n' "$name" "$pid" "$word"
  done
  pid_of kube-apiserver >/dev/null || { say $'\nNo cluster runs here: make up'; exit; }
fi
say
kubectl get nodes
say
kubectl --namespace "$namespace" get pods
say
kubectl get services.fastdeploy.dev,deployments.fastdeploy.dev --all-namespaces 2>/dev/null || say 'fastDeploy is not installed.'
