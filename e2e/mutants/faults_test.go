package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/probe/wire"
)

// repeater is the script of the mutant prober-repeats-itself, as its Inject runs it.
func repeater(t *testing.T) string {
	t.Helper()
	lab := newFakeLab(t)
	found, _ := Named(allOf(t), []string{"prober-repeats-itself"})
	if err := found[0].Fault.Inject(t.Context(), lab, Scene{}); err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(lab.ran[0], " /kind/svclab/prober-1 ")
	return script
}

// The repeater answers a second batch as the first, whatever it is about. It is a script that reads what the prober writes,
// so it must change together with the prober.
func TestRepeater(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		t.Skip("the script needs a POSIX shell")
	}
	real, err := probe.Binary(t.Context(), runtime.GOOS, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "prober")
	if err := os.Symlink(real, program+"."+mutantMark); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+repeater(t)+"\n"), 0o755); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	var input strings.Builder
	for _, id := range []int{1, 2} {
		var batch strings.Builder
		for _, line := range []any{
			wire.Batch{Version: wire.Version, Cells: 1, Nonce: fmt.Sprint("batch ", id)},
			wire.Cell{ID: id, Form: wire.AppHTTP, Host: "127.0.0.1", Port: 1, Min: 1, Max: 1, Timeout: time.Second},
		} {
			data, err := json.Marshal(line)
			if err != nil {
				t.Fatal(err)
			}
			batch.WriteString(string(data) + "\n")
		}
		data, err := json.Marshal(wire.Command{Args: []string{"probe"}, Input: batch.String()})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&input, string(data))
	}
	command := exec.CommandContext(t.Context(), program, "session")
	command.Stdin = strings.NewReader(input.String())
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	half := len(out) / 2
	if len(out) == 0 || string(out[:half]) != string(out[half:]) {
		t.Errorf("want the first batch's output twice, got\n%s", out)
	}
}

// Whatever an earlier process left is reverted before anything is tried, and a cluster that is whole stays as it is.
func TestSweepChangesNothingThatIsWhole(t *testing.T) {
	lab := newFakeLab(t)
	if err := Sweep(t.Context(), lab, allOf(t)); err != nil {
		t.Fatal(err)
	}
	for _, action := range lab.client.Actions() {
		// the speakers' selector is taken out whether or not it is there, which changes nothing
		if verb := action.GetVerb(); verb != "get" && verb != "list" && verb != "watch" && (verb != "patch" || action.GetResource().Resource != "daemonsets") {
			t.Errorf("it would %s %s", verb, action.GetResource().Resource)
		}
	}
	for _, want := range []string{"node/worker: nft -f -", "node/worker2: nft -f -", "node/control-plane: nft -f -", "outside: ip route flush protocol 222",
		"lab-worker: thaw kube-proxy", "node/worker: ip addr flush dev lo label lo:mutant", "outside: ip neigh flush nud permanent"} {
		if !slices.Contains(lab.ran, want) {
			t.Errorf("it did not run %q", want)
		}
	}
}

func TestWayIn(t *testing.T) {
	lab := newFakeLab(t)
	scene, err := Look(t.Context(), lab, "ns")
	if err != nil {
		t.Fatal(err)
	}
	if err := wayIn("worker").Inject(t.Context(), lab, scene); err != nil {
		t.Fatal(err)
	}
	if want := "outside: ip route add 10.96.0.0/16 via 172.18.0.3 protocol 222"; !slices.Contains(lab.ran, want) {
		t.Errorf("ran %q, want %q", lab.ran, want)
	}
	if err := addressOwned([]string{"worker"}).Inject(t.Context(), lab, scene); err == nil {
		t.Error("without a load balancer's address there is no fault to inject, and Inject must return an error")
	}
}

func TestCorefileIsPutBack(t *testing.T) {
	lab := newFakeLab(t)
	scene, err := Look(t.Context(), lab, "ns")
	if err != nil {
		t.Fatal(err)
	}
	read := func() string {
		config, err := lab.client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return config.Data["Corefile"]
	}
	fault := aliasChanged("www.example.com")
	if err := fault.Inject(t.Context(), lab, scene); err != nil {
		t.Fatal(err)
	}
	text := read()
	for _, want := range []string{".:53 {\n    # svclab-mutant: begin\n    template IN ANY cluster.local {\n", `match "^my-service\.ns\.svc\.cluster\.local\.$"`,
		`answer "{{ .Name }} 5 IN CNAME www.example.com."`} {
		if !strings.Contains(text, want) {
			t.Errorf("the Corefile has no %q:\n%s", want, text)
		}
	}
	for range 2 { // the second time there is nothing to revert
		if err := fault.Revert(t.Context(), lab); err != nil {
			t.Fatal(err)
		}
		if text := read(); text != corefileText {
			t.Errorf("reverted, it is\n%s", text)
		}
	}
	d, err := lab.client.AppsV1().Deployments("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil || len(d.Spec.Template.Annotations) > 0 {
		t.Errorf("reverted, CoreDNS's pods have the annotations %v (%v)", d.Spec.Template.Annotations, err)
	}
}

func TestWithLines(t *testing.T) {
	if _, err := withLines("# nothing\n", "    x\n"); err == nil {
		t.Error("a Corefile without a server block was changed")
	}
	if _, err := withLines(".:53 {\n"+corefileBegin+"}\n", ""); err == nil {
		t.Error("lines without an end were taken for a mutant's")
	}
}

func TestDNSReplicasComeBack(t *testing.T) {
	lab := newFakeLab(t)
	deployments := lab.client.AppsV1().Deployments("kube-system")
	if err := patch(t.Context(), deployments.Patch, "coredns", `{"metadata":{"annotations":{"svclab.io/mutant-replicas":"2"}},"spec":{"replicas":0}}`); err != nil {
		t.Fatal(err)
	}
	if err := dnsDown().Revert(t.Context(), lab); err != nil {
		t.Fatal(err)
	}
	d, err := deployments.Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 2 || len(d.Annotations) > 0 {
		t.Errorf("reverted, CoreDNS has %d replicas and annotations %v (%v)", *d.Spec.Replicas, d.Annotations, err)
	}
}
