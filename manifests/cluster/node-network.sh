#!/bin/sh
# Keeps a node's part of the pod network right; runs in every node as svclab-network.service.
#
# - Packets for the Service and pod ranges never leave by the default route: no probe may leave the machine. The drop
#   stands behind kube-proxy's address translation, so only what nobody serves is left to drop. Who sends it sees
#   what a cluster without the rule shows: silence.
# - Where no CNI daemon does it ("routes yes", the offline image): a route to every other node's pod ranges, and a
#   masquerade of what pods send out of the pod ranges; pods see each other's own addresses. The same rule as kindnetd's.
#
# Peers are named, not numbered: after an engine restarts, nodes may have other addresses. The engine's DNS knows a
# running node's address; a node that is stopped keeps its last route.
#
# /kind/svclab/network holds one fact a line: "routes yes|no", "service CIDR", "pod CIDR", "peer NODE CIDR...".
# With the argument "rules" it only prints the packet filter's rules.
set -u
config=${SVCLAB_NETWORK:-/kind/svclab/network}

facts() { sed -n "s/^$1 //p" "$config"; }
default_route() { ip "-$1" route show default | sed -n 's/^default via \([^ ]*\) dev \([^ ]*\).*/\1 \2/p' | head -n 1; }

# "ip" or "ip6", as the packet filter names the family of a range
family() { case $1 in *:*) echo ip6 ;; *) echo ip ;; esac; }
version() { case $1 in *:*) echo 6 ;; *) echo 4 ;; esac; }

rules() {
  # the first two lines make the last one start from nothing, in one transaction
  echo 'table inet svclab {}'
  echo 'delete table inet svclab'
  echo 'table inet svclab {'
  echo '  chain guard {'
  echo '    type filter hook postrouting priority 200; policy accept;'
  for range in $(facts service); do
    route=$(default_route "$(version "$range")")
    if [ -n "$route" ]; then echo "    oifname \"${route#* }\" $(family "$range") daddr $range counter drop"; fi
  done
  for range in $(facts pod); do
    route=$(default_route "$(version "$range")")
    if [ -n "$route" ]; then
      echo "    oifname \"${route#* }\" $(family "$range") daddr $range rt $(family "$range") nexthop ${route% *} counter drop"
    fi
  done
  echo '  }'
  if [ "$(facts routes)" = yes ]; then
    echo '  chain leave {'
    echo '    type nat hook postrouting priority 110; policy accept;'
    for range in $(facts pod); do
      echo "    $(family "$range") saddr $range $(family "$range") daddr != $range counter masquerade"
    done
    echo '  }'
  fi
  echo '}'
}

# The address of a node in the family of a range, as the engine knows it now.
address() {
  if [ "$(version "$2")" = 4 ]; then
    getent ahostsv4 "$1" | sed -n '1s/ .*//p'
  else
    getent ahostsv6 "$1" | sed -n '/^::ffff:/d; s/ .*//p' | head -n 1
  fi
}

routes() {
  facts peer | while read -r node ranges; do
    [ "$node" = "$(hostname)" ] && continue
    for range in $ranges; do
      address=$(address "$node" "$range")
      [ -n "$address" ] && ip "-$(version "$range")" route replace "$range" via "$address"
    done
  done
}

if [ "${1:-}" = rules ]; then
  rules
  exit
fi
rules | nft -f - || exit 1
# Linux sends a peer about one ICMP error a second, so that of many probes that are rejected at once most would look
# dropped. Here a rejection is always sent.
sysctl -q -w net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=100000
[ -e /proc/sys/net/ipv6/icmp/ratelimit ] && sysctl -q -w net.ipv6.icmp.ratelimit=0
# A node has the forwarding of its machine until it sets its own.
sysctl -q -w net.ipv4.ip_forward=1
if [ "$(facts routes)" = yes ]; then
  case $(facts pod) in *:*) sysctl -q -w net.ipv6.conf.all.forwarding=1 ;; esac
  routes
fi
systemd-notify --ready
while sleep 10; do
  if [ "$(facts routes)" = yes ]; then routes; fi
done
