package fuzz

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/wait"
)

const (
	// openGate is a readiness gate that svclab opens and closes: it decides whether a backend is ready, which serves anyway.
	openGate corev1.PodConditionType = "svclab.io/open"
	// leaveGrace is the grace of a pod that is deleted and goes on serving. It is longer than any history.
	leaveGrace int64 = 1800
	// serveOn is how long a backend serves after it was asked to end, if its grace allows that.
	serveOn = time.Hour
	// programMount is where a backend has the prober.
	programMount = "/svclab-prober"
)

// served is a pod as it is created: with the prober of its node in place of agnhost where there is one, because only that numbers
// datagrams and reports those of one-way flows.
func (n *namespace) served(pod *corev1.Pod) *corev1.Pod {
	program, known := n.programs[pod.Spec.NodeSelector[corev1.LabelHostname]]
	if !known {
		return pod
	}
	pod = pod.DeepCopy()
	app := &pod.Spec.Containers[0]
	app.Command = []string{programMount, "serve", "--receipts", "--linger=" + serveOn.String()}
	for _, argument := range app.Args[1:] {
		name, port, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "-port=")
		if port != "-1" {
			app.Command = append(app.Command, fmt.Sprintf("--%s=:%s", name, port))
		}
	}
	if first, last := manyPorts(app.Ports); first != 0 {
		app.Command = append(app.Command, fmt.Sprintf("--also=%d-%d", first, last))
	}
	app.Args = nil
	app.VolumeMounts = []corev1.VolumeMount{{Name: "prober", MountPath: programMount, ReadOnly: true}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "prober", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: program, Type: ptr(corev1.HostPathFile)}}}}
	return pod
}

// manyPorts are the first and the last of the ports that a pod has in addition to those with a name; 0: it has no such ports.
func manyPorts(ports []corev1.ContainerPort) (first, last int32) {
	for _, p := range ports {
		if p.Name != "" {
			continue
		}
		if first == 0 {
			first = p.ContainerPort
		}
		last = p.ContainerPort
	}
	return first, last
}

// create creates a pod and opens its gate.
func (n *namespace) create(ctx context.Context, pod *corev1.Pod) error {
	if _, err := n.client().CoreV1().Pods(n.name).Create(ctx, n.served(pod), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create pod %s: %w", pod.Name, err)
	}
	return n.gate(ctx, pod, true)
}

// gate opens or closes a pod's readiness gate, if it has one.
func (n *namespace) gate(ctx context.Context, pod *corev1.Pod, open bool) error {
	if !slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == openGate }) {
		return nil
	}
	if _, err := n.client().CoreV1().Pods(n.name).Patch(ctx, pod.Name, types.StrategicMergePatchType, gatePatch(open), metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("set the readiness of pod %s: %w", pod.Name, err)
	}
	return nil
}

func gatePatch(open bool) []byte {
	status := map[bool]corev1.ConditionStatus{true: corev1.ConditionTrue, false: corev1.ConditionFalse}[open]
	return fmt.Appendf(nil, `{"status":{"conditions":[{"type":%q,"status":%q}]}}`, openGate, status)
}

// move implements sandbox.
func (n *namespace) move(ctx context.Context, to State) (commands []string, err error) {
	for i := range n.pods {
		more, err := n.movePod(ctx, &n.pods[i], n.now.Pods[n.pods[i].Name], to.Pods[n.pods[i].Name])
		if err != nil {
			return commands, err
		}
		commands = append(commands, more...)
	}
	pods, err := n.client().CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return commands, fmt.Errorf("list the backends: %w", err)
	}
	for _, c := range n.now.Cases {
		if to.find(c.Name()) >= 0 {
			continue
		}
		if err := n.delete(ctx, c); err != nil {
			return commands, err
		}
		commands = append(commands, n.kubectl("delete service "+c.Name()))
	}
	said := make([][]string, len(to.Cases))
	err = each(len(to.Cases), func(i int) (err error) {
		var was *Case
		if at := n.now.find(to.Cases[i].Name()); at >= 0 {
			was = &n.now.Cases[at]
		}
		moved := slices.ContainsFunc(n.pods, func(pod corev1.Pod) bool {
			return n.now.Pods[pod.Name].there() != to.Pods[pod.Name].there() && uses(to.Cases[i], &pod)
		})
		said[i], err = n.moveCase(ctx, was, to.Cases[i], pods.Items, moved)
		return err
	})
	if err != nil {
		return commands, err
	}
	n.now = to.clone()
	n.remember(ctx)
	return append(commands, slices.Concat(said...)...), nil
}

