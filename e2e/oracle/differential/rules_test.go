package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Rules as knftables' fake prints them, of one Service with two endpoints, one without, one with session affinity.
const nftRules = `add table ip kube-proxy { comment "rules for kube-proxy" ; }
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }
add chain ip kube-proxy filter-input { type filter hook input priority 0 ; }
add chain ip kube-proxy filter-forward { type filter hook forward priority 0 ; }
add chain ip kube-proxy services
add chain ip kube-proxy masquerading
add chain ip kube-proxy check { comment "no { endpoints }" ; }
add chain ip kube-proxy external-web
add chain ip kube-proxy service-web
add chain ip kube-proxy service-sticky
add chain ip kube-proxy endpoint-1
add set ip kube-proxy affinity-1 { type ipv4_addr ; flags dynamic,timeout ; timeout 10800s ; }
add set ip kube-proxy cluster-ips { type ipv4_addr ; comment "Active ClusterIPs" ; }
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoints { type ipv4_addr . inet_proto . inet_service : verdict ; }
add rule ip kube-proxy nat-prerouting jump services
add rule ip kube-proxy nat-postrouting jump masquerading
add rule ip kube-proxy filter-input ct state new ip daddr . meta l4proto . th dport vmap @no-endpoints
add rule ip kube-proxy filter-forward ct state new jump check
add rule ip kube-proxy check ip daddr . meta l4proto . th dport vmap @no-endpoints
add rule ip kube-proxy check ip daddr @cluster-ips reject comment "invalid ports"
add rule ip kube-proxy services ip daddr @cluster-ips ip saddr != 10.244.0.0/16 mark set mark or 0x00004000 comment "from outside"
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy services fib daddr type local meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy external-web ip saddr != { 10.244.0.0/16 , 172.18.0.9/32 } drop
add rule ip kube-proxy external-web fib saddr type local goto service-web
add rule ip kube-proxy external-web goto service-web
add rule ip kube-proxy service-web meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.244.1.11 . 8080 , 1 : 10.244.2.12 . 8080 }
add rule ip kube-proxy service-sticky ip saddr @affinity-1 goto endpoint-1
add rule ip kube-proxy service-sticky numgen random mod 1 vmap { 0 : goto endpoint-1 }
add rule ip kube-proxy endpoint-1 update @affinity-1 { ip saddr }
add rule ip kube-proxy endpoint-1 meta l4proto tcp dnat to 10.244.1.11:8080
add rule ip kube-proxy masquerading mark and 0x00004000 != 0 mark set mark xor 0x00004000 masquerade fully-random
add element ip kube-proxy cluster-ips { 10.96.0.10 }
add element ip kube-proxy cluster-ips { 10.96.0.11 }
add element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-web }
add element ip kube-proxy service-ips { 10.96.0.11 . tcp . 80 : goto service-sticky }
add element ip kube-proxy service-ips { 203.0.113.7 . tcp . 80 : goto external-web }
add element ip kube-proxy no-endpoints { 10.96.0.12 . tcp . 80 comment "demo/gone" : drop }
`

