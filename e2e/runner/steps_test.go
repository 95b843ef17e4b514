package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/reach"
)

// results are a verdict's steps, "name: result" each, with the reason of those that did not pass.
func results(v reach.Verdict) string {
	var lines []string
	for _, step := range v.Steps {
		line := step.Name + ": " + string(step.Result)
		if step.Why != "" {
			line += ": " + step.Why
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestReject(t *testing.T) {
	c, _, r := lab(t)
	c.api.admit = func(resource string, o map[string]any) string {
		if resource == "services" && strings.Contains(fmt.Sprint(o["spec"]), "nodePort:8080") {
			return "spec.ports[0].nodePort: Invalid value: 8080: provided port is not in the valid range"
		}
		return ""
	}
	v := one(t, r, loaded(t, "reject", "", `
  - {name: make, apply: [service.yaml]}
  - {name: refused, reject: {patch: {object: service/my-service, body: {spec: {ports: [{port: 80, nodePort: 8080}]}}}, reason: [not in the valid range]}}
  - {name: other reason, reject: {patch: {object: service/my-service, body: {spec: {ports: [{port: 80, nodePort: 8080}]}}}, reason: [already allocated]}}
  - {name: accepted, reject: {apply: service.yaml, reason: [nothing]}}
  - {name: not admitted or refused, reject: {patch: {object: service/none, body: {}}, reason: [not found]}}
`, ""))
	want := []string{"make: Pass", "refused: Pass", "other reason: Fail: the patch of service/my-service was refused for another reason",
		"accepted: Fail: service.yaml was accepted", "not admitted or refused: Pass"}
	for i, line := range strings.Split(results(v), "\n") {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("got %s\nwant %s", line, want[i])
		}
	}
}

func TestWorkloadSteps(t *testing.T) {
	c, _, r := lab(t)
	v := one(t, r, loaded(t, "workloads", "", `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: two, expect: reach}
  - {name: scale, scale: {object: deployment/my-app, replicas: 3}}
  - {name: three, expect: reach}
  - {name: replace, replacePods: {selector: app=my-app}}
  - {name: others, expect: reach}
  - {name: nothing to replace, replacePods: {selector: app=other}}
`, reachTable))
	lines := strings.Split(results(v), "\n")
	if len(lines) != 8 || !strings.HasPrefix(lines[6], "nothing to replace: Inconclusive: no pod has the labels app=other") {
		t.Fatalf("%s", results(v))
	}
	for _, line := range lines[:6] {
		if !strings.HasSuffix(line, ": Pass") {
			t.Error(line)
		}
	}
	backends := func(step int) []string {
		for _, cell := range v.Steps[step].Tables[0].Cells {
			if cell.Cell.Target.Kind == reach.ClusterIP {
				return cell.Expected.Backends
			}
		}
		return nil
	}
	two, three, others := backends(1), backends(3), backends(5)
	if len(two) != 2 || len(three) != 3 || len(others) != 3 {
		t.Errorf("backends %v, %v, %v", two, three, others)
	}
	if slices.ContainsFunc(others, func(name string) bool { return slices.Contains(three, name) }) {
		t.Errorf("a pod was not replaced: %v, then %v", three, others)
	}
	if left := namespacesLeft(c); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDeleteAndEvent(t *testing.T) {
	c, _, r := lab(t)
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		u := unstructured.Unstructured{Object: o}
		if resource == "services" && !deleted && u.GetName() == "my-service" {
			api.put("events", object("v1", "Event", u.GetNamespace(), fmt.Sprintf("e%d", api.version), map[string]any{
				"type": "Warning", "reason": "AllocationFailed", "message": `Failed to allocate IP for "x": no available IPs`,
				"involvedObject": map[string]any{"kind": "Service", "name": "my-service", "namespace": u.GetNamespace()}}))
		}
		controllers(api, resource, o, deleted)
	}
	v := one(t, r, loaded(t, "events", "", `
  - {name: make, apply: [service.yaml]}
  - {name: told, event: {object: service/my-service, reason: AllocationFailed, type: Warning, message: [no available IPs]}}
  - {name: not told, event: {object: service/my-service, reason: IPAllocated}, timeout: 1s}
  - {name: delete, delete: [service/my-service]}
  - {name: gone, object: {ref: service/my-service, absent: true}}
  - {name: delete again, delete: [service/my-service]}
`, ""))
	got := strings.Split(results(v), "\n")
	want := []string{"make: Pass", "told: Pass",
		"not told: Fail: gave up waiting for event IPAllocated about services/my-service; last seen: Warning AllocationFailed",
		"delete: Pass", "gone: Pass", "delete again: Inconclusive"}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %s\nwant %s", got[i], want[i])
		}
	}
}