// remember keeps what the API server gave to the Services.
func (n *namespace) remember(ctx context.Context) {
	list, err := n.client().CoreV1().Services(n.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return // a Service that is created again then gets other addresses, which the next snapshot shows
	}
	for _, s := range list.Items {
		n.given[s.Name] = s
	}
}

func (n *namespace) kubectl(command string) string { return "kubectl -n " + n.name + " " + command }

func (n *namespace) movePod(ctx context.Context, pod *corev1.Pod, from, to PodState) (commands []string, err error) {
	if from == to {
		return nil, nil
	}
	pods := n.client().CoreV1().Pods(n.name)
	if (from.Gone || from.Leaving) && !to.Gone && !to.Leaving {
		if err := n.remove(ctx, pod.Name); err != nil {
			return nil, err
		}
		if err := n.create(ctx, pod); err != nil {
			return nil, err
		}
		commands, from = append(commands, n.kubectl("delete pod "+pod.Name+" --grace-period=1 --ignore-not-found && "+n.kubectl("apply -f "+pod.Name+".yaml"))), PodState{}
	}
	if from.Apart != to.Apart && !to.Gone {
		labels := map[string]any{}
		words := ""
		for key, value := range pod.Labels {
			labels[key] = value
			if to.Apart {
				labels[key] = nil
				words += " " + key + "-"
			} else {
				words += " " + key + "=" + value
			}
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
		if err != nil {
			return commands, err
		}
		if _, err = pods.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return commands, fmt.Errorf("label pod %s: %w", pod.Name, err)
		}
		commands = append(commands, n.kubectl("label pod "+pod.Name+words))
	}
	if from.Unready != to.Unready && !to.Gone {
		if err := n.gate(ctx, pod, !to.Unready); err != nil {
			return commands, err
		}
		commands = append(commands, n.kubectl(fmt.Sprintf("patch pod %s --subresource=status -p '%s'", pod.Name, gatePatch(!to.Unready))))
	}
	switch {
	case to.Gone:
		if err := n.remove(ctx, pod.Name); err != nil {
			return commands, err
		}
		commands = append(commands, n.kubectl("delete pod "+pod.Name+" --grace-period=1"))
	case to.Leaving && !from.Leaving:
		if err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr(leaveGrace)}); err != nil {
			return commands, fmt.Errorf("delete pod %s: %w", pod.Name, err)
		}
		commands = append(commands, n.kubectl(fmt.Sprintf("delete pod %s --grace-period=%d --wait=false", pod.Name, leaveGrace)))
	}
	return commands, nil
}

// remove deletes a pod and waits until its container has ended and it is gone. The processes of one that is on its way out are
// killed: a kubelet that stops a container with a long grace takes a shorter one only after a while.
func (n *namespace) remove(ctx context.Context, pod string) error {
	pods := n.client().CoreV1().Pods(n.name)
	is, err := pods.Get(ctx, pod, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		err = pods.Delete(ctx, pod, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(1))})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s: %w", pod, err)
	}
	if is.DeletionTimestamp != nil {
		if err := n.onNode(ctx, is.Spec.NodeName, "sh", "-c", killPod, string(is.UID)); err != nil {
			return fmt.Errorf("end pod %s: %w", pod, err)
		}
	}
	return wait.For(ctx, "pod "+pod+" to be gone", wait.Retry(func(ctx context.Context) (bool, string, error) {
		_, err := pods.Get(ctx, pod, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, "it is there", err
	}), wait.On(n.cluster.Dynamic(), wait.Objects{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: n.name, Name: pod}), wait.Timeout(n.bound))
}

