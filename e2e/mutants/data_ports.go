package mutants

import (
	"fmt"
	"net/netip"

	"github.com/svclab/svclab/e2e/reach"
)

// ports are the mutants of ports and their names.
func ports() []Mutant {
	const (
		asNodePort = "from ClusterIP, it is NodePort"
		longOnes   = "long datagrams arrive as well"
	)
	return []Mutant{
		{
			Name:       "one-protocol-lost",
			Effect:     "worker drops datagrams to the ClusterIP's port 80, whose TCP port of the same number it serves",
			Behaviours: []string{"port.multi"}, Scenario: "ports", During: []string{"every port leads to its own pods"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClientRaw(fmt.Sprintf("ip daddr %s udp dport 80 drop", s.VIP)), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker"}, To: served(), Field: "outcome", Got: []string{"TimedOut"}}}},
		},
		{
			Name:       "one-number-for-all",
			Effect:     "on worker, the pod whose port http is 8081 gets requests at 8080, which is another pod's http",
			Behaviours: []string{"port.named"}, Scenario: "port-names", During: []string{"the name leads to both numbers"},
			Fault:  redirected("worker", serviceName, "new"),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker"}, To: []reach.TargetKind{reach.ClusterIP}, Field: "outcome", Got: []string{"Refused"}}}},
		},
		{
			Name:       "exposed-wrongly",
			Effect:     "the Service that kubectl expose made selects pods that there are not",
			Behaviours: []string{"expose.command", "nodeport.every-node"}, Scenario: "expose", During: []string{"exposed and patched, it serves 30080"},
			Fault: edited(serviceName, "", `{"spec":{"selector":{"app":"nobody"}}}`),
			Notice: Notice{Signs: []Sign{{From: []string{"pod", "node", "outside"}, To: []reach.TargetKind{reach.NodePort}, Field: "outcome", Got: []string{"Refused"},
				Also: []string{"host"}}, {From: []string{"pod", "node"}, To: []reach.TargetKind{reach.ClusterIP}, Field: "outcome", Got: []string{"Refused"}}}},
		},
		{
			Name:       "old-port-stays",
			Effect:     "worker still serves 30020, the node port that the Service had before it became a ClusterIP",
			Behaviours: []string{"type.change"}, Scenario: "type-change", During: []string{"from NodePort, it is ClusterIP"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return Rules{Arriving: []string{fmt.Sprintf("ip daddr %s tcp dport 30020 %s", s.Nodes["worker"].Addr, end)}}, err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/control-plane", "outside"}, To: []reach.TargetKind{reach.NodePort}, Slot: "worker", Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "family-lost",
			Effect:     "the Service has lost its second IP family while it became a NodePort",
			Behaviours: []string{"type.change"}, Scenario: "type-change", Family: "IPv6", During: []string{asNodePort},
			Fault:  edited(serviceName, "", `{"spec":{"ipFamilyPolicy":"SingleStack"}}`),
			Notice: Notice{Checks: []CheckSign{{Step: asNodePort, Why: []string{"there is no IPv6"}}}},
		},
		{
			Name:       "long-datagrams-lost",
			Effect:     "worker drops datagrams of more than 1,500 bytes, which come in pieces",
			Behaviours: []string{"udp"}, Scenario: "udp", During: []string{longOnes},
			Fault: filter("worker", func(Scene) (Rules, error) {
				return everyClientRaw("meta l4proto udp ip length > 1500 drop", "ip frag-off & 0x3fff != 0 drop"), nil
			}),
			Notice: Notice{Checks: []CheckSign{{Step: longOnes, Why: []string{"the echo of 1800 bytes is missing"}}}},
		},
		{
			Name:       "stale-datagrams",
			Effect:     "worker sends its clients' datagrams to an address that no pod has any more",
			Behaviours: []string{"udp"}, Scenario: "udp", During: []string{"datagrams reach the new pod from everywhere"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				bytes := s.Nodes["worker"].Pods.Addr().As4()
				bytes[3] |= 0xfe // addresses are handed out from the lower end
				return everyClient(fmt.Sprintf("ip daddr %s udp dport 80 dnat ip to %s:8080", s.VIP, netip.AddrFrom4(bytes))), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.DNSName}, Field: "outcome",
				Got: []string{"TimedOut", "Unreachable"}}}},
		},
	}
}

// names are the mutants of DNS records.
func names() []Mutant {
	const (
		onlyAlpha = "names while only alpha is ready"
		elsewhere = "records, asked in another namespace"
		everyForm = "every form leads to the pod, but for the short one from elsewhere"
	)
	return []Mutant{
		{
			Name:       "unready-published",
			Effect:     "the headless Service publishes pods that are not ready",
			Behaviours: []string{"headless.dns"}, Scenario: "headless", During: []string{onlyAlpha},
			Fault:  edited("headless", "", `{"spec":{"publishNotReadyAddresses":true}}`),
			Notice: Notice{Checks: []CheckSign{{Step: onlyAlpha, Why: []string{"want"}}}},
		},
		{
			Name:       "second-record-lost",
			Effect:     "the DNS has no AAAA record for the headless Service, only its A records",
			Behaviours: []string{"headless.dns"}, Scenario: "headless", Family: "IPv6", During: []string{onlyAlpha},
			Fault:  recordsLost("AAAA", "headless"),
			Notice: Notice{Checks: []CheckSign{{Step: onlyAlpha, Why: []string{"got no such record"}}}},
		},
		{
			Name:       "port-name-lost",
			Effect:     "the Service's port http goes by another name, and its SRV record with it",
			Behaviours: []string{"dns.service"}, Scenario: "dns", During: []string{elsewhere},
			Fault: edited(serviceName, "", `{"spec":{"ports":[{"name":"web","port":80,"targetPort":8080},
				{"name":"echo","protocol":"UDP","port":7,"targetPort":8081}]}}`),
			Notice: Notice{Checks: []CheckSign{{Step: elsewhere, Why: []string{"_http._tcp"}}}},
		},
		{
			Name:       "one-dns-pod-wrong",
			Effect:     "of three pods of the cluster's DNS one gives another number for the port http",
			Behaviours: []string{"dns.service"}, Scenario: "dns", During: []string{elsewhere},
			Fault: dnsPod(`template IN SRV {domain} {
        match "^_http\._tcp\..*"
        answer "{{ .Name }} 5 IN SRV 0 100 81 my-service.{namespace}.svc.{domain}."
    }`),
			Notice: Notice{Checks: []CheckSign{{Step: elsewhere, Why: []string{"_http._tcp"}}}},
		},
		{
			Name:       "dns-over-tcp-lost",
			Effect:     "every node drops what is sent to a DNS server over TCP",
			Behaviours: []string{"dns.service"}, Scenario: "dns", During: []string{elsewhere},
			Fault:  filters(everySlot(), func(Scene) (Rules, error) { return everyClientRaw("tcp dport 53 drop"), nil }),
			Notice: Notice{Checks: []CheckSign{{Step: elsewhere, Why: []string{"over TCP: TimedOut"}}}},
		},
		{
			Name:       "search-path-lost",
			Effect:     "the pod on control-plane has no search path",
			Behaviours: []string{"dns.service"}, Scenario: "dns", During: []string{everyForm},
			Fault:  searchLost("pod/control-plane"),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/control-plane"}, To: []reach.TargetKind{reach.DNSName}, Field: "outcome", Got: []string{"NoSuchHost"}}}},
		},
	}
}
