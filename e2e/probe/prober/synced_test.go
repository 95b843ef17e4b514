package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// proxy is a kube-proxy's metrics that a test can change.
type proxy struct {
	sync.Mutex
	pending        int
	queued, synced time.Time
	idle           time.Time     // when the other IP family was synced, if it is not at every change
	took           time.Duration // what each of its ten syncs took
}

func (p *proxy) set(pending int, queued, synced time.Time) {
	p.Lock()
	defer p.Unlock()
	p.pending, p.queued, p.synced = pending, queued, synced
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.Lock()
	defer p.Unlock()
	// two IP families; one is ahead: the other one counts
	other := 9e+12
	if !p.idle.IsZero() {
		other = seconds(p.idle)
	}
	_, _ = fmt.Fprintf(w, "# HELP x y\nother_metric 7\n%s{ip_family=\"IPv4\"} %.9f\n%[1]s{ip_family=\"IPv6\"} %[3]f\n", metricQueued, seconds(p.queued), other-1)
	_, _ = fmt.Fprintf(w, "%s{ip_family=\"IPv4\"} %.9f\n%[1]s{ip_family=\"IPv6\"} %[3]f\n", metricSynced, seconds(p.synced), other)
	_, _ = fmt.Fprintf(w, "%s{ip_family=\"IPv4\"} %d\n%s 0\n", metricServicesPending, p.pending, metricEndpointsPending)
	for _, family := range []string{"IPv4", "IPv6"} {
		_, _ = fmt.Fprintf(w, "%s{ip_family=%q} %f\n%s{ip_family=%[2]q} 5\n", metricSyncsTook, family, 5*p.took.Seconds(), metricSyncs)
	}
}

// runSynced runs the command and returns what it printed.
func runSynced(t *testing.T, url, wait string) wire.Synced {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"synced", "--metrics", url, "--wait", wait}, strings.NewReader(""), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var got wire.Synced
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSyncedWaitsForWhatIsPending(t *testing.T) {
	var (
		p      = &proxy{}
		server = httptest.NewServer(p)
		now    = time.Now()
	)
	defer server.Close()
	p.set(1, now, now.Add(-time.Minute))
	if got := runSynced(t, server.URL, "300ms"); got.Done || !strings.Contains(got.Why, "1 changes are pending") {
		t.Errorf("with a change pending: %+v", got)
	}
	p.set(0, now, now.Add(-time.Minute)) // a sync has taken the change and has not ended
	if got := runSynced(t, server.URL, "1s"); got.Done {
		t.Errorf("while a sync is under way: %+v", got)
	}
	p.set(0, now.Add(-time.Minute), now)
	if got := runSynced(t, server.URL, "5s"); !got.Done || got.Waited < syncedHold {
		t.Errorf("with nothing pending: %+v; a sync may be under way until %s have passed", got, syncedHold)
	}
	ended := time.AfterFunc(200*time.Millisecond, func() { p.set(0, now, time.Now()) })
	defer ended.Stop()
	if got := runSynced(t, server.URL, "5s"); !got.Done || got.Waited >= syncedHold+syncedPoll {
		t.Errorf("when a sync ends after nothing was pending, all is written: %+v", got)
	}
}

// On a busy cluster something is pending at nearly every look: what others change later is not waited for.
func TestSyncedIsNotHeldUpByLaterChanges(t *testing.T) {
	var (
		p      = &proxy{}
		server = httptest.NewServer(p)
		began  = time.Now()
	)
	defer server.Close()
	p.set(0, began.Add(-time.Second), began)
	later := time.AfterFunc(150*time.Millisecond, func() { p.set(3, time.Now(), began) })
	defer later.Stop()
	if got := runSynced(t, server.URL, "1s"); got.Done {
		t.Errorf("no sync has ended since nothing was pending, and one may be under way: %+v", got)
	}
	p.set(0, began.Add(-time.Second), began)
	later.Reset(150 * time.Millisecond)
	ended := time.AfterFunc(400*time.Millisecond, func() { p.set(3, time.Now(), time.Now().Add(-100*time.Millisecond)) })
	defer ended.Stop()
	if got := runSynced(t, server.URL, "5s"); !got.Done || got.Waited > 2*time.Second {
		t.Errorf("a sync has ended since, with what was pending then: %+v", got)
	}
}