// killPod kills the processes of the pod whose UID is $0. The cgroups' names have it, with _ for - if systemd makes them.
const killPod = `for process in $(grep -l -e "$0" -e "$(echo "$0" | tr - _)" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3); do kill -KILL "$process" 2>/dev/null; done; true`

// delete deletes a Service and the slices that were written for it by hand.
func (n *namespace) delete(ctx context.Context, c Case) error {
	if err := n.client().CoreV1().Services(n.name).Delete(ctx, c.Name(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete service %s: %w", c.Name(), err)
	}
	if c.Manual == nil {
		return nil
	}
	err := n.client().DiscoveryV1().EndpointSlices(n.name).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: discoveryv1.LabelManagedBy + "=" + manualBy + "," + discoveryv1.LabelServiceName + "=" + c.Name()})
	if err != nil {
		return fmt.Errorf("delete the EndpointSlices of %s: %w", c.Name(), err)
	}
	return nil
}

// moveCase creates or updates a Service and its slices. was is nil for one that is not there. moved: pods of hand-written slices are
// gone, or there again at another address.
func (n *namespace) moveCase(ctx context.Context, was *Case, to Case, pods []corev1.Pod, moved bool) (commands []string, err error) {
	services := n.client().CoreV1().Services(n.name)
	request, done := grace.Context(ctx) // what was created without an answer would not be known
	defer done()
	var made *corev1.Service
	switch {
	case was == nil:
		made = to.Service.DeepCopy()
		if given, known := n.given[to.Name()]; known {
			inherit(&made.Spec, given.Spec)
		}
		wanted := made.DeepCopy()
		if made, err = services.Create(request, made, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create service %s: %w", to.Name(), err)
		}
		commands = append(commands, n.kubectl("apply -f - <<'END'\n"+text(wanted)+"END"))
	case sameCase(*was, to) && (!moved || to.Manual == nil):
		return nil, nil
	default:
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			live, err := services.Get(ctx, to.Name(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			live.Spec = updated(to.Service.Spec, live.Spec, n.given[to.Name()].Spec)
			made, err = services.Update(request, live, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("update service %s: %w", to.Name(), err)
		}
		if change := specPatch(was.Service.Spec, to.Service.Spec); change != "" {
			commands = append(commands, n.kubectl(fmt.Sprintf("patch service %s --type=merge -p '%s'", to.Name(), change)))
		}
	}
	more, err := n.moveSlices(ctx, made, to, pods)
	return append(commands, more...), err
}

// moveSlices makes the hand-written slices of a case the only ones. As the EndpointSlice controller does, it first creates, then updates, then
// deletes: see halfway of package oracle.
func (n *namespace) moveSlices(ctx context.Context, service *corev1.Service, to Case, pods []corev1.Pod) (commands []string, err error) {
	if to.Manual == nil {
		return nil, nil
	}
	slicesOf := n.client().DiscoveryV1().EndpointSlices(n.name)
	list, err := slicesOf.List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelManagedBy + "=" + manualBy + "," + discoveryv1.LabelServiceName + "=" + to.Name()})
	if err != nil {
		return nil, fmt.Errorf("list the EndpointSlices of %s: %w", to.Name(), err)
	}
	wanted := to.Slices(service, pods)
	written := make([]bool, len(wanted))
	write := func(created bool) error {
		return each(len(wanted), func(i int) (err error) {
			slice := wanted[i].DeepCopy()
			at := slices.IndexFunc(list.Items, func(s discoveryv1.EndpointSlice) bool { return s.Name == slice.Name })
			if created != (at < 0) {
				return nil
			}
			if created {
				_, err = slicesOf.Create(ctx, slice, metav1.CreateOptions{})
			} else {
				if live := &list.Items[at]; reflect.DeepEqual(live.Endpoints, slice.Endpoints) && reflect.DeepEqual(live.Ports, slice.Ports) {
					return nil
				}
				slice.ResourceVersion = list.Items[at].ResourceVersion
				_, err = slicesOf.Update(ctx, slice, metav1.UpdateOptions{})
			}
			if err != nil {
				return fmt.Errorf("write EndpointSlice %s: %w", slice.Name, err)
			}
			written[i] = true
			return nil
		})
	}
	if err := then(write(true), func() error { return write(false) }); err != nil {
		return commands, err
	}
	var changed []discoveryv1.EndpointSlice
	for i, is := range written {
		if is {
			changed = append(changed, wanted[i])
		}
	}
	commands = to.Manual.applied(changed, n.kubectl("apply"))
	var gone []string
	for _, old := range list.Items {
		if !slices.ContainsFunc(wanted, func(s discoveryv1.EndpointSlice) bool { return s.Name == old.Name }) {
			gone = append(gone, old.Name)
		}
	}
	if len(gone) > 0 {
		commands = append(commands, n.kubectl("delete endpointslice "+strings.Join(gone, " ")))
	}
	return commands, each(len(gone), func(i int) error {
		if err := slicesOf.Delete(ctx, gone[i], metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete EndpointSlice %s: %w", gone[i], err)
		}
		return nil
	})
}

