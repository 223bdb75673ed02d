# fastDeploy itself: the Rust programs, and the chart with the images of today.

crates=(operator api-server runner)
rust_target=$(uname -m)-unknown-linux-gnu

# program NAME: the compiled file. Statically linked: the runner must run in
# any image, and one set of flags means that dependencies are compiled once.
program() { printf '%s/target/%s/local/fastdeploy-%s' "$root" "$rust_target" "$1"; }

# The profile `local` is `release` without what takes minutes per change.
build_programs() {
  (
    cd "$root"
    export RUSTFLAGS='-C target-feature=+crt-static'
    export CARGO_PROFILE_LOCAL_INHERITS=release CARGO_PROFILE_LOCAL_LTO=off
    export CARGO_PROFILE_LOCAL_OPT_LEVEL=1 CARGO_PROFILE_LOCAL_CODEGEN_UNITS=32 CARGO_PROFILE_LOCAL_INCREMENTAL=true
    cargo build --profile local --locked --quiet --target "$rust_target" "${crates[@]/#/--package=}" 9>&-
  ) || fail 'the Rust programs did not compile, see above'
}

# The dashboard: one folder of files, served by the api-server.
build_web() {
  local inputs; inputs=$(cd "$root/web" && git ls-files --cached --others --exclude-standard | LC_ALL=C sort)
  local key; key=$(cd "$root/web" && fingerprint $inputs </dev/null)
  if [[ -f $root/web/dist/index.html && $(cat "$root/web/node_modules/.built" 2>/dev/null) == "$key" ]]; then outcome='current'; return; fi
  (node_modules web && cd "$root/web" && npm run build) >"$state/log/web.log" 2>&1 9>&- ||
    { tail -n 40 "$state/log/web.log" >&2; fail 'the dashboard could not be built, see above'; }
  printf '%s' "$key" >"$root/web/node_modules/.built"
}

namespace=fastdeploy-system

# The page on this machine, and a volume for the database: a cluster elsewhere has its own ways.
dashboard_port=30090
dashboard=()
if [[ -z $external ]]; then
  dashboard=(--set dashboard.service.type=NodePort --set "dashboard.service.nodePort=$dashboard_port")
fi

make_volume() {
  [[ -z $external ]] || return 0
  install -d -m 700 -o 65532 -g 65532 "$state/postgresql"
  kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: fastdeploy-postgresql}
spec:
  capacity: {storage: 8Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: $namespace, name: data-fastdeploy-postgresql-0}
  hostPath: {path: $state/postgresql, type: Directory}
YAML
}

# Notifications may go to pods of this cluster: the tests receive them there.
install_chart() {
  if [[ ! -d $root/charts/fastdeploy ]]; then outcome='skipped, there is no charts/fastdeploy yet'; return; fi
  make_volume
  helm upgrade --install fastdeploy "$root/charts/fastdeploy" --namespace "$namespace" --create-namespace \
    --set "image.registry=$registry" --set-string "operator.image.tag=$(image_tag operator)" \
    --set-string "apiServer.image.tag=$(image_tag api-server)" --set-string "runner.image.tag=$(image_tag runner)" \
    --set-string "postgresql.image.tag=$(image_tag postgresql)" "${dashboard[@]}" \
    --set "outbound.allow={$pod_cidr}" \
    --take-ownership --wait --timeout 3m >"$state/log/helm.log" 2>&1 || { cat "$state/log/helm.log" >&2; kubectl --namespace "$namespace" get pods >&2; fail 'the chart could not be installed, see above'; }
}
