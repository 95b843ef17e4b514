package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

func TestSkipsAndNothingRan(t *testing.T) {
	c, _, r := lab(t)
	c.lacks[scenario.LoadBalancer] = "no MetalLB is installed"
	skipped := loaded(t, "lb", "needs: {features: [loadBalancer]}", deployAndLook, reachTable)
	nodes := loaded(t, "nodes", "needs: {nodes: 5}", deployAndLook, reachTable)
	mode := loaded(t, "mode", "needs: {proxyModes: [iptables]}", deployAndLook, reachTable)
	out, err := r.Run(context.Background(), []scenario.Scenario{skipped, nodes, mode})
	if !errors.Is(err, ErrNothingRan) || out.Skipped != 3 || out.Ran != 0 {
		t.Errorf("error %v, outcome %+v", err, out)
	}
	for i, want := range []string{"needs loadBalancer: no MetalLB is installed", "needs 5 schedulable nodes, the cluster has 3", "mode iptables, the cluster's is nftables"} {
		if !strings.Contains(out.Skips[i].Reason, want) {
			t.Errorf("reason %q, want %q", out.Skips[i].Reason, want)
		}
	}
	if _, err := r.Run(context.Background(), nil); !errors.Is(err, ErrNothingRan) {
		t.Errorf("no scenario at all: %v", err)
	}
	out, err = r.Run(context.Background(), []scenario.Scenario{skipped, loaded(t, "fits", "", deployAndLook, reachTable)})
	if err != nil || out.Ran != 1 || out.Skipped != 1 || out.Verdicts[1].Result != reach.Pass || len(out.Unprobed) != 1 {
		t.Errorf("one of two: %v, %+v", err, out)
	}
}

// The policies of a cluster may require labels and annotations of every namespace.
func TestNamespacesHaveTheLabelsOfTheSettings(t *testing.T) {
	settings := quickly()
	settings.Labels, settings.Annotations = map[string]string{"team": "net", ScenarioLabel: "other"}, map[string]string{"owner": "me"}
	var found *corev1.Namespace
	c, _, _ := lab(t)
	r := New(c, nil, WithSettings(settings), WithBefore(func(ctx context.Context, _ string, _ scenario.Step, namespace string) (err error) {
		found, err = c.Client().CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		return err
	}))
	if v := one(t, r, loaded(t, "labels", "", "\n  - {name: none, object: {ref: service/none, absent: true}}\n", "")); v.Result != reach.Pass {
		t.Fatal(results(v))
	}
	if found.Labels["team"] != "net" || found.Labels[ScenarioLabel] != "labels" || found.Labels[ManagedByLabel] != ManagedBy || found.Annotations["owner"] != "me" {
		t.Errorf("%+v", found.ObjectMeta)
	}
}

