package cluster

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// connectIn bounds the first request to an existing cluster, so that an unreachable one is reported soon.
const connectIn = 10 * time.Second

// Connect returns the cluster that a kubeconfig names, no matter who created it, without making anything in it. It has no
// vantage but this machine until UseNodes or DeployClients. It sends the cluster one request; where that is not answered
// within ten seconds the error is ErrNoCluster. Of settings it uses Manifests, Images.Agnhost and Log.
func Connect(ctx context.Context, kubeconfig, contextName string, s Settings) (*Cluster, error) {
	if kubeconfig == "" {
		return nil, problem(ErrSettings, "name its kubeconfig file; svclab never takes the ambient one", "no cluster is named")
	}
	if s.Log == nil {
		s.Log = io.Discard
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: contextName})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, badKubeconfig(kubeconfig, err)
	}
	contextName = cmp.Or(contextName, raw.CurrentContext)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, badKubeconfig(kubeconfig, err)
	}
	c := &Cluster{progress: &progress{out: s.Log}, settings: s, kubeconfig: kubeconfig, context: contextName}
	if err := c.connect(config); err != nil {
		return nil, err
	}
	first, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	if err := c.client.Discovery().RESTClient().Get().AbsPath("/version").Do(first).Error(); err != nil {
		return nil, problem(ErrNoCluster, "check the kubeconfig: its server, its certificates and its user", "cluster %s at %s does not answer",
			contextName, config.Host).because(err)
	}
	return c, nil
}

func badKubeconfig(path string, cause error) error {
	return problem(ErrNoCluster, "name a kubeconfig file, and a context that is in it", "the kubeconfig %s cannot be used", path).because(cause)
}

// UseNodes limits a cluster that Connect returned to the nodes named by slot: they are its vantages. Users of the Cluster's
// clients see these nodes and others, if they are still there, and no more, however many there are: tables, targets and
// snapshots are of them only.
func (c *Cluster) UseNodes(slots map[string]string, others ...string) {
	c.slots = map[string]string{}
	for slot, node := range slots {
		c.slots[node] = slot
	}
	c.client.nodes = slices.Compact(append([]string{}, slices.Sorted(slices.Values(slices.AppendSeq(others, maps.Values(slots))))...))
}

// WatchServices has users of the Cluster's clients see the Services of all namespaces as one watch knows them, instead of listing
// them again and again. The watch ends with Close. It is called before UseNodes and DeployClients.
func (c *Cluster) WatchServices(ctx context.Context) {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.client.services, c.stopWatch = wait.Services(watching, c.client.Interface), stop
}

// DeployClients deploys the client pods to a cluster that Connect returned, on the nodes of slots; see UseNodes. The clients
// run image; where that is empty, that of the settings. What an earlier run left in the clients' namespace is removed first. It may be called
// again, with other nodes. Close removes all; it is to be called even when DeployClients failed.
func (c *Cluster) DeployClients(ctx context.Context, slots map[string]string, image string, others ...string) error {
	c.settings.Images.Agnhost = cmp.Or(image, c.settings.Images.Agnhost)
	c.UseNodes(slots, others...)
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	if service, err := c.client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{}); err == nil {
		if addr, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
			c.dns = netip.AddrPortFrom(addr, 53)
		}
	}
	namespace, err := c.client.CoreV1().Namespaces().Get(ctx, ClientsNamespace, metav1.GetOptions{})
	switch {
	case err == nil && namespace.Labels[managedLabel] != "svclab":
		return problem(ErrForeignCluster, "remove or rename it: svclab's client pods need that name", "the namespace %s exists, and svclab did not make it", ClientsNamespace)
	case err == nil && namespace.Labels[labLabel] == "": // of a run before, which was killed
		if !c.made { // else DeployClients is called again
			c.logf("removing the namespace %s, which an earlier run left behind", ClientsNamespace)
		}
		if err := c.removeClients(ctx); err != nil {
			return err
		}
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("look for the namespace %s: %w", ClientsNamespace, err)
	}
	c.made, c.inLab = true, err == nil && namespace.Labels[labLabel] != ""
	return c.runClients(ctx, existingPods(c, nodes.Items))
}

// existingPods are a pod and a host-network pod for every node with a slot that can run them.
func existingPods(c *Cluster, nodes []corev1.Node) []clientPod {
	var pods []clientPod
	for i := range nodes {
		node := nodes[i].Name
		if c.slots[node] == "" || !world.NodeReady(&nodes[i]) || nodes[i].Labels[corev1.LabelOSStable] == "windows" {
			continue
		}
		pods = append(pods, clientPod{Name: c.podOf(node), Node: node, App: clientApp},
			clientPod{Name: c.hostPodOf(node), Node: node, App: "svclab-node-client", HostNetwork: true})
	}
	return pods
}

