package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/klient/k8s/resources"

	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
)

// undos are what RestoreAll does, by what was broken.
type undos struct {
	mu    sync.Mutex
	order []string
	how   map[string]func(context.Context) error
}

func (u *undos) add(what string, how func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.how == nil {
		u.how = map[string]func(context.Context) error{}
	}
	if u.how[what] == nil {
		u.order = append(u.order, what)
	}
	u.how[what] = how
}

func (u *undos) drop(what string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.how, what)
	u.order = slices.DeleteFunc(u.order, func(w string) bool { return w == what })
}

func (u *undos) pending() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.order)
}

func (u *undos) run(ctx context.Context, what string) error {
	u.mu.Lock()
	how := u.how[what]
	u.mu.Unlock()
	if how == nil {
		return nil
	}
	if err := how(ctx); err != nil {
		return fmt.Errorf("restore %s: %w", what, err)
	}
	u.drop(what)
	return nil
}

// OnRestore has RestoreAll, and so Close, undo something, unless the function returned is called first: it undoes it at
// once. For what a test breaks by its own means.
func (c *Cluster) OnRestore(what string, undo func(context.Context) error) (now func(context.Context) error) {
	c.undo.add(what, undo)
	return func(ctx context.Context) error { return c.undo.run(ctx, what) }
}

// RestoreAll undoes what was done to nodes and not yet undone, the last first.
func (c *Cluster) RestoreAll(ctx context.Context) error {
	var failed error
	for _, what := range slices.Backward(c.undo.pending()) {
		failed = errors.Join(failed, c.undo.run(ctx, what))
	}
	return failed
}

// node checks that a node can be controlled.
func (c *Cluster) node(name string) error {
	if why := c.Lacks(scenario.NodeControl); why != "" {
		return errors.New(why)
	}
	if !slices.Contains(c.nodeNames(), name) {
		return fmt.Errorf("cluster %s has no node %s", c.settings.Name, name)
	}
	return nil
}

// StopNode ends a node at once, as a power cut does. StartNode or RestoreAll brings it back.
func (c *Cluster) StopNode(ctx context.Context, node string) error {
	return c.halt(ctx, node, "stop", "kill")
}

// PauseNode freezes a node: it neither answers nor leaves. StartNode or RestoreAll brings it back.
func (c *Cluster) PauseNode(ctx context.Context, node string) error {
	return c.halt(ctx, node, "pause", "pause")
}

// StartNode brings a stopped or paused node back and waits until it works, its client pod included.
func (c *Cluster) StartNode(ctx context.Context, node string) error {
	if err := c.node(node); err != nil {
		return err
	}
	if err := c.bringBack(ctx, node); err != nil {
		return err
	}
	c.undo.drop("node " + node)
	return nil
}

// RestartNode restarts a node, cleanly, and waits until it works again.
func (c *Cluster) RestartNode(ctx context.Context, node string) error {
	if err := c.halt(ctx, node, "restart", "stop", "--time", "10"); err != nil {
		return err
	}
	return c.StartNode(ctx, node)
}

// halt runs a docker command that ends or freezes a node, and has RestoreAll bring the node back. verb is for the error.
func (c *Cluster) halt(ctx context.Context, node, verb string, command ...string) error {
	if err := c.node(node); err != nil {
		return err
	}
	c.undo.add("node "+node, func(ctx context.Context) error { return c.bringBack(ctx, node) })
	if err := c.engine.Run(ctx, append(command, node)...); err != nil {
		return fmt.Errorf("%s node %s: %w", verb, node, err)
	}
	return nil
}

func (c *Cluster) bringBack(ctx context.Context, node string) error {
	container, err := c.containerNamed(ctx, node)
	if err != nil {
		return err
	}
	began := time.Now().Truncate(time.Second) // the API's times have no fractions
	was := container.State
	if err := c.startContainer(ctx, container); err != nil {
		return fmt.Errorf("start node %s: %w", node, err)
	}
	if err := c.nodeWorks(ctx, node, nodeBackIn); err != nil {
		return err
	}
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	err = c.await(ctx, "node "+node+" to report that it is Ready", nodeBackIn, wait.Object(c.objects, object, func(n *corev1.Node) (bool, string) {
		return readySince(n, began, was == "running")
	}), c.on("", "nodes", "", node))
	if err != nil {
		return err
	}
	if err := c.Repair(ctx); err != nil {
		return err
	}
	return c.podsReady(ctx, "the client pod of "+node+" to be ready", []clientPod{{Name: c.podOf(node)}})
}

