package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// managedLabel marks what svclab put into a cluster.
const managedLabel = "app.kubernetes.io/managed-by"

// clientContainer is the container of the client pods.
const clientContainer = "client"

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
		// Lab and LabPods: the namespace, and these pods, belong to a cluster of svclab's own. Privileged: see Settings
		Lab, LabPods, Privileged bool
		// Seconds: the pods' bound; 0: none
		Seconds int64
		Pods    []clientPod
	}{ClientsNamespace, c.settings.Images.Agnhost, c.engine != nil || c.inLab, c.engine != nil, c.settings.Privileged, int64(c.settings.PodsFor.Seconds()), pods})
	if err != nil {
		return err
	}
	if c.engine == nil {
		for _, object := range objects {
			c.settings.Extras.Add(object)
		}
		return c.runForeign(ctx, objects, pods)
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

// runForeign runs clients in a cluster that svclab did not make. The namespace comes first, and a dry run of the pods in it. A node on
// which a client does not start is then no vantage, if clients start on another.
func (c *Cluster) runForeign(ctx context.Context, objects []*unstructured.Unstructured, pods []clientPod) error {
	if err := c.removeEnded(ctx); err != nil {
		return err
	}
	secrets := c.settings.Extras.Secret()
	for _, secret := range secrets {
		secret.SetNamespace(ClientsNamespace)
	}
	if err := c.applyUntilAdmitted(ctx, "the namespace "+ClientsNamespace+" to be admitted", slices.Concat(objects[:1], secrets)); err != nil {
		return err
	}
	// the first two are of a pod and of a host-network pod; the others differ only by the node
	if err := c.DryRun(ctx, ClientsNamespace, objects[1:min(len(objects), 3)]); err != nil {
		return err
	}
	if err := c.applyUntilAdmitted(ctx, "the client pods to be admitted", objects[1:]); err != nil {
		return err
	}
	var (
		ready  int
		since  = time.Now()
		broken map[string]error
	)
	err := c.await(ctx, "every client pod to be ready", clientsReadyIn, wait.List(c.objects, ClientsNamespace, &corev1.PodList{}, func(there *corev1.PodList) (bool, string) {
		var (
			ended   bool
			waiting int
			seen    string
		)
		if broken, waiting, ended, seen = started(there.Items, pods); len(pods)-waiting > ready {
			ready, since = len(pods)-waiting, time.Now()
		}
		return ended || ready > 0 && time.Since(since) > stragglersIn, seen
	}), c.on("", "pods", ClientsNamespace, ""))
	var ranOut *wait.Error
	if err != nil && (ctx.Err() != nil || !errors.As(err, &ranOut)) {
		return err
	}
	for node, why := range broken {
		if len(broken)*2 == len(pods) { // each node has two pods
			return cmp.Or(err, fmt.Errorf("no client started on any node; %s: %w", node, why))
		}
	}
	c.broken = broken
	return nil
}

// started returns the nodes on which a client is not ready, with the reason, and the number of these clients. ended: no client that is
// not ready will become so.
func started(there []corev1.Pod, wanted []clientPod) (broken map[string]error, waiting int, ended bool, seen string) {
	broken, ended = map[string]error{}, true
	for _, want := range wanted {
		done, why := ready(there, []clientPod{want})
		if done {
			continue
		}
		waiting, broken[want.Node], seen = waiting+1, errors.New(why), seen+why+"; "
		ended = ended && slices.ContainsFunc(there, func(p corev1.Pod) bool { return p.Name == want.Name && p.Status.Phase == corev1.PodFailed })
	}
	return broken, waiting, ended, strings.TrimSuffix(seen, "; ")
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
	if pod.Status.Reason != "" { // the kubelet has refused it
		return strings.TrimSpace(pod.Status.Reason + " " + pod.Status.Message)
	}
	for _, status := range pod.Status.ContainerStatuses {
		if w := status.State.Waiting; w != nil {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
	}
	return strings.ToLower(string(pod.Status.Phase))
}
