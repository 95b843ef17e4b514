package learn

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/manifests"
)

// build, fix and predict are the exercises of the tests' course, one of each kind.
const (
	build   = "01-first-clusterip"
	fix     = "04-wrong-target-port"
	predict = "07-no-container-port"
)

// smallCourse has three exercises.
func smallCourse(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{build, fix, predict} {
		err := fs.WalkDir(exercises.FS(), name, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := fs.ReadFile(exercises.FS(), path)
			files[path] = &fstest.MapFile{Data: data}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// fakeEnvironment is a lessons without a cluster. What its checks see is set by the test.
type fakeEnvironment struct {
	mu              sync.Mutex
	begun           []string
	missing, lacks  string
	single          bool
	broken, lost    []string
	down            error
	hand            string
	check           func(ctx context.Context) (coach.Seen, error)
	checks, begins  int
	left            [][]string
	objects         []runner.Snapshot
	client          *fake.FakeDynamicClient
	watchedResource []lesson.Watched
}

var _ lessons = (*fakeEnvironment)(nil)

func (r *fakeEnvironment) Lacks(_ context.Context, e course.Exercise) (string, error) {
	if r.single && slices.Contains(e.Needs.Features, scenario.DualStack) {
		return "needs dualStack: one family", nil
	}
	return r.lacks, nil
}

func (r *fakeEnvironment) Begin(_ context.Context, _ course.Exercise, namespace string) error {
	r.begins++
	r.missing = ""
	r.begun = append(r.begun, namespace)
	return nil
}

func (r *fakeEnvironment) Check(ctx context.Context, _ course.Exercise, _ string) (coach.Seen, error) {
	r.mu.Lock()
	r.checks++
	r.mu.Unlock()
	return r.check(ctx)
}

func (r *fakeEnvironment) Hand(context.Context, course.Exercise, string) (string, error) {
	return r.hand, nil
}

func (r *fakeEnvironment) Look(context.Context, course.Exercise, string) ([]runner.Snapshot, error) {
	return r.objects, nil
}

func (r *fakeEnvironment) Lost(context.Context, course.Exercise, string) ([]string, error) {
	return r.lost, nil
}

func (r *fakeEnvironment) Leave(_ context.Context, namespaces []string, _ bool) error {
	r.left = append(r.left, namespaces)
	r.begun = slices.DeleteFunc(r.begun, func(name string) bool { return slices.Contains(namespaces, name) })
	return nil
}

func (r *fakeEnvironment) Begun(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun, r.down
}

func (r *fakeEnvironment) Missing(context.Context, course.Exercise, string) (string, error) {
	return r.missing, nil
}

func (r *fakeEnvironment) Broken(context.Context) ([]string, error) { return r.broken, nil }

func (r *fakeEnvironment) Watch(ctx context.Context, _ course.Exercise, namespace string) (*lesson.Watch, error) {
	return lesson.Follow(ctx, r.client, namespace, r.watchedResource)
}

// see makes the room show objects where a reference is looked at.
func (r *fakeEnvironment) see(ref scenario.Ref, objects ...*unstructured.Unstructured) {
	r.objects = append(r.objects, runner.Snapshot{Ref: ref, Objects: objects})
}

// seen is what a check saw of an exercise whose goal has one table: it came out so.
func seen(result reach.Result, why string) coach.Seen {
	return coach.Seen{Verdict: reach.Verdict{Result: result, Steps: []reach.Step{{Name: "reached", Result: result, Why: why}}}}
}

func sees(s coach.Seen) func(context.Context) (coach.Seen, error) {
	return func(context.Context) (coach.Seen, error) { return s, nil }
}

var servicesResource = schema.GroupVersionResource{Version: "v1", Resource: "services"}

// service is my-service of exercise 04.
func service(targetPort int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": "my-service", "namespace": "learn-04"},
		"spec":     map[string]any{"ports": []any{map[string]any{"port": int64(80), "targetPort": targetPort}}}}}
}

// testSession is a session in a fake environment, with the small course and a new state folder. Its output is one buffer.
func testSession(t *testing.T, in io.Reader, f flags) (*session, *fakeEnvironment, *syncBuffer) {
	t.Helper()
	if os.Getenv("XDG_STATE_HOME") == "" { // else the test has one, in which there is something
		t.Setenv("XDG_STATE_HOME", t.TempDir())
	}
	out := &syncBuffer{}
	a := &console.App{Streams: console.Streams{In: in, Out: out, Err: out}, Manifests: manifests.FS(), Exercises: smallCourse(t)}
	d, err := newSession(a, Command(a), &f)
	if err != nil {
		t.Fatal(err)
	}
	r := &fakeEnvironment{check: sees(seen(reach.Fail, "no pod answers")), watchedResource: []lesson.Watched{{Resource: servicesResource, Namespace: "learn-04"}},
		client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{servicesResource: "ServiceList"}, service(8081))}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.Config{Contexts: map[string]*clientcmdapi.Context{"lab": {Cluster: "lab"}}, CurrentContext: "lab"}
	if err := clientcmd.WriteToFile(config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	d.find = func(context.Context) (*environment, error) {
		return &environment{lessons: r, values: course.Sample(), kubeconfig: kubeconfig, copyKubectl: "docker cp lab:/usr/bin/kubectl ."}, nil
	}
	return d, r, out
}