// Until v1.35 kube-proxy keeps rules of both IP families on a cluster of one, and syncs those of the other once.
func TestSyncedLooksAtEachFamilyByItself(t *testing.T) {
	var (
		began  = time.Now()
		p      = &proxy{idle: began.Add(-time.Hour)}
		server = httptest.NewServer(p)
	)
	defer server.Close()
	p.set(0, began.Add(-time.Minute), began.Add(-30*time.Second))
	if got := runSynced(t, server.URL, "5s"); !got.Done || got.Behind != 0 || got.Waited > 3*time.Second {
		t.Errorf("nothing is pending in either family: %+v", got)
	}
	p.set(0, began, began.Add(-30*time.Second))
	if got := runSynced(t, server.URL, "1s"); got.Done || got.Behind < 300*time.Millisecond || !strings.Contains(got.Why, "the last sync was 3") {
		t.Errorf("the one that is used has a sync under way, begun 30 s after the last: %+v", got)
	}
	p.set(0, began.Add(-time.Minute), began)
	p.idle = began.Add(-time.Hour)
	later := time.AfterFunc(300*time.Millisecond, func() { p.set(2, time.Now().Add(-50*time.Millisecond), time.Now()) })
	defer later.Stop()
	if got := runSynced(t, server.URL, "5s"); !got.Done || got.Waited > 3*time.Second {
		t.Errorf("one family's sync has ended and the other has none to do, whatever came in since: %+v", got)
	}
}

// A sync that begins as the one before it ends does not show: its changes are no longer pending, and they were asked for
// before that end.
func TestSyncedHoldsAsLongAsSyncsTake(t *testing.T) {
	var (
		began  = time.Now()
		p      = &proxy{took: 100 * time.Millisecond}
		server = httptest.NewServer(p)
	)
	defer server.Close()
	p.set(0, began.Add(-20*time.Millisecond), began)
	ended := time.AfterFunc(700*time.Millisecond, func() { p.set(0, began.Add(-20*time.Millisecond), time.Now()) })
	defer ended.Stop()
	if got := runSynced(t, server.URL, "5s"); !got.Done || got.Waited < 700*time.Millisecond || got.Waited > 2*time.Second {
		t.Errorf("a sync of seven times the mean is under way: %+v", got)
	}
	if got := (proxyStatus{syncs: 1, took: 60}).hold(); got != holdMost {
		t.Errorf("syncs that take a minute are waited for %s, want %s", got, holdMost)
	}
	if got := (proxyStatus{}).hold(); got != syncedHold {
		t.Errorf("before the first sync: %s, want %s", got, syncedHold)
	}
}

func TestSyncedWithoutKubeProxy(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	url := closed.URL
	if got := runSynced(t, url, "5s"); got.Done || !strings.Contains(got.Why, "404") {
		t.Errorf("no metrics there: %+v", got)
	}
	closed.Close()
	if got := runSynced(t, url, "5s"); got.Done || !strings.Contains(got.Why, "refused") {
		t.Errorf("a closed port: %+v", got)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "up 1") }))
	defer other.Close()
	if got := runSynced(t, other.URL, "5s"); got.Done || !strings.Contains(got.Why, "not the metrics of a kube-proxy") {
		t.Errorf("somebody else there: %+v", got)
	}
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer stuck.Close()
	if got := runSynced(t, stuck.URL, "300ms"); got.Done || got.Why == "" || got.Waited > 3*time.Second {
		t.Errorf("a frozen kube-proxy: %+v", got)
	}
}