// What is not the scenario's own comes back: by a step, and when the scenario ends though a step failed.
func TestWithholdAndPatchAreUndone(t *testing.T) {
	pool := func() map[string]any {
		p := object("metallb.io/v1beta1", "IPAddressPool", "metallb-system", "svclab", map[string]any{
			"spec": map[string]any{"addresses": []any{"172.18.255.0/28"}}})
		p["metadata"].(map[string]any)["labels"] = map[string]any{"ours": "yes"}
		return p
	}
	const head = "needs: {features: [nodeControl]}\nclaims: [loadBalancerPool]"
	for name, steps := range map[string]string{
		"restored by a step": `
  - {name: take, withhold: [metallb-system/ipaddresspool/*]}
  - {name: gone, object: {ref: metallb-system/ipaddresspool/svclab, absent: true}}
  - {name: back, restore: [metallb-system/ipaddresspool/*]}
  - {name: there, object: {ref: metallb-system/ipaddresspool/svclab, want: {spec: {addresses: [172.18.255.0/28]}}}}
`,
		"restored after a failure": `
  - {name: take, withhold: [metallb-system/ipaddresspool/svclab]}
  - {name: fails, scale: {object: deployment/none, replicas: 1}}
  - {name: never, restore: [metallb-system/ipaddresspool/svclab]}
  - {name: look, object: {ref: service/none, absent: true}}
`,
		"a patch is taken back": `
  - {name: close, patch: {object: metallb-system/ipaddresspool/*, body: {spec: {autoAssign: false}, metadata: {labels: {more: yes}}}}}
  - {name: closed, object: {ref: metallb-system/ipaddresspool/svclab, want: {spec: {autoAssign: false}}}}
`,
	} {
		t.Run(name, func(t *testing.T) {
			c, _, r := lab(t)
			c.api.mu.Lock()
			c.api.put("ipaddresspools", pool())
			c.api.mu.Unlock()
			v := one(t, r, loaded(t, "pool", head, steps, ""))
			if v.Steps[0].Result != reach.Pass {
				t.Error(results(v))
			}
			c.api.mu.Lock()
			defer c.api.mu.Unlock()
			now := c.api.objects["ipaddresspools/metallb-system/svclab"]
			if now == nil {
				t.Fatalf("the pool is gone\n%s", results(v))
			}
			if fmt.Sprint(now["spec"]) != fmt.Sprint(pool()["spec"]) {
				t.Errorf("spec is %v", now["spec"])
			}
			if labels := (&unstructured.Unstructured{Object: now}).GetLabels(); len(labels) != 1 || labels["ours"] != "yes" {
				t.Errorf("labels are %v", labels)
			}
		})
	}
}

func TestPatchOfWhatIsNotTheScenariosOwn(t *testing.T) {
	_, _, r := lab(t)
	v := one(t, r, loaded(t, "foreign", "", "\n  - {name: label, patch: {object: node/svclab-worker, body: {metadata: {labels: {a: b}}}}}\n  - {name: look, object: {ref: node/svclab-worker, unset: [metadata.labels.a]}}\n", ""))
	if v.Steps[0].Result != reach.Inconclusive || !strings.Contains(v.Steps[0].Why, "needs the feature nodeControl") {
		t.Errorf("%s", results(v))
	}
}