// A run that is cancelled midway stops, says so, and cleans up all the same.
func TestCancelCleansUp(t *testing.T) {
	c, p, r := lab(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	interrupted := errors.New("interrupted by the user")
	p.broken = func(int, probe.Request, *reach.Observation) { cancel(interrupted) }
	first := loaded(t, "first", "claims: [one]", deployAndLook+"  - {name: more, expect: reach}\n", reachTable)
	second := loaded(t, "second", "claims: [one]", deployAndLook, reachTable)
	out, err := r.Run(ctx, []scenario.Scenario{first, second})
	if !errors.Is(err, interrupted) {
		t.Errorf("error %v", err)
	}
	if len(out.Verdicts) != 1 || out.Verdicts[0].Result != reach.Inconclusive {
		t.Errorf("verdicts %+v", out.Verdicts)
	}
	if last := out.Verdicts[0].Steps[2]; last.Result != reach.Skipped || !strings.Contains(last.Why, "not run") {
		t.Errorf("the step that was not run: %+v", last)
	}
	if left := namespacesLeft(c); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if services := c.api.names("services"); len(services) != 1 {
		t.Errorf("left behind: %v", services)
	}
}

// Ctrl-C while the API server is making the namespace: its name is not known yet, and it is removed nevertheless.
func TestCancelWhileTheNamespaceIsMade(t *testing.T) {
	c, _, r := lab(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted by the user")
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		if resource == "namespaces" && !deleted {
			cancel(interrupted)
			time.Sleep(100 * time.Millisecond) // the request would be broken off by now
		}
		controllers(api, resource, o, deleted)
	}
	out, err := r.Run(ctx, []scenario.Scenario{loaded(t, "first", "", deployAndLook, reachTable)})
	if !errors.Is(err, interrupted) || slices.ContainsFunc(out.Verdicts, func(v reach.Verdict) bool { return v.Result == reach.Pass }) {
		t.Errorf("%+v, error %v", out.Verdicts, err)
	}
	if left := namespacesLeft(c); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWaitThatRunsOut(t *testing.T) {
	c, _, r := lab(t)
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		if resource == "namespaces" || deleted {
			controllers(api, resource, o, deleted)
		}
	}
	v := one(t, r, loaded(t, "stuck", "", `
  - {name: deploy, apply: [app.yaml]}
  - {name: wait, settle: {}, timeout: 1s}
  - {name: then, settle: {}}
  - {name: look, object: {ref: deployment/my-app, absent: true}}
`, ""))
	step := v.Steps[1]
	if step.Result != reach.Fail || !strings.Contains(step.Why, "gave up waiting for the objects to settle; last seen: Deployment") ||
		!strings.Contains(step.Why, "bound is 1s") {
		t.Errorf("%s: %s", step.Result, step.Why)
	}
	if v.Steps[2].Result != reach.Skipped || v.Steps[3].Result != reach.Skipped {
		t.Errorf("steps after one that did not succeed were run: %+v", v.Steps[2:])
	}
}

func TestStepsThatOnlyLookDoNotEndTheScenario(t *testing.T) {
	_, _, r := lab(t)
	v := one(t, r, loaded(t, "looks", "", `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: wrong, object: {ref: service/my-service, want: {spec: {type: NodePort}}}, timeout: 1s}
  - {name: right, object: {ref: service/my-service, want: {spec: {ports: [{port: 80}]}}, unset: [status.loadBalancer.ingress], holds: 50ms}}
  - {name: none, object: {ref: service/other, absent: true}}
  - {name: path, object: {ref: services/my-service, path: {"{.spec.ports[0].targetPort}": "8080"}}}
`, ""))
	want := []reach.Result{reach.Pass, reach.Fail, reach.Pass, reach.Pass, reach.Pass}
	for i, step := range v.Steps {
		if step.Result != want[i] {
			t.Errorf("step %s: %s, want %s: %s", step.Name, step.Result, want[i], step.Why)
		}
	}
	if !strings.Contains(v.Steps[1].Why, `.spec.type is not set, want "NodePort"`) {
		t.Errorf("what was last seen is not told: %s", v.Steps[1].Why)
	}
}

func TestLeftoversAreRemovedFirst(t *testing.T) {
	c, _, r := lab(t)
	c.api.mu.Lock()
	left := object("v1", "Namespace", "", "svclab-clusterip-old", nil)
	left["metadata"].(map[string]any)["labels"] = map[string]any{ManagedByLabel: ManagedBy, ScenarioLabel: "clusterip"}
	c.api.put("namespaces", left)
	foreign := object("v1", "Namespace", "", "svclab-clusterip-foreign", nil)
	c.api.put("namespaces", foreign)
	c.api.put("services", object("v1", "Service", "svclab-clusterip-old", "holder", map[string]any{"spec": map[string]any{
		"ports": []any{map[string]any{"port": 80, "nodePort": 30080}}}}))
	c.api.mu.Unlock()
	one(t, r, loaded(t, "clusterip", "", deployAndLook, reachTable))
	if left := namespacesLeft(c); !slices.Equal(left, []string{"svclab-clusterip-foreign"}) {
		t.Errorf("namespaces %v, want only the one that is not ours", left)
	}
}

func TestKeepAndFailedHook(t *testing.T) {
	settings := quickly()
	settings.Keep = true
	var told []string
	c, p, r := lab(t, WithSettings(settings), WithFailed(func(_ context.Context, name, namespace string) error {
		told = append(told, name+" "+namespace)
		return errors.New("the disk is full")
	}))
	p.broken = func(_ int, _ probe.Request, o *reach.Observation) { o.Outcome = reach.TimedOut }
	v := one(t, r, loaded(t, "kept", "", deployAndLook, reachTable))
	if last := v.Steps[len(v.Steps)-1]; v.Result != reach.Fail || last.Result != reach.Inconclusive || last.Why != "the disk is full" {
		t.Errorf("%s, last step %+v", v.Result, last)
	}
	left := namespacesLeft(c)
	if len(left) != 1 || len(told) != 1 || told[0] != "kept "+left[0] {
		t.Errorf("namespaces %v, told %v", left, told)
	}
	if err := r.Sweep(context.Background()); err != nil || len(namespacesLeft(c)) != 0 {
		t.Errorf("sweep: %v, left %v", err, namespacesLeft(c))
	}
}

// A namespace goes when all in it is gone, which takes a while: Run waits for it, or leaves that to Sweep.
func TestRunWaitsForItsNamespaces(t *testing.T) {
	for _, leave := range []bool{false, true} {
		settings := quickly()
		settings.LeaveTerminating = leave
		c, _, r := lab(t, WithSettings(settings))
		const slow = 300 * time.Millisecond
		c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
			if resource == "namespaces" && deleted {
				name := going(api, o)
				time.AfterFunc(slow, func() {
					api.mu.Lock()
					defer api.mu.Unlock()
					api.react = controllers
					api.drop("namespaces//" + name)
				})
				return
			}
			controllers(api, resource, o, deleted)
		}
		one(t, r, loaded(t, "going", "", deployAndLook, reachTable))
		if left := len(namespacesLeft(c)); left != map[bool]int{false: 0, true: 1}[leave] {
			t.Errorf("leave %t: %d namespaces are left", leave, left)
		}
		if services := c.api.names("services"); len(services) != 1 {
			t.Errorf("leave %t: services %v are left", leave, services)
		}
		if err := r.Sweep(context.Background()); err != nil || len(namespacesLeft(c)) != 0 {
			t.Errorf("leave %t: sweep: %v, left %v", leave, err, namespacesLeft(c))
		}
	}
}

