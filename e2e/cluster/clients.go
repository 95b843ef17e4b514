package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/svclab/svclab/e2e/cluster/kind"
)

// managedLabel marks what svclab put into a cluster.
const managedLabel = "app.kubernetes.io/managed-by"

// labLabel marks the client pods, and their namespace, that belong to a cluster of svclab's own and stay with it.
const labLabel = "svclab.io/lab"

// clientPod is a client pod to be: what manifests/cluster/clients.yaml.tmpl needs.
type clientPod struct {
	Name, Node, App string
	// HostNetwork: it stands in its node's network and serves as the vantage node/SLOT.
	HostNetwork bool
}

// slot is the short name of a node: without the cluster's name, or what an existing cluster was furnished with.
func (c *Cluster) slot(node string) string {
	switch {
	case c.engine != nil:
		return strings.TrimPrefix(node, c.settings.Name+"-")
	case c.slots[node] != "":
		return c.slots[node]
	}
	return node
}

// podOf is the name of a node's client pod. In an existing cluster it has the node's whole name, so that it is never that
// of a pod which belongs to svclab's own.
func (c *Cluster) podOf(node string) string {
	if c.engine == nil {
		return "client-" + node
	}
	return "client-" + c.slot(node)
}

// hostPodOf is the name of the pod that stands in for a node whose container cannot be entered.
func (c *Cluster) hostPodOf(node string) string { return "node-" + node }

// ensureClients sees to it that a client pod runs on every node.
func (c *Cluster) ensureClients(ctx context.Context) error {
	if err := c.allJoined(ctx); err != nil { // the pod garbage collector may delete a pod that is bound to an unknown node
		return err
	}
	var pods []clientPod
	for _, node := range c.nodeNames() {
		pods = append(pods, clientPod{Name: c.podOf(node), Node: node, App: clientApp})
	}
	return c.runClients(ctx, pods)
}

// allJoined waits until the API server knows every node.
func (c *Cluster) allJoined(ctx context.Context) error {
	return watchObjects(ctx, c.waiter, "every node has joined", nodesReadyIn, c.listWatch("nodes", "", fields.Everything()), func(nodes []*corev1.Node) (string, bool) {
		return fmt.Sprintf("%d of %d", len(nodes), len(c.nodeNames())), len(nodes) >= len(c.nodeNames())
	})
}

func (c *Cluster) runClients(ctx context.Context, pods []clientPod) error {
	text, err := kind.Render(c.settings.Manifests, "cluster/clients.yaml.tmpl", struct {
		Namespace, Image string
		// Lab and LabPods: the namespace, and these pods, belong to a cluster of svclab's own
		Lab, LabPods bool
		Pods         []clientPod
	}{ClientsNamespace, c.settings.Images.Agnhost, c.engine != nil || c.inLab, c.engine != nil, pods})
	if err != nil {
		return err
	}
	objects, err := decode(text)
	if err != nil {
		return fmt.Errorf("manifests/cluster/clients.yaml.tmpl: %w", err)
	}
	if err := c.removeEnded(ctx); err != nil {
		return err
	}
	// a new namespace has no ServiceAccount at once
	if err := c.applyUntilAdmitted(ctx, "the client pods are admitted", objects); err != nil {
		return err
	}
	return watchObjects(ctx, c.waiter, "every client pod is ready", clientsReadyIn, c.listWatch("pods", ClientsNamespace, fields.Everything()), func(there []*corev1.Pod) (string, bool) {
		return podsReady(there, pods)
	})
}

// removeEnded removes client pods that will never run again, such as evicted ones, so that they are made anew.
func (c *Cluster) removeEnded(ctx context.Context) error {
	pods, err := c.client.CoreV1().Pods(ClientsNamespace).List(ctx, metav1.ListOptions{LabelSelector: managedLabel + "=svclab"})
	if err != nil {
		return fmt.Errorf("list the client pods: %w", err)
	}
	for _, pod := range pods.Items {
		if pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded {
			continue
		}
		err := c.client.CoreV1().Pods(ClientsNamespace).Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove client pod %s, which has ended: %w", pod.Name, err)
		}
	}
	return nil
}

// podsReady judges whether every wanted pod is Ready.
func podsReady(there []*corev1.Pod, wanted []clientPod) (seen string, done bool) {
	var waiting []string
	for _, want := range wanted {
		i := slices.IndexFunc(there, func(p *corev1.Pod) bool { return p.Name == want.Name && p.DeletionTimestamp == nil })
		switch {
		case i < 0:
			waiting = append(waiting, want.Name+" is not there")
		case !slices.ContainsFunc(there[i].Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}):
			waiting = append(waiting, want.Name+" is "+podState(there[i]))
		}
	}
	return strings.Join(waiting, "; "), len(waiting) == 0
}

// podState says in a few words why a pod is not ready.
func podState(pod *corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		if w := status.State.Waiting; w != nil {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	return strings.ToLower(string(pod.Status.Phase))
}
