package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
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

// slot is the short name of a node: without the cluster's name, or the slot that DeployClients was given.
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

// ensureClients makes sure that a client pod runs on every node.
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
	return c.await(ctx, "every node to join", nodesJoinedIn, wait.List(c.objects, "", &corev1.NodeList{}, func(nodes *corev1.NodeList) (bool, string) {
		have, want := len(nodes.Items), len(c.nodeNames())
		return have >= want, fmt.Sprintf("%d of %d", have, want)
	}), c.on("", "nodes", "", ""))
}

func (c *Cluster) runClients(ctx context.Context, pods []clientPod) error {
	objects, err := c.manifest("cluster/clients.yaml.tmpl", struct {
		Namespace, Image string
		// Lab and LabPods: the namespace, and these pods, belong to a cluster of svclab's own
		Lab, LabPods bool
		// Seconds: the pods' bound; 0: none
		Seconds int64
		Pods    []clientPod
	}{ClientsNamespace, c.settings.Images.Agnhost, c.engine != nil || c.inLab, c.engine != nil, int64(c.settings.PodsFor.Seconds()), pods})
	if err != nil {
		return err
	}
	if err := c.removeEnded(ctx); err != nil {
		return err
	}
	// a new namespace has no ServiceAccount at once
	if err := c.applyUntilAdmitted(ctx, "the client pods to be admitted", objects); err != nil {
		return err
	}
	return c.podsReady(ctx, "every client pod to be ready", pods)
}

// removeEnded removes client pods that will never run again, such as evicted ones, so that they are created again.
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

// podsReady waits until the client pods are Ready.
func (c *Cluster) podsReady(ctx context.Context, what string, pods []clientPod) error {
	return c.await(ctx, what, clientsReadyIn, wait.List(c.objects, ClientsNamespace, &corev1.PodList{}, func(there *corev1.PodList) (bool, string) {
		return ready(there.Items, pods)
	}), c.on("", "pods", ClientsNamespace, ""))
}

// ready reports whether every wanted pod is Ready.
func ready(there []corev1.Pod, wanted []clientPod) (done bool, seen string) {
	var waiting []string
	for _, want := range wanted {
		i := slices.IndexFunc(there, func(p corev1.Pod) bool { return p.Name == want.Name && p.DeletionTimestamp == nil })
		switch {
		case i < 0:
			waiting = append(waiting, want.Name+" is not there")
		case !world.Ready(&there[i]):
			waiting = append(waiting, want.Name+" is "+podState(&there[i]))
		}
	}
	return len(waiting) == 0, strings.Join(waiting, "; ")
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
