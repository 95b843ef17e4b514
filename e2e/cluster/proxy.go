package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Proxy is a kube-proxy of another release than the cluster's, under the same control plane. The zero Proxy is the cluster's own.
type Proxy Program

// minor is 33 of "v1.33.0"; 0 where the text is no release.
func minor(release string) uint {
	v, err := world.ParseRelease(release)
	if err != nil {
		return 0
	}
	return v.Minor()
}

// check returns what keeps a kube-proxy from running in a mode, as an error with its fix.
func (p Proxy) check(mode string) error {
	switch n := minor(p.Release); {
	case p.Release == "":
		return nil
	case n == 0:
		return bad("the release of kube-proxy", p.Release, "a release such as v1.33.0, with its patch number")
	case mode == NFTables && n < world.NFTablesSince:
		return problem(ErrSettings, "use iptables mode, or a release from v1.29.0 on", "kube-proxy %s has no nftables mode, which came with v1.29 (https://kep.k8s.io/3866)", p.Release)
	}
	return nil
}

// Under returns an error where the control plane's release is of an older minor: it may lack what the kube-proxy watches.
// https://kubernetes.io/releases/version-skew-policy/#kube-proxy
func (p Proxy) Under(kubernetes string) error {
	if minor(p.Release) > minor(kubernetes) {
		return problem(ErrSettings, "use a release of the same minor or an older one, or a newer Kubernetes (--kubernetes)",
			"kube-proxy %s is newer than the control plane, which is %s", p.Release, kubernetes)
	}
	return nil
}

// proxyName is the name of kube-proxy's DaemonSet and ConfigMap in kube-system, and of its container.
const proxyName = "kube-proxy"

// proxyPlace is kube-proxy's. Its image has nft and iptables.
var proxyPlace = place{proxyName, "/usr/local/bin/kube-proxy"}

// annotated is what the annotation of kube-proxy's pods says: "v1.33.0 nftables", "own iptables", or "" for the one that the cluster was
// made with.
func annotated(p Proxy, mode, made string) string {
	switch {
	case p.Release != "":
		return p.Release + " " + mode
	case mode != made:
		return "own " + mode
	}
	return ""
}

// UseProxy has every node run a kube-proxy, in a mode, until the next call; RestoreAll and Close restore the one of the settings.
// The error is ErrProgram if it does not run or does not write its rules on some node.
func (c *Cluster) UseProxy(ctx context.Context, p Proxy, mode string) error {
	if why := c.Lacks(scenario.NodeControl); why != "" {
		return errors.New(why)
	}
	if err := p.check(mode); err != nil {
		return err
	}
	if !slices.Contains(c.undo.pending(), proxyName) {
		before, modeBefore := c.settings.Proxy, c.settings.ProxyMode
		c.undo.add(proxyName, func(ctx context.Context) error {
			c.settings.Proxy, c.settings.ProxyMode = before, modeBefore
			return c.ensureProxy(ctx)
		})
	}
	c.settings.Proxy, c.settings.ProxyMode = p, mode
	return c.ensureProxy(ctx)
}

// Proxy is the kube-proxy of another release that the nodes run; the zero value where they run the cluster's own.
func (c *Cluster) Proxy() Proxy { return c.settings.Proxy }

// wantsProxy is what that annotation is to say by the settings.
func (c *Cluster) wantsProxy() string {
	return annotated(c.settings.Proxy, c.settings.ProxyMode, c.madeMode)
}

// checkProxy returns ErrNoCluster when the cluster runs another kube-proxy than the settings describe.
func (c *Cluster) checkProxy(ctx context.Context) error {
	set, err := c.client.AppsV1().DaemonSets("kube-system").Get(ctx, proxyName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read which kube-proxy the nodes run: %w", err)
	}
	if has, want := set.Spec.Template.Annotations[proxyPlace.annotation()], c.wantsProxy(); has != want {
		own := func(text string) string {
			if text == "" {
				return "its own kube-proxy"
			}
			return "kube-proxy " + text
		}
		return problem(ErrNoCluster, "svclab up with the same settings, which changes that", "cluster %s runs %s, and the settings say %s", c.settings.Name, own(has), own(want))
	}
	return nil
}

