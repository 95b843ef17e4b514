//go:build live

// Tests on a real engine: go test -tags live -timeout 30m ./e2e/cluster/ (KEEP=1 keeps the cluster).
package cluster_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

func TestLive(t *testing.T) {
	s := liveSettings(t, "svclab-cl")
	if os.Getenv("FAMILY") != "" {
		s.Family = os.Getenv("FAMILY")
	}
	if os.Getenv("MODE") != "" {
		s.ProxyMode = os.Getenv("MODE")
	}
	c := up(t, s)
	all := vantages(t, c)

	t.Run("one at a time", func(t *testing.T) {
		if _, err := cluster.Up(t.Context(), s); !errors.Is(err, cluster.ErrLocked) {
			t.Errorf("a second Up: %v", err)
		}
		if _, err := cluster.Down(t.Context(), s); !errors.Is(err, cluster.ErrLocked) {
			t.Errorf("Down meanwhile: %v", err)
		}
		attached, err := cluster.Attach(t.Context(), s, cluster.Free)
		if err != nil {
			t.Fatal(err)
		}
		if len(attached.OutsideAddrs()) == 0 || attached.DNS() != c.DNS() {
			t.Errorf("attached to %v, %v", attached.OutsideAddrs(), attached.DNS())
		}
	})
	t.Run("control plane serves load balancers", func(t *testing.T) {
		nodes, err := c.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range nodes.Items {
			if _, excluded := node.Labels["node.kubernetes.io/exclude-from-external-load-balancers"]; excluded || len(node.Spec.Taints) > 0 {
				t.Errorf("%s: labels %v, taints %v", node.Name, node.Labels, node.Spec.Taints)
			}
		}
	})
	t.Run("pods see each other's own addresses", func(t *testing.T) { podsReachPods(t, c) })
	t.Run("nothing leaves", func(t *testing.T) { nothingLeaves(t, c, all) })
	t.Run("outside has no way out", func(t *testing.T) {
		for _, addr := range []string{"10.96.0.1", "10.244.1.2", "192.0.2.1"} {
			if got := output(t, c, all["outside"], "sh", "-c", "ip route get "+addr+" 2>&1 || true"); !strings.Contains(got, "unreachable") {
				t.Errorf("it has a route to %s: %s", addr, got)
			}
		}
		if got := output(t, c, all["outside"], "cat", "/etc/resolv.conf"); got != "nameserver 127.0.0.1" {
			t.Errorf("it uses the resolver %s", got)
		}
	})
	t.Run("restarted node", func(t *testing.T) {
		if err := c.RestartNode(t.Context(), s.Name+"-worker"); err != nil {
			t.Fatal(err)
		}
		podsReachPods(t, c)
	})
	t.Run("stopped node is unusable and comes back", func(t *testing.T) {
		if err := c.StopNode(t.Context(), s.Name+"-worker2"); err != nil {
			t.Fatal(err)
		}
		list, err := c.Vantages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(v reach.Vantage) bool { return v.Name == "node/worker2" })
		if list[i].Unusable != "the node "+s.Name+"-worker2 is exited" {
			t.Errorf("%+v", list[i])
		}
		if err := c.RestoreAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		podsReachPods(t, c)
	})
	t.Run("kube-proxy frozen, thawed, restarted", func(t *testing.T) {
		worker := s.Name + "-worker"
		if err := c.FreezeProxy(t.Context(), worker); err != nil {
			t.Fatal(err)
		}
		if got := output(t, c, all["node/worker"], "sh", "-c", "curl -s -o /dev/null -m 1 -w '%{http_code}' http://127.0.0.1:10256/healthz || true"); got != "000" {
			t.Errorf("a frozen kube-proxy answers %s", got)
		}
		if err := c.ThawProxy(t.Context(), worker); err != nil {
			t.Error(err)
		}
		if err := c.RestartProxy(t.Context(), worker); err != nil {
			t.Error(err)
		}
	})
	t.Run("API server restarted", func(t *testing.T) {
		if err := c.RestartAPIServer(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("logs", func(t *testing.T) {
		dir := t.TempDir()
		if err := c.ExportLogs(t.Context(), dir); err != nil {
			t.Error(err)
		}
		for _, file := range []string{"objects/services.yaml", "kind/" + s.Name + "-worker/kubelet.log", s.Name + "-worker-network.txt", s.Name + "-outside-dns.log"} {
			if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", file, err)
			}
		}
	})
	t.Run("as an existing cluster", func(t *testing.T) { existing(t, c, s) })
	t.Run("after everything was stopped", func(t *testing.T) { afterStop(t, c, s) })
}

// nothingLeaves sends requests to an address that no machine serves, and sees the guard drop them.
func nothingLeaves(t *testing.T, c *cluster.Cluster, all map[string]reach.Vantage) {
	node, pod := all["node/worker"], all["pod/worker"]
	before := dropped(t, c, node)
	var requests []probe.Request
	for _, from := range []reach.Vantage{node, pod} {
		for _, host := range []string{"10.96.200.200", "10.244.1.250", "10.244.99.9"} {
			requests = append(requests, probe.Request{Vantage: from, Timeout: time.Second,
				Target: reach.Target{Kind: reach.ClusterIP, Service: "x/y", Host: host, Port: 4321, Protocol: reach.TCP}})
		}
	}
	cells, err := probe.New(c).Observe(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range cells {
		if o := cell.Observations[0]; o.Outcome != reach.TimedOut {
			t.Errorf("%s → %s: %s %s", cell.Vantage.Name, cell.Target.Host, o.Outcome, o.Detail)
		}
	}
	if after := dropped(t, c, node); after == before {
		t.Errorf("the guard's counters stayed %s", after)
	}
}

// existing takes svclab's own cluster as anybody's.
func existing(t *testing.T, c *cluster.Cluster, s cluster.Settings) {
	e, err := cluster.Connect(t.Context(), c.Kubeconfig(), "", s)
	if err != nil {
		t.Fatal(err)
	}
	slots := map[string]string{}
	for _, node := range []string{"-control-plane", "-worker", "-worker2"} {
		slots[s.Name+node] = s.Name + node
	}
	if err := e.DeployClients(t.Context(), slots, ""); err != nil {
		t.Fatal(err)
	}
	if e.Has(scenario.Outside) || e.Has(scenario.NodeControl) || e.Lacks(scenario.Outside) == "" {
		t.Error("an existing cluster has no outside and no node control")
	}
	seen := vantages(t, e)
	worker := s.Name + "-worker"
	if len(seen) != 7 || !slices.Equal(seen["node/"+worker].Addrs, vantages(t, c)["node/worker"].Addrs) {
		t.Errorf("%v", seen)
	}
	if got := output(t, e, seen["node/"+worker], "hostname"); got != worker {
		t.Errorf("node/%s is %s", worker, got)
	}
	facts, err := e.Facts(t.Context())
	if err != nil || facts.ProxyMode != s.ProxyMode || len(facts.PodCIDRs) == 0 || facts.PodCIDRs[0] != netip.MustParsePrefix("10.244.0.0/16") {
		t.Errorf("%+v, %v", facts, err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	podsReachPods(t, c) // its own client pods stayed
}

// afterStop stops all containers, as an engine that ends does, and has Up bring the same cluster back.
func afterStop(t *testing.T, c *cluster.Cluster, s cluster.Settings) {
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	args := []string{"kill", s.Name + "-outside", s.Name + "-outside-dns"}
	namespace, err := c.Client().CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"-control-plane", "-worker", "-worker2"} {
		args = append(args, s.Name+node)
	}
	if err := s.Engine.Run(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
	const name = "registry.test/outside/dns:1"
	s.Images.Load = []cluster.Load{{Local: s.Images.CoreDNS, Name: name}}
	again, err := cluster.Up(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"node/control-plane", "node/worker2"} {
		if got := output(t, again, vantages(t, again)[node], "ctr", "-n", "k8s.io", "images", "ls", "-q", "name=="+name); got != name {
			t.Errorf("%s lacks the loaded image: %q", node, got)
		}
	}
	defer func() {
		if err := again.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	now, err := again.Client().CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil || now.UID != namespace.UID {
		t.Errorf("it is another cluster than before: %v, %v", now, err)
	}
	podsReachPods(t, again)
}

// A cluster of that name which svclab did not make is refused, and stays as it is. A container stands in for its node.
func TestLiveForeign(t *testing.T) {
	s := liveSettings(t, "svclab-clf")
	node := s.Name + "-control-plane"
	if err := s.Engine.Run(t.Context(), "create", "--pull", "never", "--name", node, "--label", "io.x-k8s.kind.cluster="+s.Name, "--network", "none", s.Images.CoreDNS, "x"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := bounded()
		defer cancel()
		if err := s.Engine.Run(ctx, "rm", "--force", node); err != nil {
			t.Errorf("the foreign node is gone: %v", err)
		}
	}()
	if _, err := cluster.Up(t.Context(), s); !errors.Is(err, cluster.ErrForeignCluster) {
		t.Errorf("Up: %v", err)
	}
	if _, err := cluster.Down(t.Context(), s); !errors.Is(err, cluster.ErrForeignCluster) {
		t.Errorf("Down: %v", err)
	}
}

// Creation that is cancelled, early or late, leaves nothing.
func TestLiveCancelled(t *testing.T) {
	s := liveSettings(t, "svclab-clc")
	for _, after := range []time.Duration{300 * time.Millisecond, 2 * time.Second, 8 * time.Second, 20 * time.Second, 35 * time.Second} {
		why := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		timer := time.AfterFunc(after, func() { cancel(why) })
		c, err := cluster.Up(ctx, s)
		timer.Stop()
		if err == nil {
			t.Logf("it was quicker than %s", after)
			if err := c.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, why) {
			t.Errorf("after %s: %v", after, err)
		}
		nothingLeft(t, s)
	}
}

// A node image that holds another version than requested is refused: nothing is left of a creation, and a cluster that exists
// stays as it is.
func TestLiveVersion(t *testing.T) {
	s := liveSettings(t, "svclab-clv")
	wrong := s
	wrong.Version = "1.30"
	if _, err := cluster.Up(t.Context(), wrong); !errors.Is(err, cluster.ErrVersion) {
		t.Errorf("created: %v", err)
	}
	nothingLeft(t, s)
	c := up(t, s)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(context.Context, cluster.Settings) (*cluster.Cluster, error){"Up": cluster.Up, "Attach": func(ctx context.Context, s cluster.Settings) (*cluster.Cluster, error) {
		return cluster.Attach(ctx, s, cluster.Free)
	}} {
		if _, err := use(t.Context(), wrong); !errors.Is(err, cluster.ErrVersion) {
			t.Errorf("%s of a cluster that exists: %v", name, err)
		}
	}
	if _, err := cluster.Attach(t.Context(), s, cluster.Free); err != nil {
		t.Errorf("the cluster was touched: %v", err)
	}
}