// readySince reports whether a node is Ready and, unless always is set, has reported so after a time: the object of a node that
// died says Ready for another 40 s.
func readySince(node *corev1.Node, since time.Time, always bool) (done bool, seen string) {
	if done, seen := kind.Ready([]corev1.Node{*node}, []string{node.Name}); !done {
		return false, seen
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && !always && condition.LastHeartbeatTime.Time.Before(since) {
			return false, fmt.Sprintf("it has not reported since %s", condition.LastHeartbeatTime.Format(time.TimeOnly))
		}
	}
	return true, ""
}

// RestartProxy removes a node's kube-proxy pod and waits until the one made in its place has synced.
func (c *Cluster) RestartProxy(ctx context.Context, node string) error {
	if err := c.node(node); err != nil {
		return err
	}
	const proxies = "k8s-app=kube-proxy"
	here := "spec.nodeName=" + node
	pods := c.client.CoreV1().Pods("kube-system")
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: proxies, FieldSelector: here})
	if err != nil {
		return fmt.Errorf("restart kube-proxy on %s: %w", node, err)
	}
	old := map[string]bool{}
	for _, pod := range list.Items {
		old[string(pod.UID)] = true
		if err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
			return fmt.Errorf("restart kube-proxy on %s: %w", node, err)
		}
	}
	err = c.await(ctx, "the new kube-proxy pod on "+node+" to run", nodeBackIn, wait.List(c.objects, "kube-system", &corev1.PodList{}, func(there *corev1.PodList) (bool, string) {
		for _, pod := range there.Items {
			if !old[string(pod.UID)] {
				return ready(there.Items, []clientPod{{Name: pod.Name}})
			}
		}
		return false, "there is none yet"
	}, resources.WithLabelSelector(proxies), resources.WithFieldSelector(here)), c.on("", "pods", "kube-system", ""))
	if err != nil {
		return err
	}
	return c.nodeWorks(ctx, node, nodeBackIn)
}

// FreezeProxy stops a node's kube-proxy without ending it: its rules stay as they are, and grow stale. ThawProxy or
// RestoreAll lets it go on.
func (c *Cluster) FreezeProxy(ctx context.Context, node string) error {
	if err := c.node(node); err != nil {
		return err
	}
	c.undo.add("kube-proxy on "+node, func(ctx context.Context) error { return c.thaw(ctx, node) })
	return c.signalProxy(ctx, node, "STOP")
}

// ThawProxy lets a frozen kube-proxy go on and waits until it has synced.
func (c *Cluster) ThawProxy(ctx context.Context, node string) error {
	if err := c.node(node); err != nil {
		return err
	}
	if err := c.thaw(ctx, node); err != nil {
		return err
	}
	c.undo.drop("kube-proxy on " + node)
	return nil
}

func (c *Cluster) thaw(ctx context.Context, node string) error {
	if err := c.signalProxy(ctx, node, "CONT"); err != nil {
		return err
	}
	return c.nodeWorks(ctx, node, nodeBackIn)
}

func (c *Cluster) signalProxy(ctx context.Context, node, signal string) error {
	// in the node's own process namespace: it reaches this node's kube-proxy and nothing else
	if err := c.engine.Exec(ctx, node, []string{"pkill", "--signal", signal, "--exact", "kube-proxy"}, nil, nil, nil); err != nil {
		return fmt.Errorf("send SIG%s to kube-proxy on %s: %w", signal, node, err)
	}
	return nil
}

// RestartAPIServer kills the API server's process, which the kubelet starts again, and waits until the new one is ready and
// its clients are back, see watchersBack.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	node := c.settings.Name + "-control-plane"
	if err := c.node(node); err != nil {
		return err
	}
	before, err := c.watchers(ctx)
	if err != nil {
		return err
	}
	// Ends once there is a process that is not the old one. On SIGTERM the old one would wait a minute for its watches.
	// The kubelet delays each restart of a container, twice as long each time and up to five minutes. A new kubelet does not
	// know of the earlier ones.
	script := `old=$(pidof kube-apiserver) && kill -KILL $old || exit 1
for try in $(seq 600); do
  new=$(pidof kube-apiserver) && [ "$new" != "$old" ] && exit 0
  [ $try != 60 ] || systemctl restart kubelet
  sleep 0.1
done
exit 1`
	if err := c.engine.Exec(ctx, node, []string{"sh", "-c", script}, nil, nil, nil); err != nil {
		return fmt.Errorf("restart the API server: %w", err)
	}
	if err := c.apiReady(ctx); err != nil {
		return err
	}
	return c.watchersBack(ctx, before)
}
