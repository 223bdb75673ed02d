# A network for the browser in which nothing comes and goes. Whenever a pod brings or takes a link,
# Chromium thinks that the machine's network has changed (ERR_NETWORK_CHANGED) and breaks off what it
# is loading. With root's rights it gets a network namespace with one link to this machine, by which
# the page has the same address as here: 127.0.0.1, which browsers trust as they trust HTTPS. Sourced.

quiet=fastdeploy-browser
quiet_link=fdbrowser
# From the range for documentation that the node's address is from, too.
quiet_here=198.51.100.9 quiet_there=198.51.100.10

# quiet_network URL: makes it, until this script ends. No, if that is not possible: then it is as it was.
quiet_network() {
  local url=$1 port=${1##*:}
  [[ $(id -u) == 0 && $url == http://127.0.0.1:* ]] && have ip && have nsenter && have iptables || return 1
  # One at a time: a second one would take the first one's away.
  exec 8>"$state/quiet.lock"
  flock --nonblock 8 || return 1
  trap no_quiet_network EXIT
  no_quiet_network # of a script that was killed
  make_quiet_network "$port" 2>>"$state/log/quiet.log" && inside curl --silent --fail --max-time 10 --output /dev/null "$url" && return
  say '      Chromium gets no network of its own here, and may see links of pods come and go'
  no_quiet_network
  return 1
}

make_quiet_network() {
  ip netns add "$quiet" &&
    ip link add "$quiet_link" type veth peer name eth0 netns "$quiet" &&
    ip address add "$quiet_here/30" dev "$quiet_link" && ip link set "$quiet_link" up &&
    ip -netns "$quiet" address add "$quiet_there/30" dev eth0 &&
    ip -netns "$quiet" link set lo up && ip -netns "$quiet" link set eth0 up &&
    ip -netns "$quiet" route add default via "$quiet_here" &&
    ip netns exec "$quiet" sysctl --quiet --write net.ipv4.conf.all.route_localnet=1 &&
    inside iptables --table nat --append OUTPUT --destination 127.0.0.1 --protocol tcp --dport "$1" --jump DNAT --to-destination "$node_ip:$1" &&
    inside iptables --table nat --append POSTROUTING --out-interface eth0 --jump MASQUERADE &&
    # Nothing else is reached, and that is said at once: a page that asks for a font on the internet would wait for it.
    inside iptables --append OUTPUT --out-interface eth0 ! --destination "$node_ip" --jump REJECT
}

inside() { nsenter --net="/run/netns/$quiet" "$@"; }

no_quiet_network() {
  ip netns delete "$quiet" 2>/dev/null || true
  ip link delete "$quiet_link" 2>/dev/null || true
}

# in_the_quiet_network PROGRAM: prints the name of a script that starts it there.
in_the_quiet_network() {
  local script=$state/quiet-browser
  printf '#!/bin/sh\nexec nsenter --net=/run/netns/%s %q "$@"\n' "$quiet" "$1" >"$script"
  chmod 755 "$script"
  printf '%s' "$script"
}
