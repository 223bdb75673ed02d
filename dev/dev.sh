#!/usr/bin/env bash
# `make dev P=operator` or `P=api-server`: a debug build on this machine takes
# the place of the one in the cluster, with its environment and with no more
# rights than its service account has. Ctrl-C brings the other one back.
here=$(dirname "$0")
for part in lib processes images install; do source "$here/$part.sh"; done

part=${1:-operator} deployment=deployment/fastdeploy-${1:-operator}
[[ $part == operator || $part == api-server ]] || fail 'P=operator or P=api-server'
[[ -z $external ]] || fail 'make dev works with the cluster of this machine only'
in_system=(kubectl --namespace "$namespace")

began=$SECONDS
say "Compiling $part …"
(cd "$root" && cargo build --quiet --package "$part")

replicas=$("${in_system[@]}" get "$deployment" --output 'jsonpath={.spec.replicas}')
[[ $replicas != 0 ]] || replicas=1
bring_back() {
  rm -f "$login"
  "${in_system[@]}" delete endpointslice fastdeploy-dev --ignore-not-found >/dev/null
  "${in_system[@]}" scale "$deployment" --replicas "$replicas"
}
login=$(mktemp)
trap bring_back EXIT
trap : INT # the program gets it too, and ends

"${in_system[@]}" scale "$deployment" --replicas 0 >/dev/null
# No need to wait for its end: of two operators one leads, of two API servers both answer.

cat >"$login" <<YAML
apiVersion: v1
kind: Config
current-context: dev
contexts: [{name: dev, context: {cluster: dev, user: dev, namespace: $namespace}}]
clusters: [{name: dev, cluster: {server: "$api_url", certificate-authority: $pki/ca.crt}}]
users: [{name: dev, user: {token: $("${in_system[@]}" create token "fastdeploy-$part" --duration 12h)}}]
YAML

# What the chart gives to the pod, then what is different outside of one.
while IFS='=' read -r name value; do export "$name=$value"; done < <(
  "${in_system[@]}" get "$deployment" --output json |
    jq --raw-output '.spec.template.spec.containers[0].env[] | select(.value) | "\(.name)=\(.value)"')
export KUBECONFIG=$login FASTDEPLOY_NAMESPACE=$namespace POD_NAME=dev-$(hostname) FASTDEPLOY_LOG_FORMAT=text
case $part in
operator) export FASTDEPLOY_METRICS_ADDR=127.0.0.1:8080 ;;
api-server)
  # The same database, by an address that this machine can reach.
  FASTDEPLOY_DATABASE_URL=$(KUBECONFIG=$kubeconfig "$here/env.sh" | sed -n 's/^export DATABASE_URL=//p')
  export FASTDEPLOY_DATABASE_URL
  export FASTDEPLOY_METRICS_ADDR=127.0.0.1:8081 FASTDEPLOY_RUNS_ADDR=$node_ip:8443
  # Pods find it where they always do: an endpoint of the Service outside of the cluster.
  KUBECONFIG=$kubeconfig "${in_system[@]}" apply --filename - >/dev/null <<YAML
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: fastdeploy-dev, labels: {kubernetes.io/service-name: fastdeploy-runs}}
addressType: IPv4
endpoints: [{addresses: ["$node_ip"], conditions: {ready: true}}]
ports: [{name: https, port: 8443}]
YAML
  ;;
esac

say "Ready after $((SECONDS - began)) s; metrics at http://$FASTDEPLOY_METRICS_ADDR/metrics. Ctrl-C ends it."
"$root/target/debug/fastdeploy-$part" || true
export KUBECONFIG=$kubeconfig
