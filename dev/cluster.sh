# The cluster itself: the node's network, the seven programs and the flags each
# is started with, and how all of it is taken away again.

# In the order in which they need each other.
components=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy)

# The node's address is on a bridge without ports. Pods hang on links of their
# own (the ptp plugin), so that all their traffic is routed and kube-proxy sees it.
make_network() {
  ip link show "$node_link" >/dev/null 2>&1 || ip link add "$node_link" type bridge
  if [[ $(ip addr show dev "$node_link") != *"inet $node_ip/"* ]]; then
    [[ $(ip -o route get "$node_ip" 2>/dev/null) =~ ^$|\ via\  ]] ||
      fail "the address $node_ip belongs to a network of this machine; choose another: make up FASTDEPLOY_NODE_IP=203.0.113.1"
    ip addr add "$node_ip/32" dev "$node_link"
  fi
  ip link set "$node_link" up
  remember_sysctl net/ipv4/ip_forward 1
  remember_sysctl net/ipv4/conf/all/route_localnet 1
  nat_rule --check 2>/dev/null || nat_rule --append
}

# Pods reach what the machine reaches, with its address.
nat_rule() {
  iptables --wait --table nat "$1" POSTROUTING --source "$pod_cidr" ! --destination "$pod_cidr" ! --out-interface "$node_link" \
    --match comment --comment fastdeploy-dev --jump MASQUERADE
}

# remember_sysctl NAME VALUE: sets it, `down` puts the old value back.
remember_sysctl() {
  local saved=$state/run/sysctl-${1//\//.}
  [[ -f $saved ]] || cp "/proc/sys/$1" "$saved"
  echo "$2" >"/proc/sys/$1"
}

# counts_disks: true where the kubelet finds the disk that its folder is on.
counts_disks() {
  case $(stat --file-system --format %T "$state") in
  ext2/ext3 | xfs | btrfs | f2fs) echo true ;;
  *) echo false ;;
  esac
}

write_config() {
  mkdir -p "$config/cni" "$state"/{run,log,etcd,kubelet/plugins}
  chmod 700 "$state/etcd"
  render "$root/dev/config/cni.conflist" | write "$config/cni/10-fastdeploy.conflist"
  local template
  for template in audit.yaml kubelet.yaml containerd.toml; do
    render "$root/dev/config/$template" | write "$config/$template"
  done
  # Control groups of our own, so that the kubelet of another cluster on this
  # machine does not take our pods for its orphans.
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    mkdir -p "$hierarchy/fastdeploy-dev"
    if [[ $hierarchy == */cpuset ]]; then
      cat "$hierarchy/cpuset.cpus" >"$hierarchy/fastdeploy-dev/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" >"$hierarchy/fastdeploy-dev/cpuset.mems"
    fi
  done
}

cgroup_hierarchies() { awk '$3 == "cgroup2" && $2 == "/sys/fs/cgroup" || $3 == "cgroup" {print $2}' /proc/mounts; }

start_component() {
  local programs; programs=$(dirname "$(readlink "$bin/kubelet")") # a new build is a new folder: a restart
  case $1 in
  etcd)
    port_is_free etcd "$etcd_port"
    start etcd etcd --name "$node" --data-dir "$state/etcd" --logger zap --log-level warn \
      --listen-client-urls "https://127.0.0.1:$etcd_port" --advertise-client-urls "https://127.0.0.1:$etcd_port" \
      --listen-peer-urls "https://127.0.0.1:$etcd_peer_port" --initial-advertise-peer-urls "https://127.0.0.1:$etcd_peer_port" \
      --initial-cluster "$node=https://127.0.0.1:$etcd_peer_port" \
      --client-cert-auth --trusted-ca-file "$pki/etcd-ca.crt" --cert-file "$pki/etcd.crt" --key-file "$pki/etcd.key" \
      --peer-client-cert-auth --peer-trusted-ca-file "$pki/etcd-ca.crt" --peer-cert-file "$pki/etcd.crt" --peer-key-file "$pki/etcd.key" \
      --auto-compaction-retention 1
    ;;
  kube-apiserver)
    port_is_free kube-apiserver "$api_port"
    start kube-apiserver "$programs/kube-apiserver" \
      --bind-address "$node_ip" --advertise-address "$node_ip" --secure-port "$api_port" \
      --service-cluster-ip-range "$service_cidr" --allow-privileged \
      --etcd-servers "https://127.0.0.1:$etcd_port" --etcd-cafile "$pki/etcd-ca.crt" \
      --etcd-certfile "$pki/etcd-client.crt" --etcd-keyfile "$pki/etcd-client.key" \
      --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" --client-ca-file "$pki/ca.crt" \
      --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
      --service-account-issuer https://kubernetes.default.svc.cluster.local \
      --service-account-signing-key-file "$pki/tokens.key" --service-account-key-file "$pki/tokens.pub" \
      --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
      --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
      --requestheader-extra-headers-prefix X-Remote-Extra- \
      --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key" \
      --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
      --kubelet-client-certificate "$pki/to-kubelet.crt" --kubelet-client-key "$pki/to-kubelet.key" \
      --audit-policy-file "$config/audit.yaml" --audit-log-path "$state/audit.log" \
      --audit-log-maxsize 100 --audit-log-maxbackup 10
    until_ok 60 'the API server' kubectl get --raw /readyz
    ;;
  kube-controller-manager)
    port_is_free kube-controller-manager "$manager_port"
    start kube-controller-manager "$programs/kube-controller-manager" \
      --bind-address 127.0.0.1 --secure-port "$manager_port" --leader-elect=false \
      --kubeconfig "$pki/manager.kubeconfig" --authentication-kubeconfig "$pki/manager.kubeconfig" \
      --authorization-kubeconfig "$pki/manager.kubeconfig" --use-service-account-credentials \
      --service-account-private-key-file "$pki/tokens.key" --root-ca-file "$pki/ca.crt" \
      --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key"
    ;;
  kube-scheduler)
    port_is_free kube-scheduler "$scheduler_port"
    start kube-scheduler "$programs/kube-scheduler" \
      --bind-address 127.0.0.1 --secure-port "$scheduler_port" --leader-elect=false \
      --kubeconfig "$pki/scheduler.kubeconfig" --authentication-kubeconfig "$pki/scheduler.kubeconfig" \
      --authorization-kubeconfig "$pki/scheduler.kubeconfig"
    ;;
  containerd)
    start_containerd
    node_images
    ;;
  kubelet)
    port_is_free kubelet "$kubelet_port"
    start kubelet "$programs/kubelet" --config "$config/kubelet.yaml" --kubeconfig "$pki/kubelet.kubeconfig" \
      --root-dir "$state/kubelet" --cert-dir "$state/kubelet/pki" --hostname-override "$node" --node-ip "$node_ip"
    ;;
  kube-proxy)
    port_is_free kube-proxy "$proxy_health_port"
    start kube-proxy "$programs/kube-proxy" --kubeconfig "$pki/proxy.kubeconfig" --hostname-override "$node" \
      --proxy-mode iptables --cluster-cidr "$pod_cidr" --nodeport-addresses "127.0.0.0/8,$node_ip/32" \
      --healthz-bind-address "127.0.0.1:$proxy_health_port" --metrics-bind-address "127.0.0.1:$proxy_metrics_port" \
      --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0
    ;;
  *) fail "no component $1; there are: ${components[*]}" ;;
  esac
}

