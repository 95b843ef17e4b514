package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/wait"
)

// excludeLabel keeps a node out of load balancing. kubeadm puts it on control planes and kind leaves it there when there
// are workers; MetalLB then silently announces nothing from them.
const excludeLabel = "node.kubernetes.io/exclude-from-external-load-balancers"

// ensureNodes gives every node its routes and packet filter and waits until its kubelet and its kube-proxy work.
func (c *Cluster) ensureNodes(ctx context.Context) error {
	if err := c.findDNS(ctx); err != nil {
		return err
	}
	if err := c.includeControlPlane(ctx); err != nil {
		return err
	}
	if err := c.Repair(ctx); err != nil {
		return err
	}
	if err := c.ensureProxy(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodeNames() {
		group.Go(func() error { return c.nodeWorks(ctx, node, proxySyncedIn) })
	}
	return group.Wait()
}

// nodeNames are the names of the nodes of a cluster of svclab's own.
func (c *Cluster) nodeNames() []string { return c.settings.kindConfig().Nodes() }

// includeControlPlane takes the exclude label off the control plane, once kubeadm has put its labels on.
func (c *Cluster) includeControlPlane(ctx context.Context) error {
	name := c.settings.Name + "-control-plane"
	return c.await(ctx, "the label "+excludeLabel+" to be removed from "+name, nodesJoinedIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
		node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		if _, marked := node.Labels["node-role.kubernetes.io/control-plane"]; !marked { // kubeadm puts both on at once
			return false, "kubeadm has not labelled the node yet", nil
		}
		if _, excluded := node.Labels[excludeLabel]; !excluded {
			return true, "", nil
		}
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, excludeLabel)
		_, err = c.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err == nil, "", err
	}))
}

// Repair writes every node's part of the pod network again: the routes to the other nodes' pods, the masquerade, and the
// drop of Service- and pod-range packets that would leave the machine. Nodes follow changed addresses by themselves
// within seconds; after Repair they have.
func (c *Cluster) Repair(ctx context.Context) error { return c.GuardRanges(ctx) }

// GuardRanges adds ranges to those whose packets never leave a node by its default route: that of a ServiceCIDR
// object created for a test, before its first Service. The next Up forgets them.
func (c *Cluster) GuardRanges(ctx context.Context, ranges ...netip.Prefix) error {
	var peers []peer
	err := c.await(ctx, "every node to have its pod ranges", podCIDRsIn, wait.List(c.objects, "", &corev1.NodeList{}, func(nodes *corev1.NodeList) (bool, string) {
		var seen string
		peers, seen = peersOf(nodes.Items, c.nodeNames(), len(c.settings.PodRanges()))
		return seen == "", seen
	}), c.on("", "nodes", "", ""))
	if err != nil {
		return err
	}
	files, err := c.networkFiles(peers, ranges)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodeNames() {
		group.Go(func() error { return c.installNetwork(ctx, node, files) })
	}
	return group.Wait()
}

// installNetwork puts svclab-network.service on a node and restarts it.
func (c *Cluster) installNetwork(ctx context.Context, node string, files []docker.File) error {
	if err := c.engine.CopyTo(ctx, node, files...); err != nil {
		return fmt.Errorf("give node %s its routes: %w", node, err)
	}
	// restarted: systemd waits until the rules and routes are in place
	argv := []string{"sh", "-c", `for try in $(seq 50); do systemctl daemon-reload && break; sleep 0.1; done 2>/dev/null # until systemd has come up
systemctl --quiet enable svclab-network && systemctl restart svclab-network`}
	if err := c.engine.Exec(ctx, node, argv, nil, nil, nil); err != nil {
		return fmt.Errorf("give node %s its routes: %w", node, err)
	}
	return nil
}

// guardEarly gives every node its packet filter as soon as its container runs. Before there is a kube-proxy, packets to a
// ClusterIP would leave the machine; the API server, for example, sends requests to webhooks.
func (c *Cluster) guardEarly(ctx context.Context) error {
	files, err := c.networkFiles(nil, nil)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodeNames() {
		group.Go(func() error {
			return c.await(ctx, "node "+node+" to guard the machine's default route", apiServerIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
				container, err := c.containerNamed(ctx, node)
				if err != nil || container.State != "running" {
					return false, "its container does not run", err
				}
				err = c.installNetwork(ctx, node, files) // fails until systemd has come up
				return err == nil, "", err
			}))
		})
	}
	return group.Wait()
}

// peer is a node and its pod ranges.
type peer struct {
	Node   string
	Ranges []string
}