// ensureProxy has every node run the kube-proxy of the settings, and waits until each pod of it runs. The caller waits until it
// has synced.
func (c *Cluster) ensureProxy(ctx context.Context) error {
	sets := c.client.AppsV1().DaemonSets("kube-system")
	set, err := sets.Get(ctx, proxyName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the DaemonSet of kube-proxy: %w", err)
	}
	if set.Spec.Template.Annotations[proxyPlace.annotation()] == c.wantsProxy() {
		return nil
	}
	if err := proxyPlace.copy(ctx, c, Program(c.settings.Proxy)); err != nil {
		return err
	}
	if err := c.configureProxy(ctx); err != nil {
		return fmt.Errorf("configure kube-proxy: %w", err)
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		set, err := sets.Get(ctx, proxyName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c.settings.Proxy.into(set, c.wantsProxy())
		_, err = sets.Update(ctx, set, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("change the DaemonSet of kube-proxy: %w", err)
	}
	err = c.await(ctx, "every node to run "+c.proxyText(), proxySyncedIn, wait.DaemonSet(c.objects, "kube-system", proxyName, len(c.nodeNames())),
		c.on("apps", "daemonsets", "kube-system", proxyName))
	if err != nil {
		return c.proxyFailed(ctx, err)
	}
	group, each := errgroup.WithContext(ctx)
	for _, node := range c.nodeNames() {
		group.Go(func() error {
			// what the other mode left: kube-proxies of some releases remove it, others do not
			if err := c.engine.Exec(each, node, []string{"sh", "-c", dropOther[c.settings.ProxyMode]}, nil, nil, nil); err != nil {
				return fmt.Errorf("remove the rules of the other mode on %s: %w", node, err)
			}
			return c.nodeWorks(each, node, proxySyncedIn)
		})
	}
	if err := group.Wait(); err != nil {
		return c.proxyFailed(ctx, err)
	}
	c.logf("  every node runs %s", c.proxyText())
	return nil
}

// dropOther removes the rules of the other proxy mode from a node, by mode.
var dropOther = map[string]string{
	NFTables: `for tables in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
  for table in mangle nat filter; do
    $tables-save -t $table 2>/dev/null | grep -q KUBE-SERVICES || continue
    $tables-save -t $table | grep -v KUBE- | $tables-restore -T $table || exit 1
  done
done`,
	// kube-proxy may delete it at the same time: what is added first is there to be deleted
	IPTables: `for family in ip ip6; do nft list table $family kube-proxy >/dev/null 2>&1 || continue; nft "add table $family kube-proxy; delete table $family kube-proxy" || exit 1; done`,
}

func (c *Cluster) proxyText() string {
	if c.settings.Proxy.Release == "" {
		return "its own kube-proxy in " + c.settings.ProxyMode + " mode"
	}
	return "kube-proxy " + c.settings.Proxy.Release + " in " + c.settings.ProxyMode + " mode"
}

// configureProxy writes the mode into kube-proxy's configuration, and the feature gate that some releases have before it.
func (c *Cluster) configureProxy(ctx context.Context) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		maps := c.client.CoreV1().ConfigMaps("kube-system")
		config, err := maps.Get(ctx, proxyName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if config.Data["config.conf"], err = c.settings.Proxy.configuration(config.Data["config.conf"], c.settings.ProxyMode); err != nil {
			return err
		}
		_, err = maps.Update(ctx, config, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
}

// configuration is a KubeProxyConfiguration for a kube-proxy and a mode. What a release does not know it passes over with a warning.
func (p Proxy) configuration(text, mode string) (string, error) {
	config := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return "", fmt.Errorf("read its ConfigMap: %w", err)
	}
	config["mode"] = mode
	delete(config, "featureGates")
	if n := minor(p.Release); mode == NFTables && n >= world.NFTablesSince && n < world.NFTablesDefault {
		config["featureGates"] = map[string]bool{"NFTablesProxyMode": true}
	}
	out, err := yaml.Marshal(config)
	return string(out), err
}

// into has a DaemonSet run the kube-proxy.
func (p Proxy) into(set *appsv1.DaemonSet, annotation string) {
	outOfByNode(set)
	all := intstr.FromString("100%") // all nodes at once; rules stay while no kube-proxy runs
	set.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &all}}
	proxyPlace.into(&set.Spec.Template, p.Release, annotation)
}

// proxyFailed adds to an error what a kube-proxy said last.
func (c *Cluster) proxyFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	said := c.proxyLog(ctx)
	return problem(ErrProgram, "see what it said, and use another release or mode", "%s does not work on every node; the end of its log: %s", c.proxyText(), said).because(err)
}

// proxyLog is the end of the log of one kube-proxy: its last errors, or its last lines.
func (c *Cluster) proxyLog(ctx context.Context) string {
	pods, err := c.client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-proxy"})
	if err != nil || len(pods.Items) == 0 {
		return fmt.Sprintf("none (%v)", err)
	}
	for _, previous := range []bool{true, false} {
		lines := int64(200)
		text, err := c.client.CoreV1().Pods("kube-system").GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{Previous: previous, TailLines: &lines}).DoRaw(ctx)
		if err != nil {
			continue
		}
		var said, errs []string
		for line := range bytes.Lines(text) {
			line := strings.TrimSpace(string(line))
			said = append(said, line)
			if strings.HasPrefix(line, "E") || strings.HasPrefix(line, "F") || strings.Contains(line, "Error:") {
				errs = append(errs, line)
			}
		}
		if len(errs) > 0 {
			said = errs
		}
		return shortenedTo(strings.Join(said[max(0, len(said)-3):], " / "), 800)
	}
	return "it said nothing"
}
