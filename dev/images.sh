# Images without a registry: buildah builds them, containerd imports them.
#
# A tag is a fingerprint of everything that goes in. Unchanged: nothing is
# built, nothing imported. Changed: a new name, so that pods are replaced.

registry=docker.io/fastdeploy
if [[ -n $external ]]; then registry=${FASTDEPLOY_REGISTRY:-$registry}; fi
storage=$cache/images # buildah's own; a system's images are left alone
base=docker.io/library/debian:trixie-slim

# image_tag NAME: only the names' first lines below say what goes into which.
image_tag() {
  case $1 in
  pause) fingerprint "$root/dev/pause/pause.c" </dev/null ;;
  coredns) readlink "$bin/coredns" | fingerprint ;;
  target | postgresql | repository) base_key | fingerprint "$root/images/$1"/* ;;
  operator | runner) base_key | fingerprint "$root/images/$1"/* "$(program "$1")" ;;
  api-server) base_key | fingerprint "$root/images/$1"/* "$(program "$1")" $(find "$root/web/dist" -type f | LC_ALL=C sort) ;;
  esac
}

image() { printf '%s/%s:%s' "$registry" "$1" "$(image_tag "$1")"; }

# The two that a node needs before anything else: one static program each.
node_images() {
  provide pause from_program pause_program
  provide coredns from_program coredns_program
}

pause_program() { cc -static -Os -s -o "$1/pause" "$root/dev/pause/pause.c"; }
coredns_program() { cp "$(readlink "$bin/coredns")" "$1/coredns"; }

# The ones that ship, from their Dockerfiles.
product_images() {
  local name
  for name in target postgresql repository operator api-server runner; do
    provide "$name" from_dockerfile
  done
}

# provide NAME HOW [ARGUMENT]: unless the cluster has it.
provide() {
  local name=$1 reference archive=$cache/$1.tar; shift
  reference=$(image "$name")
  if in_cluster "$reference"; then return; fi
  if ! buildah_ images --quiet "$reference" >/dev/null 2>&1; then "$1" "$name" "$reference" "${@:2}"; fi
  if [[ -n $external ]]; then push "$reference"; return; fi # the node pulls
  rm -f "$archive"
  quietly buildah_ push "$reference" "docker-archive:$archive:$reference"
  quietly ctr_ images import "$archive" || fail "containerd did not take $reference"
  rm -f "$archive"
  printf '      image %s\n' "$reference"
}

# push IMAGE: to the registry that somebody else's cluster pulls from, if we may.
push() {
  if [[ -z ${FASTDEPLOY_REGISTRY:-} ]]; then
    say "      your cluster must be able to pull $1"
    say '      (FASTDEPLOY_REGISTRY=registry.example.com/fastdeploy pushes it there)'
  else
    quietly buildah_ push "$1" "docker://$1" || fail "could not push $1; signed in? buildah login ${1%%/*}"
    printf '      pushed %s\n' "$1"
  fi
}

ctr_() { ctr --address "$containerd_socket" --namespace k8s.io "$@"; }

in_cluster() { [[ -z $external ]] && [[ -n $(ctr_ images list --quiet "name==$1") ]]; }

buildah_() { buildah --root "$storage" --runroot "$storage/run" --storage-driver overlay "$@" 9>&-; }

# quietly COMMAND…: what it says goes to the log, and to the screen if it fails.
quietly() {
  local log=$state/log/images.log
  : >"$log"
  "$@" >>"$log" 2>&1 9>&- || { tail -n 40 "$log" >&2; return 1; }
}

# from_program NAME REFERENCE FUNCTION: an image of one file, which FUNCTION puts into a folder.
from_program() {
  local folder container; folder=$(mktemp -d)
  "$3" "$folder"
  container=$(buildah_ from scratch)
  quietly buildah_ copy "$container" "$folder" /
  quietly buildah_ config --user 65532:65532 --entrypoint "[\"/$1\"]" "$container"
  quietly buildah_ commit --rm "$container" "$2"
  rm -r "$folder"
}

# from_dockerfile NAME REFERENCE. Outside, the Dockerfiles compile our programs
# in a stage called `build`; here the compiled ones are handed in as an image.
from_dockerfile() {
  local programs=$registry/programs:$1
  base_image
  case $1 in
  target | postgresql | repository) ;;
  api-server) programs_image "$programs" "$(program "$1")" "$root/web/dist" ;;
  *) programs_image "$programs" "$(program "$1")" ;;
  esac
  # A build uses this machine's network, so it trusts what this machine trusts.
  quietly buildah_ bud --isolation chroot --pull-never --layers --build-arg "PROGRAMS=$programs" \
    --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --tag "$2" --file "$root/images/$1/Dockerfile" "$root" ||
    fail "the image $1 could not be built"
}

# programs_image NAME PROGRAM [FOLDER]: the folder as /out/web.
programs_image() {
  local container; container=$(buildah_ from scratch)
  quietly buildah_ copy "$container" "$2" /out/
  [[ -z ${3:-} ]] || quietly buildah_ copy "$container" "$3" /out/web
  quietly buildah_ commit --rm "$container" "$1"
}

# debian:trixie-slim by the name it has everywhere, made from Debian's packages:
# again every month, and when the way it is made changes. The month is that of
# `make up`: whoever asks for a tag later means the images that are there.
base_key() { (cat "$state/month" 2>/dev/null; declare -f make_base) | fingerprint; }

base_image() {
  local key; key=$(base_key)
  [[ $(buildah_ inspect --type image --format '{{index .OCIv1.Config.Labels "made"}}' "$base" 2>/dev/null) == "$key" ]] ||
    make_base "$key" || fail 'the base image could not be made'
}

make_base() {
  local container archive=$cache/base.tar
  quietly mmdebstrap --variant=minbase --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --aptopt='Dir::Cache::pkgcache ""' --aptopt='Dir::Cache::srcpkgcache ""' \
    --aptopt='DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb" }' \
    trixie "$archive" || return
  container=$(buildah_ from scratch)
  quietly buildah_ add "$container" "$archive" / &&
    quietly buildah_ config --label "made=$1" --cmd bash --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container" &&
    quietly buildah_ commit --rm "$container" "$base"
  rm "$archive"
}

# What nothing of today uses goes away, here and in containerd. The kubelet
# would collect images it cannot get again, so it is told to leave that to us.
# A pod of an earlier day keeps its image: one that could not start again would
# hold up its StatefulSet for ever, which waits for it before it makes a newer one.
forget_old_images() {
  local name reference current= in_pods
  for name in pause coredns target postgresql repository operator api-server runner; do
    reference=$(image "$name" 2>/dev/null) && current+="$reference "
  done
  if [[ -z $external ]]; then
    in_pods=$(images_of_pods)
    old_in_containerd "$current $in_pods" |
      xargs --no-run-if-empty ctr --address "$containerd_socket" --namespace k8s.io images remove >/dev/null || true
  fi
  for reference in $(buildah_ images --format '{{.Name}}:{{.Tag}}' | grep "^$registry/"); do
    [[ " $current" == *" $reference "* || $reference == */programs:* ]] || quietly buildah_ rmi "$reference" || true
  done
  quietly buildah_ rmi --prune --force || true
}

images_of_pods() {
  kubectl get pods --all-namespaces --field-selector status.phase!=Succeeded,status.phase!=Failed --output 'jsonpath={..image}'
}

# containerd knows each image by its name and by a digest: both have to go.
old_in_containerd() {
  ctr_ images list | awk -v current="$1" -v ours="$registry/" '
    BEGIN { split(current, list, " "); for (i in list) keep[list[i]] }
    NR > 1 { content[$1] = $3; if ($1 in keep || index($1, ours) != 1 && $1 !~ /^sha256:/) used[$3] }
    END { for (name in content) if (!(content[name] in used)) print name }'
}
