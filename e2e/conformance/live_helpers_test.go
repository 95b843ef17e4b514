//go:build e2e

package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/svclab/svclab/e2e/report"
)

// ours selects what svclab made.
const ours = "app.kubernetes.io/managed-by=svclab"

// lab is the foreign cluster and the command.
type lab struct {
	svclab, kubeconfig string
	config             *rest.Config
	client             kubernetes.Interface
}

// svclabBinary is the command under test; it runs in the checkout, where it finds its prober's source.
func svclabBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SVCLAB_BIN")
	if path == "" {
		t.Fatal("SVCLAB_BIN does not name the svclab command; run make conformance-test")
	}
	return path
}

func foreign(t *testing.T) lab {
	t.Helper()
	l := lab{svclab: svclabBinary(t), kubeconfig: os.Getenv("SVCLAB_FOREIGN")}
	if l.kubeconfig == "" {
		t.Fatal("SVCLAB_FOREIGN does not name a kubeconfig; run make conformance-test")
	}
	var err error
	if l.config, err = clientcmd.BuildConfigFromFlags("", l.kubeconfig); err != nil {
		t.Fatal(err)
	}
	if l.client, err = kubernetes.NewForConfig(l.config); err != nil {
		t.Fatal(err)
	}
	return l
}

// result is what a run of the command left.
type result struct {
	exit        int
	out, err    string
	conformance report.Conformance
	took        time.Duration
}

// start begins a run; wait ends it.
func start(t *testing.T, svclab string, args ...string) (cmd *exec.Cmd, wait func() result) {
	t.Helper()
	folder := t.TempDir()
	cmd = exec.Command(svclab, append([]string{"conformance", "--output", folder}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	// the ambient kubeconfig must not be looked at: what stands there is no kubeconfig
	cmd.Env = append(os.Environ(), "KUBECONFIG=/nonexistent/ambient")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() result {
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		r := result{exit: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String(), took: time.Since(began)}
		if file, err := os.Open(filepath.Join(folder, report.ConformanceYAMLFile)); err == nil {
			defer file.Close()
			if r.conformance, err = report.DecodeConformance(file); err != nil {
				t.Fatal(err)
			}
		}
		if keep := os.Getenv("SVCLAB_KEEP_REPORTS"); keep != "" && r.conformance.Profile != "" {
			if err := os.CopyFS(filepath.Join(keep, strings.ReplaceAll(t.Name(), "/", "-")), os.DirFS(folder)); err != nil {
				t.Log(err)
			}
		}
		return r
	}
}

func run(t *testing.T, svclab string, args ...string) result {
	t.Helper()
	_, wait := start(t, svclab, args...)
	return wait()
}

// visit runs explain or trace on the cluster, without an engine.
func (l lab) visit(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.Command(l.svclab, append(args, "--kubeconfig", l.kubeconfig)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "KUBECONFIG=/nonexistent/ambient", "DOCKER_HOST=unix:///nonexistent/docker.sock")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{exit: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
}

// left are the namespaces and cluster-scoped objects of svclab's in the cluster.
func (l lab) left(t *testing.T) []string {
	t.Helper()
	var names []string
	namespaces, err := l.client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range namespaces.Items {
		names = append(names, "namespace "+n.Name)
	}
	ranges, err := l.client.NetworkingV1().ServiceCIDRs().List(t.Context(), metav1.ListOptions{LabelSelector: ours})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ranges.Items {
		names = append(names, "servicecidr "+r.Name)
	}
	return names
}

// begun reports whether a run has begun its first scenario.
func (l lab) begun(ctx context.Context) bool {
	return l.has(ctx, ",svclab.io/scenario,svclab.io/scenario!=preflight")
}

// trying reports whether a run finds out what the cluster admits.
func (l lab) trying(ctx context.Context) bool { return l.has(ctx, ",svclab.io/scenario=preflight") }

func (l lab) has(ctx context.Context, selector string) bool {
	list, err := l.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: ours + selector})
	return err == nil && len(list.Items) > 0
}

func (l lab) mustBeClean(t *testing.T) {
	t.Helper()
	if left := l.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// await polls, for what another process does, until done or the time is over.
func await(t *testing.T, what string, done func(context.Context) bool) {
	t.Helper()
	const within = 5 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for began := time.Now(); !done(ctx); began = time.Now() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", within, what)
		case <-time.After(max(200*time.Millisecond, 3*time.Since(began))): // a long list is not asked for all the time
		}
	}
}

func writeKubeconfig(t *testing.T, server, token string, ca []byte) string {
	t.Helper()
	file := api.NewConfig()
	file.Clusters["c"] = &api.Cluster{Server: server, CertificateAuthorityData: ca, InsecureSkipTLSVerify: ca == nil}
	file.AuthInfos["u"] = &api.AuthInfo{Token: token}
	file.Contexts["narrow"] = &api.Context{Cluster: "c", AuthInfo: "u"}
	file.CurrentContext = "narrow"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		t.Fatal(err)
	}
	return path
}