// The same as iptables-save prints it, with the fake's comments that have no quotes.
const iptRules = `*nat
:PREROUTING - [0:0]
:POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-WEB - [0:0]
:KUBE-SVC-STICKY - [0:0]
:KUBE-EXT-WEB - [0:0]
:KUBE-SEP-1 - [0:0]
:KUBE-SEP-2 - [0:0]
:KUBE-SEP-3 - [0:0]
-A PREROUTING -m comment --comment kubernetes service portals -j KUBE-SERVICES
-A POSTROUTING -m comment --comment kubernetes postrouting rules -j KUBE-POSTROUTING
-A KUBE-SERVICES -m comment --comment "demo/web cluster IP" -m tcp -p tcp -d 10.96.0.10 --dport 80 -j KUBE-SVC-WEB
-A KUBE-SERVICES -m comment --comment "demo/sticky" -m tcp -p tcp -d 10.96.0.11 --dport 80 -j KUBE-SVC-STICKY
-A KUBE-SERVICES -m comment --comment "demo/web external IP" -m tcp -p tcp -d 203.0.113.7 --dport 80 -j KUBE-EXT-WEB
-A KUBE-EXT-WEB -m comment --comment "demo/web external IP" -s 10.244.0.0/16 -j KUBE-SVC-WEB
-A KUBE-EXT-WEB -m addrtype --src-type LOCAL -j KUBE-SVC-WEB
-A KUBE-EXT-WEB -s 172.18.0.9/32 -j KUBE-SVC-WEB
-A KUBE-EXT-WEB -m comment --comment "other traffic will be dropped"
-A KUBE-SVC-WEB -m tcp -p tcp -d 10.96.0.10 --dport 80 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-WEB -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-1
-A KUBE-SVC-WEB -j KUBE-SEP-2
-A KUBE-SVC-STICKY ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SVC-STICKY -m recent --name KUBE-SEP-3 --rcheck --seconds 10800 --reap -j KUBE-SEP-3
-A KUBE-SVC-STICKY -j KUBE-SEP-3
-A KUBE-SEP-1 -m tcp -p tcp -j DNAT --to-destination 10.244.1.11:8080
-A KUBE-SEP-3 -m recent --name KUBE-SEP-3 --set -m tcp -p tcp -j DNAT --to-destination 10.244.1.11:8080
-A KUBE-SEP-2 -m tcp -p tcp -j DNAT --to-destination 10.244.2.12:8080
-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000
-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
*filter
:FORWARD - [0:0]
:INPUT - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A INPUT -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -d 127.0.0.0/8 -j DROP
-A KUBE-EXTERNAL-SERVICES -m comment --comment "demo/gone has no local endpoints" -m tcp -p tcp -d 10.96.0.12 --dport 80 -j DROP
-A KUBE-EXTERNAL-SERVICES -m tcp -p tcp -d 10.96.0.10 --dport 81 -j REJECT
-A KUBE-EXTERNAL-SERVICES -m tcp -p tcp -d 203.0.113.7 --dport 80 -j DROP
COMMIT
`

// follow takes a packet that came to a node through its rules, in all ways: "drop", or "ADDR:PORT", with "masqueraded" and
// "recorded" and the chance.
func follow(r *ruleset, src, dst string, affinity ...string) string {
	var (
		k    picks
		ways []string
	)
	for k.reset() {
		to := netip.MustParseAddrPort(dst)
		p := packet{src: netip.MustParseAddr(src), dst: to.Addr(), dport: to.Port(), protocol: "tcp"}
		m := &machine{rules: r, node: "n", picks: &k, affinity: map[string]bool{}, recorded: map[string]bool{}, trace: func(string, ...any) {},
			local: func(addr netip.Addr) bool { return addr == netip.MustParseAddr("172.18.0.2") }}
		for _, name := range affinity {
			m.affinity["n "+name] = true
		}
		v, arrived := m.transit(&p, false)
		way := fmt.Sprintf("%s:%d", p.dst, p.dport)
		switch v {
		case drop:
			way = "drop"
		case reject:
			way = "reject"
		}
		if p.masq {
			way += " masqueraded"
		}
		if len(m.recorded) > 0 {
			way += " recorded"
		}
		if arrived {
			way += " arrived"
		}
		ways = append(ways, fmt.Sprintf("%s %.2f", way, k.chance))
	}
	return strings.Join(ways, ", ")
}

