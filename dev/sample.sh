# The sample: two target hosts, a site deployed to both, one that fails on
# purpose. The same steps by hand: manifests/samples/README.md.

samples=$root/manifests/samples
demo=fastdeploy-demo
site=http://127.0.0.1:30080

install_sample() {
  if [[ ! -f $samples/blog.yaml ]]; then outcome='skipped, there are no manifests/samples yet'; return; fi
  kubectl apply --filename "$samples/00-namespace.yaml" >/dev/null
  kubectl --namespace "$demo" get secret blog-ssh >/dev/null 2>&1 || make_sample_keys
  # The image of today instead of the released one.
  sed "s|image: docker.io/fastdeploy/target:.*|image: $(image target)|" "$samples/10-servers.yaml" | kubectl apply --filename - >/dev/null
  kubectl --namespace "$demo" rollout status statefulset/web --timeout 2m >/dev/null || fail 'the target hosts did not start, see: kubectl --namespace fastdeploy-demo describe pods'
  local file
  for file in "$samples"/*.yaml; do
    [[ $file == */00-* || $file == */10-* ]] || kubectl apply --filename "$file" >/dev/null
  done
  watch_blog
  outcome="$site answers"
}

# Keys made here and nowhere else: who signs in, and who is signed in to.
make_sample_keys() {
  local folder server; folder=$(mktemp -d)
  (
    cd "$folder"
    ssh-keygen -q -t ed25519 -N '' -C fastdeploy -f id
    ssh-keygen -q -t ed25519 -N '' -C target -f host
    for server in web-0 web-1; do
      echo "$server.web.$demo.svc.cluster.local $(cut -d' ' -f1,2 host.pub)"
    done >known_hosts
    in_demo=(kubectl --namespace "$demo" create)
    "${in_demo[@]}" configmap target-authorized-keys --from-file authorized_keys=id.pub
    "${in_demo[@]}" secret generic target-host-keys --from-file ssh_host_ed25519_key=host
    "${in_demo[@]}" configmap blog-hosts --from-file known_hosts
    "${in_demo[@]}" secret generic blog-ssh --type kubernetes.io/ssh-auth --from-file ssh-privatekey=id
  ) >/dev/null
  rm -r "$folder"
}

# One line whenever the newest Deployment of the blog has something new to say,
# until the Service is Ready and the site answers.
watch_blog() {
  local deadline=$((SECONDS + 180)) line last= ready_since=
  until blog_is_ready && site_answers; do
    line=$(kubectl --namespace "$demo" get deployments.fastdeploy.dev --output json | jq --raw-output '
      [.items[] | select(.spec.service == "blog")] | sort_by(.metadata.creationTimestamp) | last // empty
      | "blog #\(.status.number // "?") \(.status.phase // "Pending"): \([.status.conditions[]? | select(.type == "Ready")][0].message // "")"')
    if [[ $line != "$last" ]]; then printf '      %s\n' "$line"; last=$line; fi
    case $line in *' Failed: '* | *' Cancelled: '*) fail "the sample was not deployed: $line" ;; esac
    ((SECONDS < deadline)) || fail "the sample was not deployed within 3 minutes. See: kubectl --namespace $demo get fsvc,fdep"
    # Deployed, and yet no site: the servers were restarted, and have forgotten it.
    if [[ -z $ready_since ]] && blog_is_ready; then ready_since=$SECONDS; fi
    if [[ -n $ready_since ]] && ((SECONDS - ready_since > 5)); then
      say '      the servers were restarted; deploying again'
      kubectl create --filename - >/dev/null <<YAML
apiVersion: fastdeploy.dev/v1alpha1
kind: Deployment
metadata: {generateName: blog-, namespace: $demo}
spec: {service: blog, reason: The servers were restarted and have forgotten the site}
YAML
      ready_since=$((SECONDS + 60))
    fi
    sleep 0.5
  done
}

blog_is_ready() { kubectl --namespace "$demo" wait --for condition=Ready services.fastdeploy.dev/blog --timeout 0 >/dev/null 2>&1; }
site_answers() { [[ -n $external ]] || curl --silent --fail --max-time 2 --output /dev/null "$site"; }

tell_what_next() {
  [[ -f $samples/blog.yaml && -z $external ]] || return 0
  cat <<TEXT

  The page:    http://127.0.0.1:$dashboard_port      who and password: make -s env | grep FASTDEPLOY_
  The site:    $site

  eval "\$(make -s env)"                                       kubectl and helm for this cluster
  kubectl --namespace $demo get fsvc,fdep            what there is, in a line each
  kubectl --namespace $demo describe fsvc broken     why the other sample fails, in words
  make status      make logs C=operator      make down      more to try: manifests/samples/README.md
TEXT
}
