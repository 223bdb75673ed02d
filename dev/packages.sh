# What comes from Debian: etcd, the container runtime, networking tools, a server for tests to sign in to, and the
# builder of images. Only what is missing is installed, and no service of a
# package is started or stopped: a system containerd or etcd stays as it is.

# COMMAND:PACKAGE
needed=(
  etcd:etcd-server containerd:containerd runc:runc /usr/lib/cni/ptp:containernetworking-plugins
  iptables:iptables ipset:ipset conntrack:conntrack ip:iproute2 ss:iproute2 mount:mount flock:util-linux
  buildah:buildah mmdebstrap:mmdebstrap openssl:openssl curl:curl jq:jq ssh-keygen:openssh-client /usr/sbin/sshd:openssh-server cc:gcc c++:g++ git:git
)

install_packages() {
  local pair missing=()
  for pair in "${needed[@]}"; do have "${pair%%:*}" || missing+=("${pair#*:}"); done
  if [[ ${#missing[@]} -eq 0 ]]; then outcome='all there'; return; fi
  have apt-get || fail "install these first, this script knows only Debian's way: ${missing[*]}"
  # dpkg asks this script before it starts a service; 101 means no.
  local policy=/usr/sbin/policy-rc.d
  [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap "rm -f $policy" EXIT; }
  apt_get update || say '      (apt-get update had complaints, see the log; going on)'
  apt_get install --yes --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install ${missing[*]}; see $state/log/packages.log"
  [[ -z $(trap -p EXIT) ]] || { rm -f $policy; trap - EXIT; }
  outcome="installed ${missing[*]}"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get --quiet "$@" >>"$state/log/packages.log" 2>&1 9>&-; }

check_toolchains() {
  have go || fail 'Go is missing (1.26 or newer builds Kubernetes): https://go.dev/dl'
  node --eval 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null && have npm ||
    fail 'Node.js is missing or older than 20.19 (it builds the dashboard): https://nodejs.org'
  have cargo || fail 'Rust is missing: https://rustup.rs, or apt-get install rustup && rustup toolchain install 1.95'
}
