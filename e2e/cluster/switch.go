package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// byNode is what the annotation of kube-proxy's pods says while the kube-proxies read a file of their node. No settings want it, so the next Up restores
// what a killed process left.
const byNode = "node by node"

// The files of a node from which its kube-proxy reads its configuration, and where the pod has them. The configuration of each mode
// is a file, and nodeProxyNow is a link to one of them: a kube-proxy ends when the file that it has read changes, and this one never
// does.
const (
	nodeProxyFolder = "/kind/svclab/kube-proxy-modes"
	nodeProxyMount  = "/var/lib/svclab-kube-proxy"
	nodeProxyVolume = "svclab-kube-proxy-modes"
	nodeProxyNow    = "now.conf"
)

// NodeModes are the modes, by node, of the kube-proxies that SwitchProxy has given another one than the cluster's.
func (c *Cluster) NodeModes() map[string]string {
	c.modes.mu.Lock()
	defer c.modes.mu.Unlock()
	return maps.Clone(c.modes.by)
}

func (c *Cluster) setMode(node, mode string) {
	c.modes.mu.Lock()
	defer c.modes.mu.Unlock()
	if c.modes.by == nil {
		c.modes.by = map[string]string{}
	}
	c.modes.by[node] = mode
	if mode == c.settings.ProxyMode {
		delete(c.modes.by, node)
	}
}

// SwitchProxy starts the kube-proxy of one node again in a mode, as a rolling update does, and returns when it has written the rules
// of that mode. Nothing removes the rules of the other mode but kube-proxy itself; see ProxyLeftovers. RestoreAll and Close restore
// all nodes.
func (c *Cluster) SwitchProxy(ctx context.Context, node, mode string) error {
	if err := c.StartProxyIn(ctx, node, mode); err != nil {
		return err
	}
	c.setMode(node, mode)
	return nil
}

// UseProxySettings starts the kube-proxy of every node again, one after the other, with the settings that facts have for each mode:
// PodCIDRs, Detection, NodePortAddresses, NoLocalhostNodePorts and MasqueradeAll. What SwitchProxy starts later has them too. Facts has
// them, and RestoreAll and Close restore the cluster's own. No node may be switched yet.
func (c *Cluster) UseProxySettings(ctx context.Context, by map[string]world.Facts) error {
	if slices.Contains(c.undo.pending(), byNode) {
		return errors.New("kube-proxy's settings are to change, and a node is switched already")
	}
	c.modes.mu.Lock()
	c.modes.like = by
	c.modes.mu.Unlock()
	for _, node := range c.nodeNames() {
		if err := c.SwitchProxy(ctx, node, c.settings.ProxyMode); err != nil {
			return err
		}
	}
	return nil
}

// StartProxyIn is SwitchProxy behind the back of Facts and NodeModes, for a fault: predictions go by the mode of before.
func (c *Cluster) StartProxyIn(ctx context.Context, node, mode string) error {
	if err := c.node(node); err != nil {
		return err
	}
	if mode != NFTables && mode != IPTables {
		return bad("the mode of kube-proxy", mode, "nftables or iptables")
	}
	if err := c.settings.Proxy.check(mode); err != nil {
		return err
	}
	if err := c.proxiesByNode(ctx); err != nil {
		return fmt.Errorf("let kube-proxy's mode differ by node: %w", err)
	}
	// replaced as one: ln alone would remove the old link first
	script := `cd "$1" && ln -s "$2.conf" new && mv -T new ` + nodeProxyNow
	if err := c.engine.Exec(ctx, node, []string{"sh", "-c", script, "sh", nodeProxyFolder, mode}, nil, nil, nil); err != nil {
		return fmt.Errorf("set the mode of kube-proxy on %s: %w", node, err)
	}
	if err := c.RestartProxy(ctx, node); err != nil {
		return err
	}
	return c.await(ctx, "kube-proxy on "+node+" to write its rules in "+mode+" mode", nodeBackIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
		var out bytes.Buffer
		if err := c.engine.Exec(ctx, node, []string{"sh", "-c", modeCheck, "sh", mode, c.dns.Addr().String()}, nil, &out, nil); err != nil {
			return false, "", err
		}
		seen := strings.TrimSpace(out.String())
		return seen == mode+", rules written", seen, nil
	}))
}

// modeCheck prints the mode that a node's kube-proxy says it runs in, and whether the rules of the mode $1 know the address $2.
const modeCheck = `
says() { curl --noproxy '*' --silent --max-time 2 http://127.0.0.1:10249/proxyMode; }
has() {
  if [ "$1" = nftables ]; then nft list map ip kube-proxy service-ips 2>/dev/null; nft list map ip6 kube-proxy service-ips 2>/dev/null
  else for tables in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do $tables-save -t nat 2>/dev/null; done; fi | grep -qF "$2"
}
for try in $(seq 100); do if [ "$(says)" = "$1" ] && has "$1" "$2"; then echo "$1, rules written"; exit; fi; sleep 0.1; done
echo "$(says)"`