// inherit gives a Service that is created again the addresses and node ports that it had.
func inherit(spec *corev1.ServiceSpec, had corev1.ServiceSpec) {
	if spec.Type == corev1.ServiceTypeExternalName || spec.ClusterIP == corev1.ClusterIPNone || len(had.ClusterIPs) == 0 || had.ClusterIP == corev1.ClusterIPNone {
		return
	}
	spec.ClusterIP, spec.ClusterIPs, spec.IPFamilies, spec.IPFamilyPolicy = had.ClusterIP, had.ClusterIPs, had.IPFamilies, had.IPFamilyPolicy
	inheritPorts(spec, had)
}

// inheritPorts gives the ports of a Service the node ports that those of the same name had.
func inheritPorts(spec *corev1.ServiceSpec, had corev1.ServiceSpec) {
	if spec.Type != corev1.ServiceTypeNodePort && spec.Type != corev1.ServiceTypeLoadBalancer || spec.AllocateLoadBalancerNodePorts != nil && !*spec.AllocateLoadBalancerNodePorts {
		return
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if at := slices.IndexFunc(had.Ports, func(q corev1.ServicePort) bool { return q.Name == p.Name && q.Protocol == p.Protocol }); at >= 0 {
			p.NodePort = had.Ports[at].NodePort
		}
	}
}

// updated is the spec of a Service that is there, as it is wanted: what the API server gave to it stays.
func updated(wanted, live, given corev1.ServiceSpec) corev1.ServiceSpec {
	spec := *wanted.DeepCopy()
	if spec.Type == corev1.ServiceTypeExternalName {
		return spec
	}
	spec.ClusterIP, spec.ClusterIPs, spec.IPFamilies, spec.IPFamilyPolicy = live.ClusterIP, live.ClusterIPs, live.IPFamilies, live.IPFamilyPolicy
	inheritPorts(&spec, given)
	inheritPorts(&spec, live)
	if spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && spec.Type == corev1.ServiceTypeLoadBalancer {
		spec.HealthCheckNodePort = live.HealthCheckNodePort
	}
	return spec
}

// specPatch is a merge patch from one spec to another; empty: they do not differ.
func specPatch(from, to corev1.ServiceSpec) string {
	a, b := fields(from), fields(to)
	change := map[string]any{}
	for key, value := range b {
		if fmt.Sprint(a[key]) != fmt.Sprint(value) {
			change[key] = value
		}
	}
	for key := range a {
		if _, kept := b[key]; !kept {
			change[key] = nil
		}
	}
	if len(change) == 0 {
		return ""
	}
	if selector, is := change["selector"].(map[string]any); is {
		if before, was := a["selector"].(map[string]any); was {
			for key := range before {
				if _, kept := selector[key]; !kept {
					selector[key] = nil
				}
			}
		}
	}
	text, err := json.Marshal(map[string]any{"spec": change})
	if err != nil {
		return "# cannot be printed: " + err.Error()
	}
	return string(text)
}

func fields(spec corev1.ServiceSpec) map[string]any {
	text, err := json.Marshal(spec)
	list := map[string]any{}
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}
