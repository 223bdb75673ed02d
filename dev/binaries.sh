# What comes from source: Kubernetes as one multi-call program, CoreDNS, Helm,
# and the pause program. Built once, kept in the cache under a name that
# changes with everything that goes in; $bin links to the ones in use.

build_kubernetes() {
  local module=$root/dev/kubernetes version=v1.37.2 v=k8s.io/component-base/version
  local flags="-s -w -X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=37 -X $v.gitTreeState=clean"
  go_build kubernetes "$module" "$flags" ./kube ./coredns
  local program
  for program in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    ln -sfn kube "$built/$program"
    ln -sfn "$built/$program" "$bin/$program"
  done
  ln -sfn "$built/coredns" "$bin/coredns"
}

# For somebody else's cluster kubectl is enough.
build_kubectl() {
  if have kubectl; then outcome='all there'; return; fi
  go_build kubectl "$root/dev/kubernetes" '-s -w' k8s.io/kubernetes/cmd/kubectl
  ln -sfn "$built/kubectl" "$bin/kubectl"
}

build_helm() {
  go_build helm "$root/dev/helm" '-s -w' helm.sh/helm/v4/cmd/helm
  ln -sfn "$built/helm" "$bin/helm"
}

# go_build NAME MODULE LDFLAGS PACKAGE…: leaves the folder's name in `built`.
go_build() {
  local name=$1 module=$2 flags=$3 sources; shift 3
  mapfile -t sources < <(find "$module" -name '*.go' -o -name 'go.*' | sort)
  built=$cache/$name-$( (go version; echo "$flags $*") | fingerprint "${sources[@]}")
  mkdir -p "$bin"
  if [[ -d $built ]]; then outcome=cached; return; fi
  find "$cache" -maxdepth 1 -name "$name-*" -mtime +30 -exec rm -rf {} +
  mkdir -p "$built.part"
  (cd "$module" && CGO_ENABLED=0 go build -trimpath -ldflags "$flags" -o "$built.part/" "$@" 9>&-) ||
    fail "building $name did not work, see above"
  mv "$built.part" "$built"
}