// ProxyLeftovers returns the chains and tables that belong to a node's kube-proxy in another mode than the one that it runs in, one a
// line, sorted: "iptables nat KUBE-SERVICES". What the kubelet makes itself is left out.
func (c *Cluster) ProxyLeftovers(ctx context.Context, node string) ([]string, error) {
	if err := c.node(node); err != nil {
		return nil, err
	}
	facts, err := c.Facts(ctx)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := c.engine.Exec(ctx, node, []string{"sh", "-c", leftovers[facts.ModeOf(node)]}, nil, &out, nil); err != nil {
		return nil, fmt.Errorf("read the rules that are left on %s: %w", node, err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// leftovers print what the other mode has written, by the mode that runs. KUBE-IPTABLES-HINT, KUBE-KUBELET-CANARY and KUBE-FIREWALL are
// the kubelet's (pkg/kubelet/kubelet_network_linux.go of k8s.io/kubernetes).
var leftovers = map[string]string{
	NFTables: `for tables in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
  for table in mangle nat filter; do
    $tables-save -t $table 2>/dev/null | sed -n "s/^:\(KUBE-[^ ]*\) .*/${tables} ${table} \1/p"
  done
done | grep -vE 'KUBE-(IPTABLES-HINT|KUBELET-CANARY|FIREWALL)$' || true`,
	IPTables: `for family in ip ip6; do nft list table $family kube-proxy >/dev/null 2>&1 && echo "nftables table $family kube-proxy"; done; true`,
}

// proxiesByNode has each kube-proxy that is started from now on read the file of its node. Those that run go on with what they have.
func (c *Cluster) proxiesByNode(ctx context.Context) error {
	if slices.Contains(c.undo.pending(), byNode) {
		return nil
	}
	if why := c.Lacks(scenario.NodeControl); why != "" {
		return errors.New(why)
	}
	config, err := c.client.CoreV1().ConfigMaps("kube-system").Get(ctx, proxyName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	var files []docker.File
	for _, mode := range []string{NFTables, IPTables} {
		text, err := c.settings.Proxy.configuration(config.Data["config.conf"], mode)
		if like, set := c.modes.like[mode]; err == nil && set {
			text, err = configured(text, mode, like)
		}
		if err != nil {
			return err
		}
		files = append(files, docker.File{Path: nodeProxyFolder + "/" + mode + ".conf", Mode: 0o644, Data: []byte(text)})
	}
	group, each := errgroup.WithContext(ctx)
	for _, node := range c.nodeNames() {
		group.Go(func() error {
			if err := c.engine.CopyTo(each, node, files...); err != nil {
				return fmt.Errorf("copy the configurations of kube-proxy to %s: %w", node, err)
			}
			return c.engine.Exec(each, node, []string{"ln", "-sfn", c.settings.ProxyMode + ".conf", nodeProxyFolder + "/" + nodeProxyNow}, nil, nil, nil)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.undo.add(byNode, func(ctx context.Context) error {
		c.modes.mu.Lock()
		c.modes.by, c.modes.like = nil, nil
		c.modes.mu.Unlock()
		return c.ensureProxy(ctx)
	})
	sets := c.client.AppsV1().DaemonSets("kube-system")
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		set, err := sets.Get(ctx, proxyName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := intoByNode(set); err != nil {
			return err
		}
		_, err = sets.Update(ctx, set, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
}

// configured is a KubeProxyConfiguration with the settings that facts have; see UseProxySettings.
func configured(text, mode string, f world.Facts) (string, error) {
	config := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return "", fmt.Errorf("read its ConfigMap: %w", err)
	}
	in := func(section string) map[string]any {
		settings, is := config[section].(map[string]any)
		if !is {
			settings = map[string]any{}
			config[section] = settings
		}
		return settings
	}
	var ranges []string
	for _, prefix := range f.PodCIDRs {
		ranges = append(ranges, prefix.String())
	}
	config["clusterCIDR"], config["detectLocalMode"], config["nodePortAddresses"] = strings.Join(ranges, ","), cmp.Or(string(f.Detection), "ClusterCIDR"), f.NodePortAddresses
	in("iptables")["localhostNodePorts"] = !f.NoLocalhostNodePorts
	in(mode)["masqueradeAll"] = f.MasqueradeAll
	out, err := yaml.Marshal(config)
	return string(out), err
}

// configFlag is the argument of kube-proxy that names its configuration.
const configFlag = "--config="

// ownConfig is where the pod has the configuration of the ConfigMap.
const ownConfig = "/var/lib/kube-proxy/config.conf"

// intoByNode has the pods of a DaemonSet that are made from now on read their node's file. Those that there are stay.
func intoByNode(set *appsv1.DaemonSet) error {
	outOfByNode(set)
	set.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	template := &set.Spec.Template
	if template.Annotations == nil {
		template.Annotations = map[string]string{}
	}
	template.Annotations[proxyPlace.annotation()] = byNode
	spec := &template.Spec
	for i := range spec.Containers {
		for k, argument := range spec.Containers[i].Command {
			if argument != configFlag+ownConfig {
				continue
			}
			spec.Containers[i].Command[k] = configFlag + nodeProxyMount + "/" + nodeProxyNow
			spec.Containers[i].VolumeMounts = append(spec.Containers[i].VolumeMounts, corev1.VolumeMount{Name: nodeProxyVolume, MountPath: nodeProxyMount, ReadOnly: true})
			folder := corev1.HostPathDirectory
			spec.Volumes = append(spec.Volumes, corev1.Volume{Name: nodeProxyVolume, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: nodeProxyFolder, Type: &folder}}})
			return nil
		}
	}
	return fmt.Errorf("no container of kube-proxy has the argument %s%s", configFlag, ownConfig)
}

// outOfByNode undoes intoByNode, but for the strategy and the annotation, which Proxy.into sets.
func outOfByNode(set *appsv1.DaemonSet) {
	spec := &set.Spec.Template.Spec
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == nodeProxyVolume })
	for i := range spec.Containers {
		mounts := &spec.Containers[i].VolumeMounts
		*mounts = slices.DeleteFunc(*mounts, func(m corev1.VolumeMount) bool { return m.Name == nodeProxyVolume })
		for k, argument := range spec.Containers[i].Command {
			if argument == configFlag+nodeProxyMount+"/"+nodeProxyNow {
				spec.Containers[i].Command[k] = configFlag + ownConfig
			}
		}
	}
}