start_containerd() {
  start containerd containerd --config "$config/containerd.toml" --log-level warn
  until_ok 30 containerd ctr_ version
}

start_cluster() {
  local name
  for name in "${components[@]}"; do start_component "$name"; done
  is_healthy kubelet
  until_ok 60 'the node' kubectl wait --for condition=Ready "node/$node" --timeout 5s
}

# is_healthy NAME: waits until it says so, where `start_component` has not waited.
# Not what the API server remembers of the node, but the kubelet itself.
is_healthy() {
  [[ $1 != kubelet ]] || until_ok 60 kubelet curl --silent --fail "http://127.0.0.1:$kubelet_health_port/healthz"
}

stop_cluster() {
  local name
  # First whatever could bring a container back, then the containers.
  for name in "${components[@]}"; do
    [[ $name == containerd || $name == etcd ]] || stop "$name" &
  done
  wait
  remove_containers
  stop containerd & stop etcd & wait
  remove_mounts
  remove_network
  remove_cgroups
}

remove_containers() {
  [[ -S $containerd_socket || -d $state/run/containerd ]] || return 0
  local pid
  for pid in $(processes_in_cgroups); do kill -KILL "$pid" 2>/dev/null || true; done
  pid_of containerd >/dev/null || start_containerd
  ctr_ tasks list --quiet | xargs --no-run-if-empty -P 8 -I{} ctr --address "$containerd_socket" --namespace k8s.io tasks delete --force {} >/dev/null 2>&1 || true
  ctr_ containers list --quiet | xargs --no-run-if-empty -P 8 -I{} ctr --address "$containerd_socket" --namespace k8s.io containers delete {} >/dev/null 2>&1 || true
  # A shim whose containerd lost it.
  for pid in $(pgrep -f "containerd-shim-runc-v2 .*-address $containerd_socket" || true); do kill -KILL "$pid" 2>/dev/null || true; done
}

remove_mounts() {
  local mount
  quietly buildah_ rm --all || true # what a build that was broken off left
  while read -r mount; do umount --lazy "$mount" 2>/dev/null || true; done < <(
    awk -v state="$state/" -v storage="$storage/" \
      'index($2, state) == 1 || index($2, storage) == 1 {print $2}' /proc/mounts | sort -r)
  rm -rf "$state"/run/{containerd*,cni,runc}
  find /var/log/containers -lname "$state/*" -delete 2>/dev/null || true
}

remove_network() {
  [[ ! -x $bin/kube-proxy ]] || "$bin/kube-proxy" --cleanup >>"$state/log/kube-proxy.log" 2>&1 || true
  local command table rules saved name
  for command in iptables ip6tables; do
    have "$command-save" || continue
    for table in $("$command-save" | sed -n 's/^\*//p'); do
      # What --cleanup leaves: the kubelet's marker chains, empty ones.
      rules=$("$command-save" --table "$table")
      [[ $rules =~ KUBE-|fastdeploy-dev ]] || continue
      grep -v 'KUBE-\|fastdeploy-dev' <<<"$rules" | "$command-restore" --table="$table" || true
    done
  done
  ip link delete "$node_link" 2>/dev/null || true
  for saved in "$state"/run/sysctl-*; do
    [[ ! -f $saved ]] || { name=${saved##*/sysctl-}; cat "$saved" >"/proc/sys/${name//.//}"; rm "$saved"; }
  done
}

our_cgroups() { find /sys/fs/cgroup -maxdepth 2 -type d -name fastdeploy-dev 2>/dev/null; }

processes_in_cgroups() {
  local cgroup
  for cgroup in $(our_cgroups); do find "$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -u
}

remove_cgroups() {
  local cgroup
  for cgroup in $(our_cgroups); do find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done
}