func TestTrafficAndNode(t *testing.T) {
	const head = "serial: true\nneeds: {features: [nodeControl]}"
	c, p, r := lab(t)
	v := one(t, r, loaded(t, "traffic", head, `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: settle, settle: {}}
  - {name: start a, traffic: {start: {name: a, from: pod/worker, to: {kind: clusterIP, service: my-service}, perSecond: 50}}}
  - {name: start b, traffic: {start: {name: b, from: pod/worker, to: {kind: clusterIP, service: my-service}, perSecond: 50}}}
  - {name: start c, traffic: {start: {name: c, from: pod/worker, to: {kind: clusterIP, service: my-service}, perSecond: 50}}}
  - {name: restart, node: {slot: worker, action: restart}}
  - {name: stop a, traffic: {stop: {name: a, maxLost: 3, maxGap: 500ms}}}
  - {name: stop b, traffic: {stop: {name: b, maxLost: 2}}}
  - {name: stop c, traffic: {stop: {name: c, maxLost: 3, maxGap: 200ms}}}
  - {name: two targets, traffic: {start: {name: d, from: pod/worker, to: {kind: endpoint, service: my-service}, perSecond: 50}}}
  - {name: never, traffic: {stop: {name: d, maxLost: 0}}}
`, ""))
	got := strings.Split(results(v), "\n")
	want := []string{"deploy: Pass", "settle: Pass", "start a: Pass", "start b: Pass", "start c: Pass", "restart: Pass", "stop a: Pass",
		"stop b: Fail: traffic b: 3 of 100 requests were lost, at most 2 may be", "stop c: Fail: traffic c: no answer for 300ms",
		"two targets: Inconclusive: traffic d: want one target, endpoint of my-service are 2", "never: Skipped"}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %s\nwant %s", got[i], want[i])
		}
	}
	if !slices.Equal(c.controlled, []string{"restart worker"}) {
		t.Errorf("controlled %v", c.controlled)
	}
	for _, f := range p.flows {
		if !f.stopped || f.request.PerSecond != 50 || f.request.Vantage.Name != "pod/worker" {
			t.Errorf("flow %+v", f)
		}
	}
}

func TestTrafficIsStoppedAfterAFailure(t *testing.T) {
	_, p, r := lab(t)
	one(t, r, loaded(t, "stopped", "", `
  - {name: deploy, apply: [app.yaml, service.yaml]}
  - {name: start, traffic: {start: {name: a, from: pod/worker, to: {kind: clusterIP, service: my-service}, perSecond: 5}}}
  - {name: fails, scale: {object: deployment/none, replicas: 1}}
  - {name: stop, traffic: {stop: {name: a, maxLost: 0}}}
`, ""))
	if len(p.flows) != 1 || !p.flows[0].stopped {
		t.Errorf("flows %+v", p.flows)
	}
}

// kubectlScript is a kubectl that prints its arguments, and fails with the article's error.
const kubectlScript = `#!/bin/sh
case "$*" in
  *--node-port*) echo "error: unknown flag: --node-port" >&2; exit 1 ;;
  *wait*) exec sleep 60 ;;
  *early*) echo "E1201 05:51:23.716119   25655 websocket.go:296] Unknown stream id 1, discarding message" >&2; echo reached; exit 6 ;;
esac
# as a credential plugin of a managed cluster does
cat "$HOME/.cloud/credentials" || { echo "Unable to connect to the server: getting credentials: exec: executable cloud failed with exit code 1" >&2; exit 1; }
[ -d "$KUBECACHEDIR" ] && echo "cache and kuberc are the call's own: $KUBECTL_KUBERC"
for a in "$@"; do echo "[$a]"; done
`

