package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/wait"
)

// watchersBackIn bounds how long clients of a restarted API server take to come back. A client-go reflector that was refused
// tries again after up to 30 s, and jitter makes that up to 60 s.
const watchersBackIn = 75 * time.Second

// watchersBack waits until at least atLeast clients watch the EndpointSlices of the whole cluster: kube-proxies, the cluster's
// DNS servers, load-balancer controllers. Until then only some of them follow a change. A client that does not come back in
// time is no error here: the traffic shows whether it matters.
func (c *Cluster) watchersBack(ctx context.Context, atLeast int) error {
	err := c.await(ctx, "the clients of the API server to watch again", watchersBackIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
		n, err := c.watchers(ctx)
		return n >= atLeast, fmt.Sprintf("%d of %d watch EndpointSlices", n, atLeast), err
	}), wait.Every(time.Second))
	if ctx.Err() == nil && errors.As(err, new(*wait.Error)) {
		return nil
	}
	return err
}

// watchers returns how many clients watch the EndpointSlices of the whole cluster, from the API server's metrics.
func (c *Cluster) watchers(ctx context.Context) (int, error) {
	text, err := c.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return countWatchers(text)
}

// countWatchers reads apiserver_longrunning_requests of metrics in Prometheus's text format. Source:
// staging/src/k8s.io/apiserver/pkg/endpoints/metrics/metrics.go of Kubernetes.
func countWatchers(metrics []byte) (int, error) {
	sum, found := 0, false
	for line := range bytes.Lines(metrics) {
		text := string(bytes.TrimSpace(line))
		if !strings.HasPrefix(text, "apiserver_longrunning_requests{") || !strings.Contains(text, `resource="endpointslices"`) ||
			!strings.Contains(text, `verb="WATCH"`) || !strings.Contains(text, `scope="cluster"`) {
			continue
		}
		n, err := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:])
		if err != nil {
			return 0, fmt.Errorf("read the API server's metrics: %q: %w", text, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		return 0, errors.New("the API server's metrics do not tell who watches EndpointSlices")
	}
	return sum, nil
}
