package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

const (
	// syncedPoll is the interval between two requests. kube-proxy offers only metrics, nothing to watch.
	syncedPoll = 200 * time.Millisecond
	// syncedHold is the minimum time without pending changes after which no sync can be running: a sync takes its changes
	// when it begins, and no metric shows that it runs. If syncs take long, the time is holdSyncs times their average
	// duration, at most holdMost.
	syncedHold = 500 * time.Millisecond
	holdSyncs  = 8
	holdMost   = 5 * time.Second
	syncedMost = time.Minute
	// metricsMost is far above the size of kube-proxy's metrics.
	metricsMost = 16 << 20
)

// The metrics of kube-proxy that the prober reads. Each has one series for each IP family, or one in older versions. Source: pkg/proxy/metrics/metrics.go of Kubernetes.
const (
	metricQueued           = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"
	metricSynced           = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
	metricServicesPending  = "kubeproxy_sync_proxy_rules_service_changes_pending"
	metricEndpointsPending = "kubeproxy_sync_proxy_rules_endpoint_changes_pending"
	metricSyncsTook        = "kubeproxy_sync_proxy_rules_duration_seconds_sum"
	metricSyncs            = "kubeproxy_sync_proxy_rules_duration_seconds_count"
)

var metrics = []string{metricQueued, metricSynced, metricServicesPending, metricEndpointsPending, metricSyncsTook, metricSyncs}

// synced waits until the node's kube-proxy has programmed every change that it knows, and prints a wire.Synced. A node
// without kube-proxy is a result too, not an error: not every cluster has one.
func synced(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var (
		set  = flag.NewFlagSet("prober synced", flag.ContinueOnError)
		url  = set.String("metrics", "http://127.0.0.1:10249/metrics", "URL of kube-proxy's metrics")
		wait = set.Duration("wait", 10*time.Second, "maximum time to wait")
	)
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		return badInput{err}
	}
	if set.NArg() > 0 || *wait <= 0 || *wait > syncedMost {
		return badf("synced wants a positive --wait of at most %s and no arguments, got %q", syncedMost, args)
	}
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	began := time.Now()
	done, busy, why := awaitSync(ctx, *url)
	return json.NewEncoder(stdout).Encode(wire.Synced{Done: done, Behind: busy, Waited: time.Since(began), Why: why})
}

// awaitSync polls until all changes that were pending at its start are programmed. Syncs run one after the other. A sync
// takes the pending changes when it begins and sets its time stamp when it ends. So when nothing is pending, the changes are
// in the rules or in a running sync. A later time stamp proves that this sync has ended. If none appears within the longest
// duration of a sync, and none is queued, no sync was running. Changes that arrive later do not matter to the caller. behind is
// how long after the start changes were last seen to be pending, before nothing was.
func awaitSync(ctx context.Context, url string) (done bool, behind time.Duration, why string) {
	var (
		idleSince time.Time // when nothing was pending for the first time
		began     = time.Now()
	)
	for {
		now := time.Now()
		state, err := proxyState(ctx, url)
		busy, hold := state.busy(), state.hold()
		switch {
		case err != nil && ctx.Err() != nil: // what it said before is the reason, if it has answered
			return false, behind, cmp.Or(why, "kube-proxy did not answer in time")
		case err != nil:
			return false, behind, err.Error()
		case idleSince.IsZero() && !busy:
			idleSince = now
		case !idleSince.IsZero() && state.programmed(seconds(idleSince), now.Sub(idleSince) >= hold):
			return true, behind, ""
		}
		if busy {
			why = state.why(seconds(now))
			if idleSince.IsZero() {
				behind = now.Sub(began)
			}
		}
		next := syncedPoll
		if !busy { // each request costs kube-proxy CPU time, so the next one comes when it can be the last
			next = max(next, hold-time.Since(idleSince))
		}
		select {
		case <-time.After(next):
		case <-ctx.Done():
			return false, behind, why
		}
	}
}