// peersOf returns the pod ranges of the named nodes, one for each IP family; seen names the nodes that lack them.
func peersOf(nodes []corev1.Node, names []string, families int) (peers []peer, seen string) {
	var missing []string
	for _, name := range names {
		i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == name })
		if i < 0 || len(nodes[i].Spec.PodCIDRs) < families {
			missing = append(missing, name)
			continue
		}
		peers = append(peers, peer{Node: name, Ranges: nodes[i].Spec.PodCIDRs})
	}
	if len(missing) > 0 {
		return nil, "none for " + strings.Join(missing, ", ")
	}
	return peers, ""
}

// networkFiles are what svclab-network.service is made of; the same for every node.
func (c *Cluster) networkFiles(peers []peer, more []netip.Prefix) ([]docker.File, error) {
	script, err := fs.ReadFile(c.settings.Manifests, "cluster/node-network.sh")
	if err != nil {
		return nil, fmt.Errorf("read manifests/cluster/node-network.sh: %w", err)
	}
	unit, err := fs.ReadFile(c.settings.Manifests, "cluster/svclab-network.service")
	if err != nil {
		return nil, fmt.Errorf("read manifests/cluster/svclab-network.service: %w", err)
	}
	facts := networkFacts(c.settings.Images.Offline, slices.Concat(c.settings.ServiceRanges(), more), c.settings.PodRanges(), peers)
	return []docker.File{
		{Path: "/kind/svclab/node-network.sh", Mode: 0o755, Data: script},
		{Path: "/kind/svclab/network", Mode: 0o644, Data: facts},
		{Path: "/etc/systemd/system/svclab-network.service", Mode: 0o644, Data: unit},
	}, nil
}

// networkFacts is the file that node-network.sh reads, one fact a line.
func networkFacts(routes bool, services, pods []netip.Prefix, peers []peer) []byte {
	var out bytes.Buffer
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&out, format+"\n", args...) } // a buffer never fails
	if routes {
		line("routes yes")
	} else {
		line("routes no")
	}
	for _, r := range services {
		line("service %s", r)
	}
	for _, r := range pods {
		line("pod %s", r)
	}
	for _, p := range peers {
		line("peer %s %s", p.Node, strings.Join(p.Ranges, " "))
	}
	return out.Bytes()
}

// nodeCheck prints the state of a node's kubelet, kube-proxy and packet filter. $1 is the DNS Service's address, which the
// rules must know; in iptables mode either of the two iptables can hold them. It waits a while for both programs on the node,
// because to run a command there takes more processor time than all else.
const nodeCheck = `
health() { curl --noproxy '*' --silent --output /dev/null --max-time 2 --write-out '%{http_code}' "http://127.0.0.1:$1/healthz"; }
rules() { nft list map ip kube-proxy service-ips 2>/dev/null; iptables-nft-save -t nat 2>/dev/null; iptables-legacy-save -t nat 2>/dev/null; }
for try in $(seq 20); do [ "$(health 10248) $(health 10256)" != "200 200" ] || break; sleep 0.25; done
echo "kubelet $(health 10248), kube-proxy $(health 10256), rules for $1: $(rules | grep -cF "$1"), pod network $(systemctl is-active svclab-network)"`

// nodeWorks waits until a node's kubelet and kube-proxy are healthy and its rules are there. It checks on the node itself,
// because the Node object stays Ready for 40 s after the node died.
func (c *Cluster) nodeWorks(ctx context.Context, node string, limit time.Duration) error {
	return c.await(ctx, "kube-proxy to sync on "+node, limit, wait.Retry(func(ctx context.Context) (bool, string, error) {
		var out bytes.Buffer
		argv := []string{"sh", "-c", nodeCheck, "sh", c.dns.Addr().String()}
		if err := c.engine.Exec(ctx, node, argv, nil, &out, nil); err != nil {
			return false, "", err
		}
		seen := strings.TrimSpace(out.String())
		return nodeHealthy(seen), seen, nil
	}))
}

// nodeHealthy reads the line that nodeCheck prints.
func nodeHealthy(line string) bool {
	return strings.HasPrefix(line, "kubelet 200, kube-proxy 200, rules for ") && !strings.Contains(line, ": 0,") && strings.HasSuffix(line, " active")
}

// loadImages copies the engine's images into the nodes that lack them.
func (c *Cluster) loadImages(ctx context.Context) error {
	if len(c.settings.Images.Load) == 0 {
		return nil
	}
	if err := c.allJoined(ctx); err != nil { // before that, a node may have no containerd yet
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, image := range c.settings.Images.Load {
		group.Go(func() error { return c.run(ctx, envfuncs.LoadImageToCluster(c.settings.Name, image.Local, image.Name)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.logf("  the images are on every node")
	return nil
}
