package report

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// The fixtures are built by hand: places, what was expected there, what was seen, judged by reach.Judge.

const (
	podA = "my-app-5d9c7b6f4-7xk2p"
	podB = "my-app-5d9c7b6f4-q8v4n"
	docs = "https://kubernetes.io/docs/reference/networking/virtual-ips/"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { a := addr(s); return netip.PrefixFrom(a, a.BitLen()) }

func pod(slot, ip string) reach.Vantage {
	return reach.Vantage{Name: "pod/" + slot, Kind: reach.Pod, Node: "svclab-" + slot, Namespace: "svclab-clients",
		PodName: "client-" + slot, Addrs: []netip.Addr{addr(ip)}}
}

func node(slot, ip string) reach.Vantage {
	return reach.Vantage{Name: "node/" + slot, Kind: reach.Node, Node: "svclab-" + slot, Addrs: []netip.Addr{addr(ip)}}
}

func places() []reach.Vantage {
	return []reach.Vantage{
		pod("control-plane", "10.244.0.5"), pod("worker", "10.244.1.5"), pod("worker2", "10.244.2.5"),
		node("control-plane", "172.18.0.2"), node("worker", "172.18.0.3"), node("worker2", "172.18.0.4"),
		{Name: "outside", Kind: reach.Outside, Addrs: []netip.Addr{addr("172.18.0.9")}},
		{Name: "host", Kind: reach.Host, Addrs: []netip.Addr{addr("172.18.0.1")}},
	}
}

func target(kind reach.TargetKind, host string, port uint16) reach.Target {
	return reach.Target{Kind: kind, Service: "lab/my-service", Host: host, Port: port, Protocol: reach.TCP}
}

func nodePort(slot, ip string) reach.Target {
	t := target(reach.NodePort, ip, 30080)
	t.Slot, t.Node = slot, "svclab-"+slot
	return t
}

// seen is one cell's observations: each argument is one of many answers or failures.
type seen []reach.Observation

func answers(v reach.Vantage, source string, backends ...string) seen {
	var s seen
	for i := range 8 {
		o := reach.Observation{Outcome: reach.Reached, Backend: backends[i%len(backends)],
			Latency: time.Duration(600+100*i) * time.Microsecond}
		if source == "" && len(v.Addrs) > 0 {
			o.Source = v.Addrs[0]
		} else if source != "" {
			o.Source = addr(source)
		}
		s = append(s, o)
	}
	return s
}

func failures(o reach.Outcome, detail string, n int) seen {
	var s seen
	for range n {
		x := reach.Observation{Outcome: o, Detail: detail}
		switch o {
		case reach.TimedOut:
			x.Latency = time.Second
		case reach.Refused:
			x.Latency = 310 * time.Microsecond
		}
		s = append(s, x)
	}
	return s
}

func refusals() seen { return failures(reach.Refused, "connect: connection refused", 3) }
func timeouts() seen { return failures(reach.TimedOut, "no answer within 1s", 3) }

func unprobed(why string) seen {
	return seen{{Outcome: reach.Unprobed, Detail: why}}
}

func reaches(reason, rule string, sources []netip.Prefix, backends ...string) reach.Prediction {
	return reach.Prediction{Outcomes: []reach.Outcome{reach.Reached}, Backends: backends, Sources: sources,
		Reason: reason, Rule: rule, Doc: docs}
}

func denied(reason, rule string, outcomes ...reach.Outcome) reach.Prediction {
	return reach.Prediction{Outcomes: outcomes, Reason: reason, Rule: rule, Doc: docs}
}

// tableOf calls cell for every vantage and target.
func tableOf(title string, vantages []reach.Vantage, targets []reach.Target,
	cell func(reach.Vantage, reach.Target) (seen, reach.Prediction, *reach.Prediction)) reach.Table {
	t := reach.Table{Title: title, Vantages: vantages, Targets: targets}
	for _, v := range vantages {
		for _, target := range targets {
			s, oracle, written := cell(v, target)
			t.Cells = append(t.Cells, reach.Judge(reach.Cell{Vantage: v, Target: target, Observations: s,
				Repeat: "svclab probe --from " + v.Name + " --to '" + target.Name() + "'"}, oracle, written))
		}
	}
	return t
}

func stepOf(name string, elapsed time.Duration, tables ...reach.Table) reach.Step {
	s := reach.Step{Name: name, Result: reach.Skipped, Tables: tables, Elapsed: elapsed}
	for _, t := range tables {
		s.Result = reach.Worse(s.Result, t.Result())
	}
	return s
}

func verdictOf(scenario, title string, behaviours []string, steps ...reach.Step) reach.Verdict {
	v := reach.Verdict{Scenario: scenario, Title: title, Behaviours: behaviours, Result: reach.Skipped, Steps: steps}
	for _, s := range steps {
		v.Result = reach.Worse(v.Result, s.Result)
		v.Elapsed += s.Elapsed
	}
	return v
}

const (
	vipReason  = "a ClusterIP is translated on the client's own node to any ready endpoint, and the source address stays"
	portReason = "the Service does not declare this port, and kube-proxy in nftables mode rejects undeclared ports of a ClusterIP"
	awayReason = "a ClusterIP exists only in the rules of the cluster's nodes; outside them no route leads to it"
)

// clusterIP passes everywhere: 8 vantages × 4 targets.
func clusterIP() reach.Verdict {
	undeclared := target(reach.ClusterIP, "10.96.14.7", 81)
	undeclared.Undeclared = true
	targets := []reach.Target{target(reach.ClusterIP, "10.96.14.7", 80), undeclared,
		target(reach.DNSName, "my-service.lab.svc.cluster.local", 80)}
	table := tableOf("", places(), targets, func(v reach.Vantage, t reach.Target) (seen, reach.Prediction, *reach.Prediction) {
		switch {
		case v.Kind == reach.Host && t.Kind == reach.DNSName:
			return unprobed("the machine does not use the cluster's DNS"), reach.Prediction{}, nil
		case v.Kind == reach.Outside && t.Kind == reach.DNSName:
			return failures(reach.NoSuchHost, "no such host", 1), denied("outside does not use the cluster's DNS", "dns-outside", reach.NoSuchHost), nil
		case v.Kind == reach.Outside || v.Kind == reach.Host:
			return failures(reach.Unreachable, "connect: network is unreachable", 3), denied(awayReason, "clusterip-outside", reach.Unreachable, reach.TimedOut), nil
		case t.Undeclared:
			return refusals(), denied(portReason, "undeclared-nftables", reach.Refused), nil
		}
		p := reaches(vipReason, "clusterip", []netip.Prefix{netip.PrefixFrom(v.Addrs[0], 32)}, podA, podB)
		return answers(v, "", podA, podB), p, &p
	})
	check := reach.Step{Name: "kubectl get service shows the VIP and no node port", Result: reach.Pass, Elapsed: 42 * time.Millisecond,
		Lines: []string{"NAME         TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE", "my-service   ClusterIP   10.96.14.7   <none>        80/TCP    3s"}}
	return verdictOf("clusterip-basic", "a ClusterIP is reached from every pod and node, and from nowhere else",
		[]string{"clusterip.basic", "clusterip.undeclared-port"}, stepOf("probe the VIP and the DNS name", 1310*time.Millisecond, table), check)
}

const everyNode = "externalTrafficPolicy is Cluster, so every node serves the port and masquerades what it sends to another node"

// nodePorts fails in every way a reached cell can, and with each of the three standing alone.
func nodePorts() reach.Verdict {
	outside, host, onWorker := places()[6], places()[7], places()[1]
	vantages := []reach.Vantage{onWorker, outside, host}
	targets := []reach.Target{nodePort("control-plane", "172.18.0.2"), nodePort("worker", "172.18.0.3"), nodePort("worker2", "172.18.0.4")}
	table := tableOf("", vantages, targets, func(v reach.Vantage, t reach.Target) (seen, reach.Prediction, *reach.Prediction) {
		p := reaches(everyNode, "etp-cluster", []netip.Prefix{prefix(t.Host)}, podA, podB)
		refused := denied("no ready endpoint is left", "no-endpoint", reach.Refused)
		switch v.Name + " " + t.Slot {
		case "outside worker2", "host worker2": // this node does not serve the port
			return refusals(), p, &p
		case "outside worker": // one backend is out of the rotation
			return answers(v, t.Host, podA), p, &p
		case "outside control-plane": // another Service's pod answers
			return answers(v, t.Host, podA, podB, "other-7c5ddbdf54-zzzzz"), p, &p
		case "host worker": // the source address is rewritten
			return answers(v, "192.0.2.7", podA, podB), p, &p
		case "host control-plane": // some connections are lost
			return append(answers(v, t.Host, podA, podB), failures(reach.TimedOut, "no answer within 1s", 2)...), p, &p
		case "pod/worker worker": // the oracle is wrong
			return answers(v, t.Host, podA, podB), refused, &p
		case "pod/worker worker2": // the expected table is wrong
			return answers(v, t.Host, podA, podB), p, &refused
		default: // no two agree
			return timeouts(), p, &refused
		}
	})
	return verdictOf("nodeport-every-node", "port 30080 answers on every node's address", []string{"nodeport.every-node"},
		stepOf("probe port 30080 of every node", 2600*time.Millisecond, table))
}

// external fails by its CNAME and Host header.
func external() reach.Verdict {
	t := target(reach.ExternalName, "web.lab.svc.cluster.local", 80)
	t.Service = "lab/web"
	p := reaches("an ExternalName is an alias: the name resolves through its externalName, and the client's Host header stays", "externalname", nil, "outside-web")
	p.CNAME, p.HostSeen = "example.com", "web.lab.svc.cluster.local"
	table := tableOf("", places()[1:3], []reach.Target{t}, func(v reach.Vantage, _ reach.Target) (seen, reach.Prediction, *reach.Prediction) {
		s := answers(v, "172.18.0.3", "outside-web")
		for i := range s {
			s[i].CNAME, s[i].HostSeen = "example.org", "web.lab.svc.cluster.local"
			if v.Name == "pod/worker2" {
				s[i].CNAME, s[i].HostSeen = "example.com", "example.com"
			}
		}
		return s, p, &p
	})
	return verdictOf("external-name", "the name resolves as a CNAME, and nothing else", []string{"external.cname"},
		stepOf("probe the alias", 900*time.Millisecond, table))
}

// unsure has a prober that could not run, and a vantage that is not there.
func unsure() reach.Verdict {
	vantages := places()[1:8]
	targets := []reach.Target{target(reach.LoadBalancer, "172.18.200.1", 80)}
	table := tableOf("", vantages, targets, func(v reach.Vantage, _ reach.Target) (seen, reach.Prediction, *reach.Prediction) {
		p := reaches("the address is announced by one node and served by all of them", "lb-cluster", nil, podA, podB)
		switch v.Name {
		case "pod/worker2":
			return failures(reach.ProbeFailed, "exec in svclab-clients/client-worker2: container not found", 1), p, &p
		case "host":
			return unprobed("no local route leads to 172.18.200.1: a probe would leave the machine"), p, &p
		}
		return answers(v, "172.18.0.3", podA, podB), p, &p
	})
	return verdictOf("loadbalancer", "MetalLB gives an address that answers", []string{"lb.assign", "lb.reach"},
		stepOf("probe the address", 3400*time.Millisecond, table))
}

func skipped() reach.Verdict {
	return reach.Verdict{Scenario: "sctp", Title: "an SCTP Service", Behaviours: []string{"port.multi"}, Result: reach.Skipped,
		Skip: "the kernel has no SCTP: modprobe sctp, or use a kernel that has it"}
}

// wide has long IPv6 addresses, long names, two Services, UDP, and a title in Chinese.
func wide() reach.Verdict {
	long := "ip-10-0-101-23.eu-central-1.compute.internal"
	vantages := []reach.Vantage{pod(long, "fd00:10:244:1:aaaa:bbbb:cccc:1"), pod("节点二", "fd00:10:244:2:aaaa:bbbb:cccc:2"),
		node(long, "fc00:f853:0ccd:e793:aaaa:bbbb:cccc:0003"), {Name: "outside", Kind: reach.Outside, Unusable: "no IPv6 outside"}}
	v6 := target(reach.ClusterIP, "fd00:10:96:aaaa:bbbb:cccc:dddd:eeee", 80)
	np := nodePort(long, "fc00:f853:0ccd:e793:aaaa:bbbb:cccc:0003")
	dns := target(reach.DNSName, "a-service-whose-name-is-sixty-three-characters-long-as-it-may-be.a-long-namespace.svc.cluster.local", 53)
	dns.Service, dns.Protocol = "a-long-namespace/a-service-whose-name-is-sixty-three-characters-long-as-it-may-be", reach.UDP
	end := target(reach.Endpoint, "fd00:10:244:2:aaaa:bbbb:cccc:dddd", 8080)
	end.Pod = podA
	table := tableOf("双栈 Service：每个地址族都要能访问", vantages, []reach.Target{v6, np, dns, end},
		func(v reach.Vantage, _ reach.Target) (seen, reach.Prediction, *reach.Prediction) {
			if v.Kind == reach.Outside {
				return unprobed(v.Unusable), reach.Prediction{}, nil
			}
			p := reaches("the Service is PreferDualStack and each of its families is served", "dualstack", nil, podA)
			return answers(v, "", podA), p, nil
		})
	return verdictOf("dual-stack", "双栈：IPv4 和 IPv6 地址都能访问 my-service", []string{"dualstack"}, stepOf("探测 IPv6 地址", 1200*time.Millisecond, table))
}

func facts() Cluster {
	return Cluster{Name: "svclab", Kubernetes: "v1.37.2", ProxyMode: "nftables", Families: []string{"IPv4", "IPv6"},
		Nodes: []Node{{Name: "svclab-control-plane", Slot: "control-plane", Roles: []string{"control-plane"}},
			{Name: "svclab-worker", Slot: "worker"}, {Name: "svclab-worker2", Slot: "worker2"}},
		Provider: "kind v0.33.0", Engine: "docker 20.10.24"}
}

// runOf makes a run of the verdicts, all planned.
func runOf(verdicts ...reach.Verdict) Run {
	var planned []string
	for _, v := range verdicts {
		planned = append(planned, v.Scenario)
	}
	return Run{Tool: "svclab", Version: "v0.1.0", Started: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Elapsed: 83412 * time.Millisecond,
		Cluster: facts(), Plan: PlanFor(planned, verdicts), Verdicts: verdicts}
}

// passing is a run in which all is as expected; mixed one in which nearly everything that can happen does.
func passing() Run { return runOf(clusterIP(), skipped()) }

func mixed() Run {
	run := runOf(clusterIP(), nodePorts(), external(), unsure(), wide(), skipped())
	run.Plan.Planned = append(run.Plan.Planned, "rollout")
	return run
}
