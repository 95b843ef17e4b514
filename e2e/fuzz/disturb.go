package fuzz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// disturbance is an operation on the complete cluster. ended is zero as long as it goes on.
type disturbance struct {
	Operation
	began, ended time.Time
}

// disturbances are those of a run, which all histories that run side by side may notice.
type disturbances struct {
	mu   sync.Mutex
	list []disturbance
}

// begin notes a disturbance, which goes on until end is called: then it ended when the operation was in force, or now if it never was.
func (d *disturbances) begin(o Operation, began time.Time) (end func(m *moment)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, disturbance{Operation: o, began: began})
	at := len(d.list) - 1
	return func(m *moment) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.list[at].ended = m.period.InForce; m.period.InForce.IsZero() {
			d.list[at].ended = time.Now()
		}
	}
}

// during notes in a change what else was done to the cluster in its period.
func (d *disturbances) during(p reach.Period, change *oracle.Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.list {
		if !one.ended.IsZero() && one.ended.Before(p.Began) || one.began.After(p.Ended) {
			continue
		}
		switch one.Kind {
		case modeSwitched:
			if change.Switched == nil {
				change.Switched = map[string]bool{}
			}
			change.Switched[one.Node] = true
		case "speakers-restarted", "speakers-partitioned":
			change.Announcing = true
		case "proxy-restarted", "proxy-paused", "proxy-killed", syncFails:
			change.Resynced = true
		}
	}
}

// restoreWithin bounds how long it may take to undo a disturbance, which is done after a cancelled run too.
const restoreWithin = 2 * time.Minute

// disturb does an operation on the cluster, and inner meanwhile. For any other operation it only does inner.
func (s *session) disturb(ctx context.Context, o Operation, inner func(context.Context) error) error {
	undoing := func(undo func(context.Context) error, did error) error {
		restoring, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
		defer cancel()
		return errors.Join(did, undo(restoring))
	}
	c := s.cluster
	switch o.Kind {
	case modeSwitched:
		return c.SwitchProxy(ctx, o.Node, o.Value)
	case "proxy-restarted":
		return c.RestartProxy(ctx, o.Node)
	case "proxy-paused":
		err := c.FreezeProxy(ctx, o.Node)
		if err == nil {
			err = then(inner(ctx), func() error { return wait.Sleep(ctx, pausedFor) })
		}
		return undoing(func(ctx context.Context) error { return c.ThawProxy(ctx, o.Node) }, err)
	case "proxy-killed":
		// A container that ends by itself is started again later each time; a pod that is deleted is not.
		err := then(inner(ctx), func() error { return s.onNode(ctx, o.Node, "pkill", "--signal", "KILL", "--exact", "kube-proxy") })
		return undoing(func(ctx context.Context) error { return c.RestartProxy(ctx, o.Node) }, err)
	case syncFails:
		err := s.onNode(ctx, o.Node, "sh", "-c", hideFilters, "sh", "")
		if err == nil {
			err = then(inner(ctx), func() error { return wait.Sleep(ctx, pausedFor) })
		}
		return undoing(func(ctx context.Context) error { return s.onNode(ctx, o.Node, "sh", "-c", hideFilters, "sh", hidden) }, err)
	case "api-server-restarted":
		return c.RestartAPIServer(ctx)
	case "dns-restarted":
		return s.restartPods(ctx, "kube-system", "k8s-app=kube-dns")
	case "controller-restarted":
		return s.restartPods(ctx, "metallb-system", "component=controller")
	case "speakers-restarted":
		return s.restartPods(ctx, "metallb-system", "component=speaker")
	case "speakers-partitioned":
		err := s.onNode(ctx, o.Node, "nft", partition)
		if err == nil {
			err = then(inner(ctx), func() error { return wait.Sleep(ctx, oracle.FailoverPeriod) })
		}
		return undoing(func(ctx context.Context) error {
			return s.onNode(ctx, o.Node, "nft", "delete table inet "+partitionTable)
		}, err)
	default:
		return inner(ctx)
	}
}

