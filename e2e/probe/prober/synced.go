package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

const (
	// syncedPoll is the pause between two looks: kube-proxy tells its state to who asks, and nobody else.
	syncedPoll = 200 * time.Millisecond
	// syncedHold is how long nothing may be pending before no sync is thought to be under way: one takes its
	// changes when it begins, and does not tell that it runs.
	syncedHold = 500 * time.Millisecond
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
)

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
// comes for syncedHold and nothing is pending, there was none. Changes that come in later are somebody else's.
func awaitSync(ctx context.Context, url string) (done bool, why string) {
	var quiet time.Time // when nothing was pending for the first time
	for {
		now := time.Now()
		state, err := proxyState(ctx, url)
		busy := state.pending > 0 || state.queued > state.synced
		switch {
		case err != nil && ctx.Err() != nil:
			return false, "kube-proxy did not answer in time"
		case err != nil:
			return false, err.Error()
		case quiet.IsZero() && !busy:
			quiet = now
		case !quiet.IsZero() && state.synced > seconds(quiet), !quiet.IsZero() && !busy && now.Sub(quiet) >= syncedHold:
			return true, ""
		}
		if busy {
			why = fmt.Sprintf("%g changes are pending, the last sync was %.1f s ago", state.pending, seconds(now)-state.synced)
		}
		next := syncedPoll
		if !busy { // kube-proxy pays for each look, so it is the last if it shows the same
			next = max(next, syncedHold-time.Since(quiet))
		}
		select {
		case <-time.After(next):
		case <-ctx.Done():
			return false, why
		}
	}
}

// proxyStatus is what kube-proxy says, the times in seconds since 1970 by the node's clock, the least of its IP
// families' syncs and the latest of their requests.
type proxyStatus struct{ pending, queued, synced float64 }

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
		status proxyStatus
		seen   = map[string]bool{}
		lines  = bufio.NewScanner(r)
	)
	lines.Buffer(nil, metricsMost)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if name != metricQueued && name != metricSynced && name != metricServicesPending && name != metricEndpointsPending {
			continue
		}
		value, err := strconv.ParseFloat(rest, 64)
		if err != nil {
			return proxyStatus{}, fmt.Errorf("read metric %s: %w", name, err)
		}
		switch name {
		case metricQueued:
			status.queued = max(status.queued, value)
		case metricSynced:
			if !seen[name] || value < status.synced {
				status.synced = value
			}
		default:
			status.pending += value
		}
		seen[name] = true
	}
	if err := lines.Err(); err != nil {
		return proxyStatus{}, fmt.Errorf("read the metrics: %w", err)
	}
	if len(seen) < 4 {
		return proxyStatus{}, fmt.Errorf("these are not the metrics of a kube-proxy: %d of 4 are there", len(seen))
	}
	return status, nil
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
