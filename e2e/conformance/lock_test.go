package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/svclab/svclab/e2e/cluster"
)

// lockServer is an API server that refuses to update a Lease from a stale version, as a true one does, and removes a
// namespace with what is in it.
func lockServer() *fake.Clientset {
	client := fake.NewClientset()
	var mu sync.Mutex
	version, current := 0, ""
	stamp := func(lease *coordinationv1.Lease) {
		version++
		current = strconv.Itoa(version)
		lease.ResourceVersion = current
	}
	client.PrependReactor("create", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		lease := action.(clienttesting.CreateAction).GetObject().(*coordinationv1.Lease).DeepCopy()
		if current != "" {
			return true, nil, apierrors.NewAlreadyExists(action.GetResource().GroupResource(), lease.Name)
		}
		stamp(lease)
		return true, lease, client.Tracker().Create(action.GetResource(), lease, lease.Namespace)
	})
	client.PrependReactor("update", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		lease := action.(clienttesting.UpdateAction).GetObject().(*coordinationv1.Lease).DeepCopy()
		if lease.ResourceVersion != current {
			return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), lease.Name, errors.New("it is of version "+current))
		}
		stamp(lease)
		return true, lease, client.Tracker().Update(action.GetResource(), lease, lease.Namespace)
	})
	client.PrependReactor("delete", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		current = ""
		// the Lease may not be there: only the namespace was made
		_ = client.Tracker().Delete(coordinationv1.SchemeGroupVersion.WithResource("leases"), LockNamespace, lockName)
		return false, nil, nil
	})
	return client
}

// candidate is a run on a machine of its own. Its times are short; see TestLockTimes for the true ones.
func candidate(client *fake.Clientset, host string) lockCandidate {
	return lockCandidate{client: client, log: &bytes.Buffer{}, id: host + "/7/00000000",
		times: lockTimes{lease: 3 * time.Second, renew: time.Second, retry: 50 * time.Millisecond, gone: 2 * time.Second, poll: 10 * time.Millisecond}}
}

func nothing(context.Context) error { return nil }

// leftOf are the namespaces that are there.
func leftOf(t *testing.T, client *fake.Clientset) (names []string) {
	t.Helper()
	list, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names
}

// A second run is refused soon, its error names the holder of the cluster, and takes nothing from the first.
func TestLockKeepsASecondRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := lockServer()
		first, release, err := candidate(client, "build-1").take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, _, err = candidate(client, "build-2").take(t.Context())
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it was refused after %s", took)
		}
		var problem *cluster.Problem
		if !errors.Is(err, cluster.ErrLocked) || !errors.As(err, &problem) || problem.ExitCode() != 2 {
			t.Fatalf("got %v", err)
		}
		for _, want := range []string{"process 7 on build-1", time.Now().UTC().Format("since 2006-01-02"), "fix: wait until it has ended"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %q", want, err)
			}
		}
		if first.Err() != nil {
			t.Errorf("the first run ended: %v", context.Cause(first))
		}
		removed := false
		if err := release(t.Context(), func(ctx context.Context) error {
			removed = true
			if _, _, err := candidate(client, "build-3").take(ctx); !errors.Is(err, cluster.ErrLocked) {
				t.Errorf("while the first removes what it made, a third run gets %v", err)
			}
			return nil
		}); err != nil || !removed {
			t.Errorf("released: %v, removed %v", err, removed)
		}
		if left := leftOf(t, client); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		if _, release, err = candidate(client, "build-2").take(t.Context()); err != nil {
			t.Fatalf("the next run: %v", err)
		}
		if err := release(t.Context(), nothing); err != nil {
			t.Error(err)
		}
	})
}

// kill leaves a Lease as a killed run does: with a time of renewal far ahead, as of a machine whose clock is wrong.
func kill(t *testing.T, client *fake.Clientset) {
	t.Helper()
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: LockNamespace, UID: "u",
		Labels: map[string]string{"app.kubernetes.io/managed-by": "svclab"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	who, ahead, seconds := "dead/1/00000000", metav1.NewMicroTime(time.Now().Add(time.Hour)), int32(3)
	if _, err := client.CoordinationV1().Leases(LockNamespace).Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: lockName, Namespace: LockNamespace},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &who, AcquireTime: &ahead, RenewTime: &ahead, LeaseDurationSeconds: &seconds}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// The lock of a run that was killed is taken over, whatever its clock was, by one run of those that want it.
func TestLockOfAKilledRunIsTakenOverOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := lockServer()
		kill(t, client)
		const rivals = 5
		var (
			all      sync.WaitGroup
			mu       sync.Mutex
			releases []Release
			refused  int
			began    = time.Now()
		)
		for i := range rivals {
			all.Go(func() {
				c := candidate(client, fmt.Sprintf("build-%d", i))
				_, release, err := c.take(t.Context())
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					releases = append(releases, release)
					if said := c.log.(*bytes.Buffer).String(); !strings.Contains(said, "process 1 on dead") || !strings.Contains(said, "unless it is renewed within") {
						t.Errorf("it said %q", said)
					}
				case errors.Is(err, cluster.ErrLocked):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took < 3*time.Second {
			t.Errorf("it was taken over after %s already", took)
		}
		if len(releases) != 1 || refused != rivals-1 {
			t.Fatalf("%d runs have the lock, %d were refused", len(releases), refused)
		}
		if err := releases[0](t.Context(), nothing); err != nil {
			t.Error(err)
		}
	})
}

// A run that has lost its lock, as after its machine slept, ends, and removes nothing that the other run may have made.
func TestLockThatIsLostEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := lockServer()
		locked, release, err := candidate(client, "asleep").take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for {
			lease, err := client.CoordinationV1().Leases(LockNamespace).Get(t.Context(), lockName, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			who := "awake/9/00000000"
			lease.Spec.HolderIdentity = &who
			if _, err = client.CoordinationV1().Leases(LockNamespace).Update(t.Context(), lease, metav1.UpdateOptions{}); err == nil {
				break
			} else if !apierrors.IsConflict(err) {
				t.Fatal(err)
			}
		}
		select {
		case <-locked.Done():
		case <-time.After(5 * time.Second):
			t.Fatal("the run goes on")
		}
		err = release(t.Context(), func(context.Context) error {
			t.Error("it removed what is the other's")
			return nil
		})
		if !errors.Is(err, errLockLost) || !strings.Contains(err.Error(), "process 9 on awake") {
			t.Errorf("got %v", err)
		}
		if left := leftOf(t, client); len(left) != 1 {
			t.Errorf("the other's lock is gone: %v", left)
		}
	})
}

// Where only the API server was away for a while, the run ends and still removes what it made.
func TestLockThatCouldNotBeRenewedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := lockServer()
		var mu sync.Mutex
		away := false
		client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			mu.Lock()
			defer mu.Unlock()
			return away, nil, errors.New("nobody answers")
		})
		set := func(to bool) { mu.Lock(); away = to; mu.Unlock() }
		locked, release, err := candidate(client, "build-1").take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		set(true)
		select {
		case <-locked.Done():
		case <-time.After(5 * time.Second):
			t.Fatal("the run goes on")
		}
		if cause := context.Cause(locked); !errors.Is(cause, errLockLost) || !strings.Contains(cause.Error(), "nobody answers") {
			t.Errorf("it ended by %v", cause)
		}
		set(false)
		removed := false
		if err := release(t.Context(), func(context.Context) error { removed = true; return nil }); err != nil || !removed {
			t.Errorf("got %v, removed %v", err, removed)
		}
		if left := leftOf(t, client); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A run that is ending is waited for: no run is refused by a lock that is being removed.
func TestLockThatIsGoingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := lockServer()
		now := metav1.Now()
		going := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: LockNamespace, UID: "old", DeletionTimestamp: &now, Finalizers: []string{"kubernetes"},
			Labels: map[string]string{"app.kubernetes.io/managed-by": "svclab"}}}
		if err := client.Tracker().Add(going); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() {
			if err := client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("namespaces"), "", LockNamespace); err != nil {
				t.Error(err)
			}
		})
		_, release, err := candidate(client, "next").take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := release(t.Context(), nothing); err != nil {
			t.Error(err)
		}
	})
}

func TestLockNamespaceOfSomebodyElse(t *testing.T) {
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: LockNamespace}})
	if _, _, err := candidate(client, "build-1").take(t.Context()); !errors.Is(err, cluster.ErrForeignCluster) {
		t.Errorf("got %v", err)
	}
}

// A run that is cancelled while it looks at a dead run's lock does not wait on.
func TestLockIsNotWaitedForAfterCtrlC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := lockServer()
		kill(t, client)
		ctx, cancel := context.WithCancelCause(t.Context())
		pressed := errors.New("Ctrl-C")
		time.AfterFunc(50*time.Millisecond, func() { cancel(pressed) })
		began := time.Now()
		if _, _, err := candidate(client, "build-1").take(ctx); !errors.Is(err, pressed) || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// A holder that cannot renew must have given up before another may take over, and a living holder must renew well within the
// time after which it is taken for dead.
func TestLockTimes(t *testing.T) {
	times := defaultLockTimes()
	if times.renew >= times.lease || 5*times.retry > times.renew {
		t.Errorf("%+v", times)
	}
}
