package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/wait"
)

// LockNamespace holds the Lease with which one run excludes others from the cluster. It has no scenario's label, so that the
// removal of leftovers does not delete it.
const LockNamespace = "svclab-lock"

const lockName = "conformance"

// lockTimes are the intervals of a lock. A holder renews it after each retry, and gives up after renew without success. A
// candidate that observes no renewal for lease takes over. It measures that by its own clock from its first observation, so
// clocks need not agree. The elector distinguishes renewals by the second, and its lease is in whole seconds.
type lockTimes struct {
	lease, renew, retry time.Duration
	// gone bounds the deletion of the lock's namespace. poll is how often its state is read.
	gone, poll time.Duration
}

func defaultLockTimes() lockTimes {
	return lockTimes{lease: 30 * time.Second, renew: 20 * time.Second, retry: time.Second, gone: time.Minute, poll: 250 * time.Millisecond}
}

// Release ends a lock: remove takes away what the run has made, while the lock is still held, and then the lock goes.
// Where another run has taken the lock over, nothing is removed: it is the other's by then.
type Release func(ctx context.Context, remove func(context.Context) error) error

// Lock keeps other runs off the cluster until release is called. The context returned ends with ctx, and when the lock is
// lost, with the reason. The error is cluster.ErrLocked if a live run holds the lock. The lock of a killed run
// is taken over, which log reports. The lock's namespace has the extras.
func Lock(ctx context.Context, client kubernetes.Interface, extras cluster.Extras, log io.Writer) (locked context.Context, release Release, err error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	id := fmt.Sprintf("%s/%d/%08x", host, os.Getpid(), rand.Uint32())
	return lockCandidate{client: client, extras: extras, log: log, id: id, times: defaultLockTimes()}.take(ctx)
}

// lockCandidate is a run that wants the lock or holds it.
type lockCandidate struct {
	client kubernetes.Interface
	extras cluster.Extras
	log    io.Writer
	// id is HOST/PROCESS/RANDOM.
	id    string
	times lockTimes
}

var (
	errLockGoing = errors.New("the lock of a run that has ended is being removed")
	errLockLost  = errors.New("the cluster's lock was lost")
)

func (l lockCandidate) take(ctx context.Context) (context.Context, Release, error) {
	limit := l.times.lease + l.times.gone
	trying, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("waited %s for the lock in namespace %s", limit, LockNamespace))
	defer cancel()
	for {
		namespace, err := l.namespace(trying)
		if err != nil {
			return nil, nil, err
		}
		locked, release, err := l.elect(ctx, trying, namespace)
		if !errors.Is(err, errLockGoing) {
			return locked, release, err
		}
	}
}

// namespace creates the lock's namespace and returns its UID. It waits for the end of one that is being deleted.
func (l lockCandidate) namespace(ctx context.Context) (uid types.UID, err error) {
	namespaces := l.client.CoreV1().Namespaces()
	return uid, wait.For(ctx, "the namespace of the cluster's lock", func(ctx context.Context) (bool, string, error) {
		there, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: LockNamespace,
			Labels: labels.Merge(l.extras.Labels, labels.Set{runner.ManagedByLabel: runner.ManagedBy}), Annotations: l.extras.Annotations}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			there, err = namespaces.Get(ctx, LockNamespace, metav1.GetOptions{})
		}
		switch {
		case apierrors.IsNotFound(err):
			return false, "it is gone", nil
		case err != nil:
			return false, "", fmt.Errorf("create it: %w", cluster.Refused(err))
		case there.Labels[runner.ManagedByLabel] != runner.ManagedBy:
			return false, "", &cluster.Problem{Kind: cluster.ErrForeignCluster, Fix: "remove or rename it: the lock of a run needs that name",
				What: fmt.Sprintf("the namespace %s exists, and svclab did not create it", LockNamespace)}
		}
		uid = there.UID
		return there.DeletionTimestamp == nil, "it is being deleted", nil
	}, wait.Every(l.times.poll))
}

// elect waits until this candidate holds the lock or cannot get it.
func (l lockCandidate) elect(ctx, trying context.Context, namespace types.UID) (context.Context, Release, error) {
	electing, stop := context.WithCancelCause(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	lease := &watchedLease{stop: stop, log: l.log, times: l.times, Interface: &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: LockNamespace, Name: lockName}, Client: l.client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: l.id}, Labels: map[string]string{runner.ManagedByLabel: runner.ManagedBy}}}
	taken, ended := make(chan struct{}), make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{Lock: lease, Name: lockName,
		LeaseDuration: l.times.lease, RenewDeadline: l.times.renew, RetryPeriod: l.times.retry,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(taken) }, OnStoppedLeading: func() {}}})
	if err != nil {
		stop(err)
		return nil, nil, fmt.Errorf("lock the cluster: %w", err)
	}
	locked, lose := context.WithCancelCause(ctx)
	go func() {
		elector.Run(electing)
		why := cmp.Or(context.Cause(electing), errors.Join(fmt.Errorf("%w: not renewed for %s", errLockLost, l.times.renew), lease.failed))
		close(ended) // first: who hears that the lock is lost must not remove anything by it
		lose(why)
	}()
	select {
	case <-taken:
	case <-ended:
	case <-trying.Done():
		stop(context.Cause(trying))
		<-ended
		if !elector.IsLeader() { // it may have got the lock in the meantime
			return nil, nil, errors.Join(context.Cause(electing), lease.failed)
		}
	}
	select {
	case <-ended:
		if !elector.IsLeader() {
			return nil, nil, context.Cause(electing)
		}
	default:
	}
	return locked, func(ctx context.Context, remove func(context.Context) error) error {
		select {
		case <-ended: // the lock was not renewed for a while, but no other run may have taken it
			if err := l.renew(ctx, lease.Interface); err != nil {
				return fmt.Errorf("the next run must remove what this run created: %w", err)
			}
		default:
		}
		err := remove(ctx)
		stop(context.Canceled)
		<-ended
		if held := l.renew(ctx, lease.Interface); held != nil {
			return errors.Join(err, held)
		}
		return errors.Join(err, l.drop(ctx, namespace))
	}, nil
}

