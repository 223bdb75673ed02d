#!/usr/bin/env bash
# `eval "$(make -s env)"`: what a shell needs to work with the cluster and to
# run `cargo test --workspace --test stories` by hand. Prints only what exists.
here=$(dirname "$0")
for part in lib processes images install; do source "$here/$part.sh"; done

export_() { printf 'export %s=%q\n' "$1" "$2"; }

if [[ -f $KUBECONFIG ]]; then export_ KUBECONFIG "$KUBECONFIG"; fi
if [[ -x $bin/kubectl ]]; then printf 'export PATH=%q:"${PATH#%q:}"\n' "$bin" "$bin"; fi
for name in target repository runner; do
  if reference=$(image "$name" 2>/dev/null); then export_ "FASTDEPLOY_${name^^}_IMAGE" "$reference"; fi
done
secret() { kubectl --namespace "$namespace" get secret "$1" --output "jsonpath={.data.$2}" 2>/dev/null | base64 --decode; }
if [[ -z $external ]] && password=$(secret fastdeploy-first-admin password) && [[ -n $password ]]; then
  export_ FASTDEPLOY_URL "http://127.0.0.1:$dashboard_port"
  export_ FASTDEPLOY_USER "$(secret fastdeploy-first-admin name)"
  export_ FASTDEPLOY_PASSWORD "$password"
fi
if [[ -z $external ]] && password=$(secret fastdeploy-database password) && [[ -n $password ]]; then
  address=$(kubectl --namespace "$namespace" get service fastdeploy-postgresql --output 'jsonpath={.spec.clusterIP}')
  export_ DATABASE_URL "postgres://fastdeploy:$password@$address/fastdeploy"
fi
if [[ -z $external && -f $state/audit.log ]]; then
  export_ FASTDEPLOY_STATE "$state"
  export_ FASTDEPLOY_AUDIT_LOG "$state/audit.log"
  export_ FASTDEPLOY_COMPONENT "$root/dev/component.sh"
fi