func TestRules(t *testing.T) {
	const pod, outside, other = "10.244.0.9", "172.18.0.9", "172.18.0.8"
	for _, mode := range []struct {
		name, sticky string
		rules        func() (*ruleset, error)
	}{
		{"nftables", "affinity-1", func() (*ruleset, error) { return parseNFT(nftRules) }},
		{"iptables", "KUBE-SEP-3", func() (*ruleset, error) { return parseIPTables(iptRules) }},
	} {
		r, err := mode.rules()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ src, dst, want string }{
			{pod, "10.96.0.10:80", "10.244.1.11:8080 0.50, 10.244.2.12:8080 0.50"},
			{outside, "10.96.0.10:80", "10.244.1.11:8080 masqueraded 0.50, 10.244.2.12:8080 masqueraded 0.50"},
			{pod, "10.96.0.10:81", "reject 1.00"},
			{pod, "10.96.0.12:80", "drop 1.00"},
			{pod, "10.96.0.11:80", "10.244.1.11:8080 recorded 1.00"},
			{outside, "203.0.113.7:80", "10.244.1.11:8080 0.50, 10.244.2.12:8080 0.50"},
			{other, "203.0.113.7:80", "drop 1.00"},
			{other, "172.18.0.2:80", "172.18.0.2:80 arrived 1.00"},
		} {
			if got := follow(r, c.src, c.dst); got != c.want {
				t.Errorf("%s: %s to %s: %s, want %s", mode.name, c.src, c.dst, got, c.want)
			}
		}
		if got := follow(r, pod, "10.96.0.11:80", mode.sticky); got != "10.244.1.11:8080 recorded 1.00" {
			t.Errorf("%s: with affinity: %s", mode.name, got)
		}
	}
}

// TestUnknownSyntax: a rule that is not understood must not be taken for one that does nothing.
func TestUnknownSyntax(t *testing.T) {
	for _, rule := range []string{"ip daddr 10.0.0.1 log", "ct state established accept", "meta mark 1 drop", "ip daddr @gone drop", "jump gone", "ip daddr . th sport vmap @service-ips",
		"tcp flags 80 accept", "masquerade", "numgen inc mod 2 vmap { 0 : goto services , 1 : goto services }", "numgen random mod 3 vmap { 0 : goto services }", "dnat to gone",
		"update @cluster-ips { ip saddr }", "ip daddr name drop", "queue", "iifname eth0 drop", "iifname != eth0 drop", "fib daddr type broadcast drop", "mark and 1 == 1 drop"} {
		if _, err := parseNFT(nftRules + "add rule ip kube-proxy services " + rule + "\n"); err == nil {
			t.Errorf("nft: %s: no error", rule)
		}
	}
	for _, line := range []string{"delete table ip kube-proxy", "add chain ip kube-proxy x { type route hook output priority 0 ; }", "add chain ip kube-proxy x { type nat hook ingress priority 0 ; }"} {
		if _, err := parseNFT(nftRules + line + "\n"); err == nil {
			t.Errorf("nft: %s: no error", line)
		}
	}
	for _, rule := range []string{"-j GONE", "-j LOG", "-m limit --limit 1/s -j ACCEPT", "-i eth0 -j DROP", "--sport 1 -j DROP", "-m conntrack --ctstate SNAT -j DROP", "-d 10.0.0.300 -j DROP",
		"-m recent --name X --update -j DROP", "-m statistic --mode nth --every 2 -j DROP", "! -j DROP", "-j MARK --set-mark 1", "-j DNAT --random", "-m addrtype --dst-type BROADCAST -j DROP"} {
		if _, err := parseIPTables(strings.Replace(iptRules, "COMMIT", "-A KUBE-SERVICES "+rule+"\nCOMMIT", 1)); err == nil {
			t.Errorf("iptables: %s: no error", rule)
		}
	}
	for _, line := range []string{"-A GONE -j ACCEPT", "-X KUBE-SERVICES", ":FORWARD DROP [0:0]"} {
		if _, err := parseIPTables(strings.Replace(iptRules, "COMMIT", line+"\nCOMMIT", 1)); err == nil {
			t.Errorf("iptables: %s: no error", line)
		}
	}
}
