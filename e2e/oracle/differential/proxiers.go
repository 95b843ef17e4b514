package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

// request, proxyNode, response, written and health are what the program proxier reads and writes: see proxier/main.go.
type request struct {
	Services                                    []corev1.Service
	Slices                                      []discoveryv1.EndpointSlice
	ServiceCIDRs                                []netip.Prefix
	Nodes                                       []proxyNode
	Modes                                       []string
	Families                                    []corev1.IPFamily
	ClusterCIDRs                                []netip.Prefix
	NodeCIDR, MasqueradeAll, LocalhostNodePorts bool
	InterfacePrefix                             string
	NodePortAddresses                           []string
	Then                                        []update
}

// update is what a proxier sees after its first sync. It syncs after each.
type update struct {
	Services                       []corev1.Service
	Slices                         []discoveryv1.EndpointSlice
	DeletedServices, DeletedSlices []string
}

type proxyNode struct {
	Name, Zone string
	Addrs      []netip.Addr
	PodCIDRs   []string
}

type response struct {
	Error   string
	Proxies []written
}

type written struct {
	Node, Mode string
	Family     corev1.IPFamily
	Rules      string
	Health     []health
}

type health struct {
	Addrs     []netip.Addr
	Port      uint16
	Service   string
	Endpoints int
}

// podInterfaces is how the names of the nodes' ends of pods' links begin.
const podInterfaces = "veth"

// proxiers are those of one Kubernetes release: a process that writes the rules of worlds.
type proxiers struct {
	release string
	to      *json.Encoder
	from    *json.Decoder
	stop    func() error
}

func startProxiers(ctx context.Context, release, program string) (*proxiers, error) {
	cmd := exec.CommandContext(ctx, program)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the proxiers of Kubernetes %s: %w", release, err)
	}
	stop := func() error { return errors.Join(in.Close(), cmd.Wait()) }
	return &proxiers{release: release, to: json.NewEncoder(in), from: json.NewDecoder(out), stop: stop}, nil
}

// write returns what the proxiers of each node and IP family write in a proxy mode. The history ends with the world's Services and
// slices; without one they are there from the start.
func (p *proxiers) write(w world.World, mode string, history []update) ([]written, error) {
	f := w.Facts
	if len(history) == 0 {
		history = []update{{Services: w.Services, Slices: w.Slices}}
	}
	r := request{Services: history[0].Services, Slices: history[0].Slices, Then: history[1:], ServiceCIDRs: f.ServiceCIDRs, Modes: []string{mode}, ClusterCIDRs: f.PodCIDRs,
		NodeCIDR: f.Detection == world.DetectNodeCIDR, MasqueradeAll: f.MasqueradeAll, LocalhostNodePorts: !f.NoLocalhostNodePorts,
		NodePortAddresses: f.NodePortAddresses}
	if f.Detection == world.DetectUnknown {
		r.InterfacePrefix = podInterfaces
	}
	for _, prefix := range f.ServiceCIDRs {
		r.Families = append(r.Families, world.FamilyOf(prefix.Addr()))
	}
	for i := range w.Nodes {
		r.Nodes = append(r.Nodes, proxyNode{Name: w.Nodes[i].Name, Zone: w.Nodes[i].Labels[corev1.LabelTopologyZone],
			Addrs: interfaces(&w.Nodes[i]), PodCIDRs: w.Nodes[i].Spec.PodCIDRs})
	}
	if err := p.to.Encode(r); err != nil {
		return nil, err
	}
	var answer response
	if err := p.from.Decode(&answer); err != nil {
		if errors.Is(err, io.EOF) {
			err = p.stop()
		}
		return nil, fmt.Errorf("the proxiers of Kubernetes %s do not answer: %w", p.release, err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("the proxiers of Kubernetes %s: %s", p.release, answer.Error)
	}
	return answer.Proxies, nil
}

// interfaces are the addresses of a node's interfaces: its own, the primary ones first, and its end of its pods' links.
func interfaces(n *corev1.Node) []netip.Addr {
	var addrs []netip.Addr
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if addr, ok := world.PrimaryAddr(n, family); ok {
			addrs = append(addrs, addr)
		}
	}
	return append(append(addrs, world.NodeAddrs(n)...), world.Gateways(n)...)
}
