package main

import (
	"bufio"
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
	// syncedPoll is the pause between two looks: kube-proxy tells its state to who asks, and nobody else.
	syncedPoll = 200 * time.Millisecond
	// syncedHold is how long nothing may be pending, at least, before no sync is thought to be under way: one takes
	// its changes when it begins, and does not tell that it runs. Where syncs take long it is holdSyncs times what one
	// takes on average, and holdMost at most.
	syncedHold = 500 * time.Millisecond
	holdSyncs  = 8
	holdMost   = 5 * time.Second
	syncedMost = time.Minute
	// metricsMost is far above what kube-proxy's metrics take.
	metricsMost = 16 << 20
)

// The metrics of kube-proxy that are read, each one series for an IP family (or without one, in older versions).
// Source: pkg/proxy/metrics/metrics.go of Kubernetes.
const (
	metricQueued           = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"
	metricSynced           = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
	metricServicesPending  = "kubeproxy_sync_proxy_rules_service_changes_pending"
	metricEndpointsPending = "kubeproxy_sync_proxy_rules_endpoint_changes_pending"
	metricSyncsTook        = "kubeproxy_sync_proxy_rules_duration_seconds_sum"
	metricSyncs            = "kubeproxy_sync_proxy_rules_duration_seconds_count"
)

var metrics = []string{metricQueued, metricSynced, metricServicesPending, metricEndpointsPending, metricSyncsTook, metricSyncs}

// synced waits until the node's kube-proxy has written every change it knows of, and prints a wire.Synced. That
// kube-proxy cannot be asked is an answer too: not every cluster has one.
func synced(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var (
		set  = flag.NewFlagSet("prober synced", flag.ContinueOnError)
		url  = set.String("metrics", "http://127.0.0.1:10249/metrics", "where kube-proxy serves its metrics")
		wait = set.Duration("wait", 10*time.Second, "how long to wait at most")
	)
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		return badInput{err}
	}
	if set.NArg() > 0 || *wait <= 0 || *wait > syncedMost {
		return badf("synced wants --wait of more than nothing and at most %s, got %q", syncedMost, args)
	}
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	began := time.Now()
	done, why := awaitSync(ctx, *url)
	return json.NewEncoder(stdout).Encode(wire.Synced{Done: done, Waited: time.Since(began), Why: why})
}

// awaitSync looks until all that was pending when it began is written. A sync takes the pending changes when it begins
// and sets its time stamp when it ends, and one follows the other. So once nothing is pending, what was asked for is in
// the rules or in a sync under way; a time stamp later than that look tells that this one has ended, and where none
// comes for as long as syncs may take and none is asked for, there was none. Changes that come in later are somebody else's.
func awaitSync(ctx context.Context, url string) (done bool, why string) {
	var quiet time.Time // when nothing was pending for the first time
	for {
		now := time.Now()
		state, err := proxyState(ctx, url)
		busy, hold := state.busy(), state.hold()
		switch {
		case err != nil && ctx.Err() != nil:
			return false, "kube-proxy did not answer in time"
		case err != nil:
			return false, err.Error()
		case quiet.IsZero() && !busy:
			quiet = now
		case !quiet.IsZero() && state.written(seconds(quiet), now.Sub(quiet) >= hold):
			return true, ""
		}
		if busy {
			why = state.why(seconds(now))
		}
		next := syncedPoll
		if !busy { // kube-proxy pays for each look, so it is the last if it shows the same
			next = max(next, hold-time.Since(quiet))
		}
		select {
		case <-time.After(next):
		case <-ctx.Done():
			return false, why
		}
	}
}

// proxyStatus is what kube-proxy says: how many changes are pending, how many syncs there were and how many seconds they
// took in all, and of each IP family's rules when a sync was asked for and when one ended, in seconds since 1970 by the
// node's clock. A family is synced when one of its own Services changes; until v1.35 a cluster of one family has a
// second one that hardly ever is.
type proxyStatus struct {
	pending  float64
	syncs    float64
	took     float64
	families map[string]*familyStatus // by the series' labels
}

type familyStatus struct{ queued, synced float64 }

// idle reports whether no sync is asked for that has not ended.
func (f *familyStatus) idle() bool { return f.queued <= f.synced }

func (s proxyStatus) busy() bool {
	for _, f := range s.families {
		if !f.idle() {
			return true
		}
	}
	return s.pending > 0
}

// hold is how long a sync may take that does not tell that it runs: much longer than they take on average, as a machine
// that is busy is not equally so all the time.
func (s proxyStatus) hold() time.Duration {
	if s.syncs <= 0 {
		return syncedHold
	}
	long := time.Duration(holdSyncs * s.took / s.syncs * float64(time.Second))
	return min(max(long, syncedHold), holdMost)
}

// written reports whether what was taken by the time since is in the rules of every family; held is whether a sync that
// was under way then would have ended.
func (s proxyStatus) written(since float64, held bool) bool {
	for _, f := range s.families {
		if f.synced <= since && (!held || !f.idle()) {
			return false
		}
	}
	return true
}

// why says what a busy kube-proxy has not done.
func (s proxyStatus) why(now float64) string {
	last := now
	for _, f := range s.families {
		if !f.idle() {
			last = min(last, f.synced)
		}
	}
	if last == now {
		return fmt.Sprintf("%g changes are pending, and no sync is asked for", s.pending)
	}
	return fmt.Sprintf("%g changes are pending, the last sync was %.1f s ago", s.pending, now-last)
}

func proxyState(ctx context.Context, url string) (proxyStatus, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return proxyStatus{}, badInput{err}
	}
	request.Header.Set("Accept-Encoding", "identity") // to pack it costs more than to send it over loopback
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return proxyStatus{}, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return proxyStatus{}, fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return parseStatus(io.LimitReader(response.Body, metricsMost))
}

// parseStatus reads metrics in Prometheus's text format: a name, labels in braces, a blank, a value.
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
		return proxyStatus{}, fmt.Errorf("these are not the metrics of a kube-proxy: %d of %d are there", len(seen), len(metrics))
	}
	return status, nil
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