// proxyStatus is parsed from kube-proxy's metrics: the number of pending changes, the number and the total seconds of syncs,
// and for each IP family when a sync was last queued and when one last ended, in seconds since 1970 on the node's clock.
// kube-proxy syncs a family when one of its own Services changes. Until v1.35 a single-stack cluster has a second family
// that is almost never synced.
type proxyStatus struct {
	pending  float64
	syncs    float64
	took     float64
	families map[string]*familyStatus // by the series' labels
}

type familyStatus struct{ queued, synced float64 }

// idle reports whether every queued sync has ended.
func (f *familyStatus) idle() bool { return f.queued <= f.synced }

func (s proxyStatus) busy() bool {
	for _, f := range s.families {
		if !f.idle() {
			return true
		}
	}
	return s.pending > 0
}

// hold returns how long a running sync may take. That is much longer than the average, because the load of a machine
// changes.
func (s proxyStatus) hold() time.Duration {
	if s.syncs <= 0 {
		return syncedHold
	}
	long := time.Duration(holdSyncs * s.took / s.syncs * float64(time.Second))
	return min(max(long, syncedHold), holdMost)
}

// programmed reports whether the changes taken until since are in the rules of every family. held says that a sync that was
// running at that time must have ended.
func (s proxyStatus) programmed(since float64, held bool) bool {
	for _, f := range s.families {
		if f.synced <= since && (!held || !f.idle()) {
			return false
		}
	}
	return true
}

// why returns what a busy kube-proxy has not done yet.
func (s proxyStatus) why(now float64) string {
	last := now
	for _, f := range s.families {
		if !f.idle() {
			last = min(last, f.synced)
		}
	}
	if last == now {
		return fmt.Sprintf("%g changes are pending, and no sync is queued", s.pending)
	}
	return fmt.Sprintf("%g changes are pending, the last sync was %.1f s ago", s.pending, now-last)
}

func proxyState(ctx context.Context, url string) (proxyStatus, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return proxyStatus{}, badInput{err}
	}
	request.Header.Set("Accept-Encoding", "identity") // compression costs more than sending it over loopback
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return proxyStatus{}, err
	}
	defer func() { _ = response.Body.Close() }() // nothing was written, so nothing can be lost
	if response.StatusCode != http.StatusOK {
		return proxyStatus{}, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return parseStatus(io.LimitReader(response.Body, metricsMost))
}

// parseStatus parses metrics in Prometheus's text format: a name, labels in braces, a space, a value.
func parseStatus(r io.Reader) (proxyStatus, error) {
	var (
		status = proxyStatus{families: map[string]*familyStatus{}}
		seen   = map[string]bool{}
		lines  = bufio.NewScanner(r)
	)
	lines.Buffer(nil, metricsMost)
	for lines.Scan() {
		series, rest, _ := strings.Cut(lines.Text(), " ")
		name, labels, _ := strings.Cut(series, "{")
		if !slices.Contains(metrics, name) {
			continue
		}
		value, err := strconv.ParseFloat(rest, 64)
		if err != nil {
			return proxyStatus{}, fmt.Errorf("read metric %s: %w", name, err)
		}
		seen[name] = true
		family := status.families[labels]
		if family == nil {
			family = &familyStatus{}
		}
		switch name {
		case metricServicesPending, metricEndpointsPending:
			status.pending += value
		case metricSyncs:
			status.syncs += value
		case metricSyncsTook:
			status.took += value
		case metricQueued:
			family.queued, status.families[labels] = value, family
		case metricSynced:
			family.synced, status.families[labels] = value, family
		}
	}
	if err := lines.Err(); err != nil {
		return proxyStatus{}, fmt.Errorf("read the metrics: %w", err)
	}
	if len(seen) < len(metrics) {
		return proxyStatus{}, fmt.Errorf("not the metrics of a kube-proxy: %d of %d exist", len(seen), len(metrics))
	}
	return status, nil
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