// renew renews the lock once, after the elector has ended. Its error names another holder.
func (l lockCandidate) renew(ctx context.Context, lease resourcelock.Interface) error {
	record, _, err := lease.Get(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errLockLost, err)
	}
	if record.HolderIdentity != l.id {
		return fmt.Errorf("%w: %w", errLockLost, heldBy(*record, l.times))
	}
	record.RenewTime = metav1.Now()
	if err := lease.Update(ctx, *record); err != nil {
		return fmt.Errorf("%w: %w", errLockLost, err)
	}
	return nil
}

// drop deletes the lock with its namespace and waits for the end of the deletion. It does not delete the Lease first: nothing
// can be created in a terminating namespace, so the deletion cannot remove the Lease of another run.
func (l lockCandidate) drop(ctx context.Context, namespace types.UID) error {
	namespaces := l.client.CoreV1().Namespaces()
	err := namespaces.Delete(ctx, LockNamespace, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &namespace}})
	if err == nil {
		err = wait.For(ctx, "its end", func(ctx context.Context) (bool, string, error) {
			left, err := namespaces.Get(ctx, LockNamespace, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, "", nil
			}
			return err == nil && left.UID != namespace, "it is being deleted", err
		}, wait.Every(l.times.poll), wait.Timeout(l.times.gone))
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the lock's namespace %s: %w", LockNamespace, err)
	}
	return nil
}

// watchedLease is a Lease that calls stop with the reason when waiting for it is useless.
type watchedLease struct {
	resourcelock.Interface
	stop  context.CancelCauseFunc
	log   io.Writer
	times lockTimes
	// other is the last observed record of another run. mine reports that this run held the lock before. failed is the last
	// error.
	other  *resourcelock.LeaderElectionRecord
	mine   bool
	failed error
}

// Get implements resourcelock.Interface. If another run's record changes, that run is alive.
func (w *watchedLease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := w.Interface.Get(ctx)
	switch {
	case err != nil:
		w.note(err)
	case record.HolderIdentity == "" || record.HolderIdentity == w.Identity():
		w.other = nil
	case w.mine:
		w.stop(fmt.Errorf("%w: %w", errLockLost, heldBy(*record, w.times)))
	case w.other == nil:
		_, _ = fmt.Fprintf(w.log, "svclab: %s; its lock is taken over unless it is renewed within %s\n", claim(*record), w.times.lease)
		w.other = record
	case w.other.HolderIdentity != record.HolderIdentity || !w.other.RenewTime.Equal(&record.RenewTime):
		w.stop(heldBy(*record, w.times))
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (w *watchedLease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := w.Interface.Create(ctx, record)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		w.stop(errLockGoing)
	}
	w.mine = w.mine || err == nil
	w.note(err)
	return err
}

// Update implements resourcelock.Interface.
func (w *watchedLease) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := w.Interface.Update(ctx, record)
	w.mine = w.mine || err == nil
	w.note(err)
	return err
}

func (w *watchedLease) note(err error) {
	if err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return
	}
	w.failed = err
	if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		w.stop(fmt.Errorf("lock the cluster: %w", err))
	}
}

// heldBy returns the error that another run holds the cluster.
func heldBy(record resourcelock.LeaderElectionRecord, times lockTimes) error {
	return &cluster.Problem{Kind: cluster.ErrLocked, What: claim(record), Fix: fmt.Sprintf(
		"wait until it has ended, or stop it there; after a kill its lock is taken over after %s", times.lease)}
}

// claim describes the holder of the lock and since when it holds it.
func claim(record resourcelock.LeaderElectionRecord) string {
	who := record.HolderIdentity
	if parts := strings.Split(who, "/"); len(parts) == 3 {
		who = fmt.Sprintf("process %s on %s", parts[1], parts[0])
	}
	return fmt.Sprintf("another run of svclab holds this cluster: %s, since %s by its clock", who, record.AcquireTime.UTC().Format("2006-01-02 15:04:05 UTC"))
}
