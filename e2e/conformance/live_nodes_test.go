//go:build e2e

package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// On five hundred nodes a run stands on a sample of them, says so, and takes no more memory than on three. The others are
// simulated by kwok: they are Ready, and pods on them are said to run, but nothing answers
// there, so no client is put there.
func TestLiveFiveHundredNodes(t *testing.T) {
	l := foreign(t)
	const fakes = 497
	defer simulate(t, l, fakes)()
	cmd, wait := start(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", "clusterip.basic,status", "--seed", "7")
	r := wait()
	usage, is := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !is {
		t.Fatal("this system does not tell how much memory a process took")
	}
	c := r.conformance
	t.Logf("exit %d after %s, %d MiB at most, %s of processor: %d of %d nodes, seed %d, left out %v; %d cells", r.exit, r.took.Round(time.Second),
		usage.Maxrss/1024, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(100*time.Millisecond),
		c.Vantages.Sampled, c.Vantages.Nodes, c.Vantages.Seed, c.Vantages.Left, c.Statistics.Cells.Cells)
	if r.exit != 0 || c.Vantages.Nodes != fakes+3 || c.Vantages.Sampled != 3 || c.Vantages.Seed != 7 {
		t.Errorf("exit %d: %+v\n%s", r.exit, c.Vantages, r.err)
	}
	left := 0
	for _, n := range c.Vantages.Left {
		left += n
	}
	if left != fakes {
		t.Errorf("%d nodes are accounted for, want %d", left, fakes)
	}
	if usage.Maxrss/1024 > 512 {
		t.Errorf("it took %d MiB", usage.Maxrss/1024)
	}
	for _, s := range c.Scenarios {
		if s.Result != reach.Pass {
			t.Errorf("%s is %s: %s", s.Name, s.Result, s.Reason)
		}
	}
	l.mustBeClean(t)
}

// On five thousand nodes with ten thousand Services a run lists the cluster's Services a few times and not at each look, and takes
// a bounded amount of memory. kwok simulates the nodes; no pod is put on them.
func TestLiveFiveThousandNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 minutes; run without -short")
	}
	l := foreign(t)
	const fakes, services = 5000, 10000
	defer simulate(t, l, fakes)()
	const space = "many"
	ctx := t.Context()
	if _, err := l.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.client.CoreV1().Namespaces().Delete(ctx, space, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	client := l.quick(t)
	var group errgroup.Group
	group.SetLimit(20)
	for i := range services {
		group.Go(func() error {
			_, err := client.CoreV1().Services(space).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%d", i)},
				Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	before := l.lists(t)
	cmd, wait := start(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", "clusterip.basic,status", "--seed", "7")
	r := wait()
	after := l.lists(t)
	usage, is := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !is {
		t.Fatal("this system does not tell how much memory a process took")
	}
	t.Logf("exit %d after %s, %d MiB at most, %s of processor; LIST requests of everybody meanwhile: %d of Services, %d of nodes, %d of pods", r.exit,
		r.took.Round(time.Second), usage.Maxrss/1024, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(100*time.Millisecond),
		after["services"]-before["services"], after["nodes"]-before["nodes"], after["pods"]-before["pods"])
	if r.exit != 0 || r.conformance.Vantages.Nodes != fakes+3 {
		t.Errorf("exit %d: %+v\n%s", r.exit, r.conformance.Vantages, r.err)
	}
	if n := after["services"] - before["services"]; n > 20 {
		t.Errorf("the Services of the whole cluster were listed %d times", n)
	}
	if usage.Maxrss/1024 > 1024 {
		t.Errorf("it took %d MiB", usage.Maxrss/1024)
	}
	l.mustBeClean(t)
}

// quick returns a client that the rate limit of client-go does not slow down.
func (l lab) quick(t *testing.T) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(l.config)
	config.QPS, config.Burst = 300, 600
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// lists returns how many LIST requests over the whole cluster the API server has answered, by resource.
func (l lab) lists(t *testing.T) map[string]int {
	t.Helper()
	text, err := l.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^apiserver_request_total\{.*resource="(\w+)",scope="cluster".*verb="LIST".*\} (\d+)`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		counts[m[1]] += n
	}
	if len(counts) == 0 {
		t.Fatal("the API server's metrics have no LIST request")
	}
	return counts
}

// A node whose machine has stopped is first Ready and does not answer, then NotReady. Neither is a Fail of the cluster's
// Services: a run chooses other nodes and says so, or has no verdict.
func TestLiveNodeStopped(t *testing.T) {
	l := foreign(t)
	nodes, err := l.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "!node-role.kubernetes.io/control-plane"})
	if err != nil || len(nodes.Items) == 0 {
		t.Fatalf("list the workers: %v", err)
	}
	name := nodes.Items[len(nodes.Items)-1].Name
	docker := func(verb string) {
		if out, err := exec.Command("docker", verb, name).CombinedOutput(); err != nil {
			t.Fatalf("docker %s: %v: %s", verb, err, out)
		}
	}
	is := func(ready bool) func(context.Context) bool {
		return func(ctx context.Context) bool {
			node, err := l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			return err == nil && world.NodeReady(node) == ready
		}
	}
	defer func() {
		await(t, "the node to be Ready again", is(true))
		l.mustBeClean(t)
	}()
	docker("pause")
	defer docker("unpause")
	r := run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", "clusterip.basic,status")
	t.Logf("Ready and stopped: exit %d after %s", r.exit, r.took.Round(time.Second))
	if r.exit == 1 {
		t.Errorf("a stopped node is taken for a fault of Services: %s", r.out)
	}
	await(t, "the node to be NotReady", is(false))
	r = run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", "clusterip.basic,status")
	t.Logf("NotReady: exit %d after %s, left out %v", r.exit, r.took.Round(time.Second), r.conformance.Vantages.Left)
	if r.exit != 0 || len(r.conformance.Vantages.Left) == 0 {
		t.Errorf("exit %d, left out %v: %s%s", r.exit, r.conformance.Vantages.Left, r.out, r.err)
	}
}

// simulate adds nodes that kwok simulates and waits until they are Ready. The function it returns takes them and their
// pods away.
func simulate(t *testing.T, l lab, count int) func() {
	t.Helper()
	kwok, stages := os.Getenv("SVCLAB_KWOK"), strings.Fields(os.Getenv("SVCLAB_KWOK_STAGES"))
	if kwok == "" || len(stages) == 0 {
		t.Fatal("SVCLAB_KWOK must name the program kwok, SVCLAB_KWOK_STAGES the files of its stages; run make conformance-test")
	}
	client := l.quick(t)
	nodes, pods := client.CoreV1().Nodes(), client.CoreV1().Pods("kube-system")
	const selector = "type=kwok"
	var said bytes.Buffer
	cmd := exec.Command(kwok, "--kubeconfig", l.kubeconfig, "--manage-all-nodes=false", "--manage-nodes-with-label-selector="+selector,
		"--config", strings.Join(stages, ","))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		if err := nodes.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}); err != nil {
			t.Error(err)
		}
		// no kubelet is left to end the pods of the cluster's DaemonSets
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
		await(t, "the pods on simulated nodes to go", func(ctx context.Context) bool {
			list, err := pods.List(ctx, metav1.ListOptions{})
			gone := err == nil
			for _, pod := range list.Items {
				if strings.HasPrefix(pod.Spec.NodeName, "fake-") {
					gone = false
					if err := pods.Delete(ctx, pod.Name, now); err != nil && !apierrors.IsNotFound(err) {
						t.Error(err)
					}
				}
			}
			return gone
		})
		_ = cmd.Process.Kill() // it ends by this only
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("kwok said: %s", said.String())
		}
	}
	ready := false
	defer func() {
		if !ready {
			end()
		}
	}()
	for i := range count {
		name := fmt.Sprintf("fake-%03d", i)
		labels := map[string]string{"type": "kwok", corev1.LabelHostname: name}
		if count < 1000 { // more nodes stay without kube-proxy's pods
			labels[corev1.LabelOSStable] = "linux"
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := nodes.Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the simulated nodes to be Ready", func(ctx context.Context) bool {
		list, err := nodes.List(ctx, metav1.ListOptions{LabelSelector: selector})
		unready := slices.ContainsFunc(list.Items, func(n corev1.Node) bool { return !world.NodeReady(&n) })
		return err == nil && !unready && len(list.Items) == count
	})
	ready = true
	return end
}