// going keeps a namespace that was deleted: it is going, but not gone.
func going(api *fakeAPI, o map[string]any) (name string) {
	name = o["metadata"].(map[string]any)["name"].(string)
	o["status"] = map[string]any{"phase": "Terminating"}
	api.objects["namespaces//"+name] = o
	return name
}

// A pod that was given two minutes to end would keep its namespace, and the user who pressed Ctrl-C, as long. One that a
// controller makes at the last moment would too. The namespace controller ends the others only after 5 s.
func TestPodsThatLingerAreEnded(t *testing.T) {
	c, _, r := lab(t)
	const namespace = "svclab-terminating-old"
	lingering := func(name string, grace float64) map[string]any {
		return object("v1", "Pod", namespace, name, map[string]any{"spec": map[string]any{"terminationGracePeriodSeconds": grace}})
	}
	var ended []string
	c.api.mu.Lock()
	left := object("v1", "Namespace", "", namespace, nil)
	left["metadata"].(map[string]any)["labels"] = map[string]any{ManagedByLabel: ManagedBy, ScenarioLabel: "terminating"}
	c.api.put("namespaces", left)
	ending := lingering("ending", 120)
	ending["metadata"].(map[string]any)["deletionGracePeriodSeconds"] = float64(120)
	leaving := lingering("leaving", 2)
	leaving["metadata"].(map[string]any)["deletionGracePeriodSeconds"] = float64(2)
	for _, pod := range []map[string]any{lingering("slow", 120), lingering("quick", 2), ending, leaving} {
		c.api.put("pods", pod)
	}
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		switch {
		case resource == "namespaces" && deleted:
			going(api, o)
			api.put("pods", lingering("late", 30))
		case resource == "pods" && deleted:
			name := o["metadata"].(map[string]any)["name"].(string)
			if ended = append(ended, name); len(ended) == 4 {
				api.react = controllers
				api.drop("namespaces//" + namespace)
			}
		}
	}
	c.api.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := r.Sweep(ctx); err != nil {
		t.Error(err)
	}
	slices.Sort(ended)
	if want := []string{"ending", "late", "quick", "slow"}; !slices.Equal(ended, want) {
		t.Errorf("ended %v, want %v", ended, want)
	}
}

