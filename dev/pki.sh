# Keys and certificates, as a cluster has them: an authority of its own for
# etcd, one for API servers behind the API server, one for everything else; a
# certificate per component whose subject is its user and groups in Kubernetes;
# and the key that signs service account tokens. Made once; `make reset` forgets them.

make_pki() {
  mkdir -p "$pki"; chmod 700 "$pki"
  local made_for; made_for="$api_url $service_cidr $(declare -f make_pki | fingerprint)"
  if [[ -f $pki/made-for && $(<"$pki/made-for") == "$made_for" ]]; then outcome='as before'; return; fi

  [[ -f $pki/ca.crt ]] || authority ca fastdeploy-dev
  [[ -f $pki/etcd-ca.crt ]] || authority etcd-ca fastdeploy-dev-etcd
  [[ -f $pki/front-proxy-ca.crt ]] || authority front-proxy-ca fastdeploy-dev-front-proxy

  #           signed by  file         subject: user and group                          names it serves
  certificate etcd-ca    etcd         /CN=etcd                                          "IP:127.0.0.1"
  certificate etcd-ca    etcd-client  /CN=kube-apiserver
  certificate front-proxy-ca front-proxy /CN=front-proxy-client
  certificate ca         apiserver    /CN=kube-apiserver                                "IP:$node_ip,IP:127.0.0.1,IP:$api_service_ip,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  certificate ca         to-kubelet   /CN=kube-apiserver-kubelet-client
  certificate ca         kubelet      "/O=system:nodes/CN=system:node:$node"            "IP:$node_ip,DNS:$node"
  certificate ca         manager      /CN=system:kube-controller-manager
  certificate ca         scheduler    /CN=system:kube-scheduler
  certificate ca         proxy        /CN=system:kube-proxy
  certificate ca         admin        /O=system:masters/CN=admin

  [[ -f $pki/tokens.key ]] || openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/tokens.key" 2>/dev/null
  openssl pkey -in "$pki/tokens.key" -pubout -out "$pki/tokens.pub"

  local who
  for who in kubelet manager scheduler proxy; do login "$who" >"$pki/$who.kubeconfig"; done
  login admin >"$kubeconfig"
  chmod 600 "$kubeconfig" "$pki"/*.kubeconfig
  echo "$made_for" >"$pki/made-for"
}

# authority FILE NAME
authority() {
  openssl req -x509 -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 3650 -subj "/CN=$2" \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

# certificate AUTHORITY FILE SUBJECT [NAMES]: for a client, and for a server if it has names.
certificate() {
  local usage=clientAuth; [[ -z ${4:-} ]] || usage+=,serverAuth
  openssl req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "$3" -keyout "$pki/$2.key" 2>/dev/null |
    openssl x509 -req -days 3650 -CA "$pki/$1.crt" -CAkey "$pki/$1.key" -CAcreateserial -out "$pki/$2.crt" 2>/dev/null \
      -extfile <(echo "keyUsage=critical,digitalSignature"; echo "extendedKeyUsage=$usage"; [[ -z ${4:-} ]] || echo "subjectAltName=$4")
}

# login WHO: a kubeconfig with the certificate of that name.
login() {
  cat <<YAML
apiVersion: v1
kind: Config
current-context: fastdeploy-dev
contexts: [{name: fastdeploy-dev, context: {cluster: fastdeploy-dev, user: $1}}]
clusters: [{name: fastdeploy-dev, cluster: {server: "$api_url", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$pki/$1.crt"), client-key-data: $(base64 -w0 "$pki/$1.key")}}]
YAML
}