// RemoveClients removes client pods that an earlier process made, and their namespace, if it carries svclab's label.
func (c *Cluster) RemoveClients(ctx context.Context) error {
	namespace, err := c.client.CoreV1().Namespaces().Get(ctx, ClientsNamespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the namespace %s: %w", ClientsNamespace, err)
	}
	if namespace.Labels[managedLabel] != "svclab" {
		return nil
	}
	c.inLab = namespace.Labels[labLabel] != ""
	return c.removeClients(ctx)
}

// removeClients removes the namespace with the client pods and waits until it is gone. In svclab's own cluster, taken as
// an existing one, it removes only the pods that were added.
func (c *Cluster) removeClients(ctx context.Context) error {
	if c.inLab {
		err := c.client.CoreV1().Pods(ClientsNamespace).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{LabelSelector: "!" + labLabel})
		if err != nil {
			return fmt.Errorf("remove the client pods: %w", err)
		}
		return nil
	}
	err := c.client.CoreV1().Namespaces().Delete(ctx, ClientsNamespace, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the namespace %s: %w", ClientsNamespace, err)
	}
	return c.await(ctx, "the namespace "+ClientsNamespace+" to be removed", namespaceGoneIn, wait.Gone(c.client, ClientsNamespace))
}

// existingFacts reads what a cluster that svclab did not make says of itself: its proxy mode (see ProxyMode), the pod
// ranges that kube-proxy was configured with, and the addresses that its nodes have. What it does not say stays unknown.
func (c *Cluster) existingFacts(ctx context.Context) (world.Facts, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return world.Facts{}, fmt.Errorf("read the cluster's facts: %w", err)
	}
	found, err := c.learn(ctx)
	if err != nil {
		return world.Facts{}, fmt.Errorf("read the cluster's facts: %w", err)
	}
	facts := found.proxy // and what the cluster says otherwise
	facts.ProxyMode, facts.NodeSources, facts.NoLayer2 = found.mode.Mode, found.addrs, found.noLayer2
	facts.Slots, facts.NodesUseClusterDNS = map[string]string{}, c.dns.IsValid()
	for _, node := range nodes.Items {
		facts.Slots[c.slot(node.Name)] = node.Name
	}
	return facts, nil
}

// FactsIn returns the cluster's facts if kube-proxy worked in a proxy mode, and its configuration were the same otherwise.
func (c *Cluster) FactsIn(ctx context.Context, mode string) (world.Facts, error) {
	facts, err := c.Facts(ctx)
	if err != nil || c.engine != nil {
		facts.ProxyMode, facts.NodeModes = mode, nil
		return facts, err
	}
	found, err := c.learn(ctx)
	if err != nil {
		return facts, err
	}
	facts.ProxyMode = mode
	if found.config != "" {
		proxy, err := ReadProxyConfig(found.config, mode)
		if err != nil {
			return facts, err
		}
		facts.MasqueradeAll = proxy.MasqueradeAll
	}
	return facts, nil
}

// ReadProxyConfig reads kube-proxy's configuration file: its mode, and the settings that a prediction needs. A mode that is given
// replaces that of the file, and the settings are those which hold in it. No mode means iptables (the default of every version up
// to 1.39). How pods are detected is unknown where this goes by the names of network
// interfaces, which no object has.
func ReadProxyConfig(text, mode string) (world.Facts, error) {
	var config struct {
		Mode            string `json:"mode"`
		ClusterCIDR     string `json:"clusterCIDR"`
		DetectLocalMode string `json:"detectLocalMode"`
		IPTables        struct {
			MasqueradeAll      bool  `json:"masqueradeAll"`
			LocalhostNodePorts *bool `json:"localhostNodePorts"`
		} `json:"iptables"`
		NFTables struct {
			MasqueradeAll bool `json:"masqueradeAll"`
		} `json:"nftables"`
		NodePortAddresses []string        `json:"nodePortAddresses"`
		FeatureGates      map[string]bool `json:"featureGates"`
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return world.Facts{}, err
	}
	facts := world.Facts{ProxyMode: cmp.Or(mode, config.Mode, world.ModeIPTables), MasqueradeAll: config.IPTables.MasqueradeAll,
		NoLocalhostNodePorts: config.IPTables.LocalhostNodePorts != nil && !*config.IPTables.LocalhostNodePorts, NodePortAddresses: config.NodePortAddresses,
		LoopbackProxy: config.FeatureGates["KubeProxyNFTablesLocalhostNodePorts"]}
	if !slices.Contains([]string{world.ModeIPTables, world.ModeNFTables, world.ModeIPVS}, facts.ProxyMode) {
		facts.ProxyMode = world.ModeUnknown
	}
	if facts.ProxyMode == world.ModeNFTables {
		facts.MasqueradeAll = config.NFTables.MasqueradeAll
	}
	switch config.DetectLocalMode {
	case "", "ClusterCIDR":
	case "NodeCIDR":
		facts.Detection = world.DetectNodeCIDR
	default:
		facts.Detection = world.DetectUnknown
	}
	for part := range strings.SplitSeq(config.ClusterCIDR, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if err != nil {
			return world.Facts{}, err
		}
		facts.PodCIDRs = append(facts.PodCIDRs, prefix)
	}
	return facts, nil
}