// What could not be removed is reported although the user ended the run.
func TestCancelTellsWhatIsLeft(t *testing.T) {
	settings := quickly()
	settings.Cleanup = time.Second
	c, p, r := lab(t, WithSettings(settings))
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted by the user")
	p.broken = func(int, probe.Request, *reach.Observation) { cancel(interrupted) }
	var stuck string
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		if resource == "namespaces" && deleted {
			stuck = going(api, o)
			return
		}
		controllers(api, resource, o, deleted)
	}
	_, err := r.Run(ctx, []scenario.Scenario{loaded(t, "stuck", "", deployAndLook, reachTable)})
	if !errors.Is(err, interrupted) || stuck == "" || !strings.Contains(err.Error(), stuck) {
		t.Errorf("error %v, want the interruption and that %s is left", err, stuck)
	}
}

func TestManifestsAreRewrittenForTheCluster(t *testing.T) {
	c, _, r := lab(t)
	var mu sync.Mutex
	var nodes []string
	c.api.admit = func(resource string, o map[string]any) string {
		if resource == "deployments" {
			mu.Lock()
			defer mu.Unlock()
			spec := o["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			nodes = append(nodes, spec["nodeName"].(string))
		}
		return ""
	}
	one(t, r, loaded(t, "slots", "", deployAndLook, reachTable))
	if !slices.Equal(nodes, []string{"lab-worker"}) {
		t.Errorf("applied to nodes %v, want lab-worker", nodes)
	}
}

func TestUnknownCheckIsRefusedBeforeAnythingIsDone(t *testing.T) {
	c, _, r := lab(t)
	for _, step := range []string{"{name: nope}", "{name: no-endpoint-slices, args: {servise: x}}"} {
		sc := loaded(t, "check", "", "\n  - {name: a, check: "+step+"}\n", "")
		if _, err := r.Run(context.Background(), []scenario.Scenario{sc}); err == nil || !strings.Contains(err.Error(), `scenario check: step "a"`) {
			t.Errorf("%s: %v", step, err)
		}
	}
	if left := namespacesLeft(c); len(left) > 0 {
		t.Errorf("something was done: %v", left)
	}
}

// The longest scenario begins first; the verdicts come in the order given.
func TestLongestBeginsFirst(t *testing.T) {
	settings := quickly()
	settings.Workers, settings.Took = 1, map[string]time.Duration{"a": time.Second, "b": time.Minute}
	var out lockedBuffer
	_, _, r := lab(t, WithSettings(settings), WithReporter(Lines(&out)))
	outcome, err := r.Run(context.Background(), []scenario.Scenario{loaded(t, "a", "", deployAndLook, reachTable), loaded(t, "b", "", deployAndLook, reachTable)})
	if err != nil || len(outcome.Verdicts) != 2 || outcome.Verdicts[0].Scenario != "a" || outcome.Verdicts[1].Scenario != "b" {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if text := out.String(); strings.Index(text, "\na: ") < strings.Index(text, "\nb: Pass") {
		t.Errorf("a began before b had ended:\n%s", text)
	}
}