func TestRunKubectl(t *testing.T) {
	kubectl := filepath.Join(t.TempDir(), "kubectl")
	if err := os.WriteFile(kubectl, []byte(kubectlScript), 0o755); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	credentials := filepath.Join(home, ".cloud", "credentials")
	if err := errors.Join(os.Mkdir(filepath.Dir(credentials), 0o700), os.WriteFile(credentials, []byte("token of the user\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	settings := quickly()
	settings.Kubectl = kubectl
	_, _, r := lab(t, WithSettings(settings))
	v := one(t, r, loaded(t, "kubectl", "", `
  - {name: refused, run: {command: "kubectl expose deployment a --node-port=30080", exit: 1, stderr: ["unknown flag: --node-port"]}}
  - {name: get, run: {command: "kubectl get node svclab-worker -o 'custom columns'", stdout: ["[get] [node]", "[lab-worker] [-o] [custom columns]", "[--kubeconfig] [/no/such/kubeconfig]", "token of the user", "own: false"]}}
  - {name: wrong exit, object: {ref: service/none, absent: true}}
`, ""))
	if v.Result != reach.Pass {
		t.Errorf("%s", results(v))
	}
	if lines := strings.Join(v.Steps[0].Lines, "\n"); !strings.HasPrefix(lines, "$ kubectl expose deployment a --node-port=30080\nerror: unknown flag") {
		t.Errorf("lines %q", lines)
	}
	for steps, want := range map[string]string{
		`{name: a, run: {command: kubectl get pods, exit: 1}}`:                                 "a: Fail: it ended with exit code 0, want 1",
		`{name: a, run: {command: kubectl get pods, stdout: [nothing]}}`:                       `a: Fail: stdout does not have "nothing"`,
		`{name: a, run: {command: kubectl wait, stdout: [x]}, timeout: 1s}`:                    "a: Fail: gave up waiting for the end of kubectl wait",
		`{name: a, run: {command: kubectl get pods, exit: 0, stderr: [x]}}`:                    `a: Fail: stderr does not have "x"`,
		`{name: a, run: {command: "kubectl get pods --node-port=1", exit: 1, stdout: [pods]}}`: `a: Fail: stdout does not have "pods"`,
	} {
		v := one(t, r, loaded(t, "kubectl", "", "\n  - "+steps+"\n", ""))
		if !strings.HasPrefix(results(v), want) {
			t.Errorf("%s\ngot %s\nwant %s", steps, results(v), want)
		}
	}
	v = one(t, r, loaded(t, "kubectl", "", "\n  - {name: a, run: {command: kubectl exec early, exit: 6, stdout: reached}}\n", ""))
	if v.Result != reach.Pass || strings.Join(v.Steps[0].Lines, "\n") != "$ kubectl exec early\nreached" {
		t.Errorf("kubectl dropped an empty message: %s, %q", results(v), v.Steps[0].Lines)
	}
	v = one(t, r, loaded(t, "kubectl", "", "\n  - {name: a, run: {command: kubectl exec early, exit: 6, stdout: all}}\n", ""))
	if v.Result != reach.Inconclusive || !strings.Contains(results(v), "lost what the command printed: E1201") {
		t.Errorf("kubectl dropped a message: %s", results(v))
	}
	if err := os.Remove(credentials); err != nil {
		t.Fatal(err)
	}
	v = one(t, r, loaded(t, "kubectl", "", "\n  - {name: a, run: {command: kubectl get pods}}\n", ""))
	if v.Result != reach.Inconclusive || !strings.Contains(results(v), "getting credentials: exec: executable cloud failed") {
		t.Errorf("without credentials: %s", results(v))
	}
	settings.Kubectl = filepath.Join(t.TempDir(), "none")
	_, _, r = lab(t, WithSettings(settings))
	v = one(t, r, loaded(t, "kubectl", "", "\n  - {name: a, run: {command: kubectl get pods}}\n", ""))
	if v.Result != reach.Inconclusive || !strings.Contains(results(v), "put it on PATH") {
		t.Errorf("without kubectl: %s", results(v))
	}
}

func TestChecks(t *testing.T) {
	c, _, r := lab(t)
	c.answering = []string{"02:00:00:00:00:03", "02:00:00:00:00:04"}
	c.api.react = func(api *fakeAPI, resource string, o map[string]any, deleted bool) {
		u := unstructured.Unstructured{Object: jsonCopy(o)}
		if resource == "services" && !deleted && u.GetName() == "my-service" && o["status"] == nil {
			u.Object["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": "172.18.255.3"}}}}
			spec := u.Object["spec"].(map[string]any)
			spec["type"] = "LoadBalancer"
			spec["ports"].([]any)[0].(map[string]any)["nodePort"] = 31234
			api.put("services", u.Object)
			return
		}
		controllers(api, resource, o, deleted)
	}
	c.api.mu.Lock()
	c.api.put("ipaddresspools", object("metallb.io/v1beta1", "IPAddressPool", "metallb-system", "svclab", map[string]any{
		"spec": map[string]any{"addresses": []any{"172.18.255.0-172.18.255.9"}}}))
	c.api.mu.Unlock()
	v := one(t, r, loaded(t, "checks", "", `
  - {name: deploy, apply: [app.yaml, service.yaml], timeout: 2s}
  - {name: in range, check: {name: node-port-in-range, args: {service: my-service, from: 30000, to: 32767}}, timeout: 1s}
  - {name: out of range, check: {name: node-port-in-range, args: {service: my-service, from: 30000, to: 31000}}, timeout: 1s}
  - {name: slices, check: {name: no-endpoint-slices, args: {service: my-service}}, timeout: 1s}
  - {name: pool, check: {name: address-from-pool, args: {service: my-service}}, timeout: 1s}
  - {name: announces, check: {name: one-node-announces, args: {service: my-service}}, timeout: 1s}
  - {name: no service, check: {name: no-endpoint-slices, args: {service: other}}, timeout: 1s}
  - {name: spread, check: {name: spread, args: {service: my-service, pods: app=my-app, from: pod/worker, to: {kind: clusterIP}, connections: 40, falseAlarm: 1e-6}}}
`, ""))
	got := strings.Split(results(v), "\n")
	want := []string{"deploy: Pass", "in range: Pass", "out of range: Fail: check node-port-in-range: port 80 has node port 31234",
		"slices: Fail: check no-endpoint-slices: service my-service has 1 EndpointSlices", "pool: Pass",
		"announces: Fail: check one-node-announces: 2 answer for 172.18.255.3, want exactly one node: lab-worker and lab-worker2", "no service: Inconclusive", "spread: Pass"}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %s\nwant %s", got[i], want[i])
		}
	}
}

func TestLinesAndHeartbeat(t *testing.T) {
	settings := quickly()
	settings.Heartbeat = 20 * time.Millisecond
	var out lockedBuffer
	_, _, r := lab(t, WithSettings(settings), WithReporter(Lines(&out)))
	one(t, r, loaded(t, "slow", "", "\n  - {name: wait, object: {ref: service/none, want: {}}, timeout: 1s}\n", ""))
	if strings.Contains(out.String(), "to run") {
		t.Errorf("one scenario is counted in\n%s", out.String())
	}
	Lines(&out).Planned([]string{"slow"}, []Skip{{Scenario: "other", Reason: "needs more"}})
	for _, want := range []string{"2 scenarios: 1 to run, 1 skipped", "other: skipped: needs more", "slow: wait …", "waiting for services/none to be as described; last seen: it does not exist",
		"slow: wait: Fail after", "gave up waiting for services/none", "slow: Fail after"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in\n%s", want, out.String())
		}
	}
}
