//go:build e2e

package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// On five thousand nodes with ten thousand Services a run asks the API server for a bounded amount, and lists what the whole cluster
// has a few times and not at each look. kwok simulates the nodes; no pod is put on them.
func TestLiveFiveThousandNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 minutes; run without -short")
	}
	l := foreign(t)
	const fakes, services = 5000, 10000
	defer simulate(t, l, fakes)()
	const space = "many"
	namespaces, client := l.client.CoreV1().Namespaces(), l.quick(t)
	if _, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		// the namespace controller takes longer, as it deletes them one after the other
		atOnce(t, services, func(ctx context.Context, i int) error {
			err := client.CoreV1().Services(space).Delete(ctx, fmt.Sprintf("s-%d", i), metav1.DeleteOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
		if err := namespaces.Delete(t.Context(), space, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		await(t, "the Services to go", func(ctx context.Context) bool {
			_, err := namespaces.Get(ctx, space, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
	}()
	atOnce(t, services, func(ctx context.Context, i int) error {
		_, err := client.CoreV1().Services(space).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%d", i)},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
		return err
	})
	var (
		mu              sync.Mutex
		requests, bytes = 0, int64(0)
		lists           = map[string]int{} // of the whole cluster, by path
	)
	server := l.through(t, func(r *http.Response) error {
		mu.Lock()
		defer mu.Unlock()
		requests++
		if path := r.Request.URL.Path; r.Request.Method == http.MethodGet && !r.Request.URL.Query().Has("watch") && !strings.Contains(path, "/namespaces/") {
			lists[path]++
		}
		if body := r.Body; r.StatusCode != http.StatusSwitchingProtocols {
			r.Body = counted{body, func(n int) {
				mu.Lock()
				defer mu.Unlock()
				bytes += int64(n)
			}}
		}
		return nil
	})
	busy := l.busy(t)
	cmd, wait := start(t, l.svclab, "--kubeconfig", writeKubeconfig(t, server, "", nil), "--behaviour", "clusterip.basic,status", "--seed", "7")
	r := wait()
	usage, is := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !is {
		t.Fatal("this system does not tell how much memory a process took")
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("exit %d after %s, %d MiB at most, %s of processor; %d requests, %d KiB of answers, %v; the API server took %.0f s of processor, for others too", r.exit,
		r.took.Round(time.Second), usage.Maxrss/1024, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Round(100*time.Millisecond),
		requests, bytes/1024, lists, l.busy(t)-busy)
	if r.exit != 0 || r.conformance.Vantages.Nodes != fakes+3 {
		t.Errorf("exit %d: %+v\n%s", r.exit, r.conformance.Vantages, r.err)
	}
	for _, path := range []string{"/api/v1/services", "/api/v1/nodes", "/api/v1/pods", "/apis/discovery.k8s.io/v1/endpointslices"} {
		if lists[path] > 3 {
			t.Errorf("%s was listed %d times", path, lists[path])
		}
	}
	if usage.Maxrss/1024 > 1024 {
		t.Errorf("it took %d MiB", usage.Maxrss/1024)
	}
	l.mustBeClean(t)
}

// counted tells how much of a response was read.
type counted struct {
	io.ReadCloser
	read func(n int)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read(n)
	return n, err
}

// busy returns how many seconds of processor the API server has taken.
func (l lab) busy(t *testing.T) float64 {
	t.Helper()
	text, err := l.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^process_cpu_seconds_total (\S+)$`).FindSubmatch(text)
	if match == nil {
		t.Fatal("the API server's metrics do not have its time")
	}
	seconds, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// atOnce does something count times, twenty at a time.
func atOnce(t *testing.T, count int, do func(ctx context.Context, i int) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(20)
	for i := range count {
		group.Go(func() error { return do(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
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
		"--config", strings.Join(stages, ","), "--node-lease-duration-seconds=160") // renewed after a quarter, before a node is NotReady
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		// the API server ends a request after a minute, which may be too short for thousands
		await(t, "the simulated nodes to go", func(ctx context.Context) bool {
			return nodes.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}) == nil
		})
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
	atOnce(t, count, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("fake-%03d", i)
		labels := map[string]string{"type": "kwok", corev1.LabelHostname: name}
		if count < 1000 { // more nodes stay without kube-proxy's pods
			labels[corev1.LabelOSStable] = "linux"
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		_, err := nodes.Create(ctx, node, metav1.CreateOptions{})
		return err
	})
	await(t, "the simulated nodes to be Ready", func(ctx context.Context) bool {
		list, err := nodes.List(ctx, metav1.ListOptions{LabelSelector: selector})
		unready := slices.ContainsFunc(list.Items, func(n corev1.Node) bool { return !world.NodeReady(&n) })
		return err == nil && !unready && len(list.Items) == count
	})
	ready = true
	return end
}