// syncFails is the kind of operation during which kube-proxy cannot write its rules.
const syncFails = "sync-fails"

// partition is the rules that separate the speaker of a node from the others by memberlist's port in MetalLB's manifests. Both sides then
// take the other for gone, and both announce the addresses. A table that a killed run left is replaced.
const (
	partitionTable = "svclab_partition"
	partition      = "table inet " + partitionTable + `; delete table inet ` + partitionTable + `; table inet ` + partitionTable + ` {
  chain in { type filter hook input priority -300; meta l4proto { tcp, udp } th dport 7946 drop; }
  chain out { type filter hook output priority -300; meta l4proto { tcp, udp } th dport 7946 drop; }
}`
)

func then(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// hidden is the suffix of a program that kube-proxy is not to find.
const hidden = ".svclab-hidden"

// hideFilters renames the programs by which kube-proxy writes its rules, in its own container: $1 is the suffix that they have
// at present, and they get the other one. Without them each sync fails.
const hideFilters = `pid=$(pidof kube-proxy) || exit 0
for program in nft iptables-restore ip6tables-restore; do
  for folder in /usr/sbin /usr/bin /sbin /bin; do
    from=$folder/$program$1; to=$folder/$program; [ -n "$1" ] || to=$to` + hidden + `
    nsenter --target "$pid" --mount -- sh -c 'if [ -e "$0" ] || [ -L "$0" ]; then mv "$0" "$1"; fi' "$from" "$to" || exit
  done
done`

func (s *session) onNode(ctx context.Context, node string, argv ...string) error {
	return onNode(ctx, s.cluster, s.vantages, node, argv...)
}

func (n *namespace) onNode(ctx context.Context, node string, argv ...string) error {
	return onNode(ctx, n.cluster, n.vantages, node, argv...)
}

// onNode runs a program on a node.
func onNode(ctx context.Context, exec probe.Exec, vantages []reach.Vantage, node string, argv ...string) error {
	at := slices.IndexFunc(vantages, func(v reach.Vantage) bool { return v.Kind == reach.Node && v.Node == node })
	if at < 0 {
		return fmt.Errorf("no client on node %s", node)
	}
	var stderr stderrTail
	if err := exec.Exec(ctx, vantages[at], argv, nil, nil, &stderr); err != nil {
		return fmt.Errorf("%w %s", err, stderr.text)
	}
	return nil
}

// stderrTail keeps the first bytes of what a program said.
type stderrTail struct{ text []byte }

func (t *stderrTail) Write(b []byte) (int, error) {
	if len(t.text) < 500 {
		t.text = append(t.text, b...)
	}
	return len(b), nil
}

// restartPods deletes pods and waits until as many others are ready.
func (s *session) restartPods(ctx context.Context, namespace, labels string) error {
	pods := s.cluster.Client().CoreV1().Pods(namespace)
	options := metav1.ListOptions{LabelSelector: labels}
	old, err := pods.List(ctx, options)
	if err != nil {
		return fmt.Errorf("restart the pods %s of %s: %w", labels, namespace, err)
	}
	if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, options); err != nil {
		return fmt.Errorf("restart the pods %s of %s: %w", labels, namespace, err)
	}
	return wait.For(ctx, fmt.Sprintf("other pods %s of %s to be ready", labels, namespace), wait.Retry(func(ctx context.Context) (bool, string, error) {
		list, err := pods.List(ctx, options)
		if err != nil {
			return false, "", err
		}
		ready := 0
		for i := range list.Items {
			pod := &list.Items[i]
			if !slices.ContainsFunc(old.Items, func(o corev1.Pod) bool { return o.UID == pod.UID }) && world.Ready(pod) {
				ready++
			}
		}
		return ready >= len(old.Items) && len(list.Items) == len(old.Items), fmt.Sprintf("%d of %d are", ready, len(old.Items)), nil
	}), wait.On(s.cluster.Dynamic(), wait.Objects{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: namespace}), wait.Timeout(restoreWithin))
}
