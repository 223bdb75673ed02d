# What a cluster needs beyond its programs: the API server's permission to ask
# the kubelet for logs, and cluster DNS.

install_addons() {
  render "$root/dev/config/addons.yaml" | kubectl apply --filename - >"$state/log/addons.log"
  # Asked by way of the Service, so that all parts must work: kube-proxy's
  # endpoints, the pod's network, the process.
  until_ok 60 'cluster DNS' kubectl get --raw /api/v1/namespaces/kube-system/services/kube-dns:ready/proxy/ready
  outcome='node ready, DNS answers'
}
