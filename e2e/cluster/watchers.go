package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// watchersBackIn is how long clients of a restarted API server may take to come back: a client-go reflector that was
// refused asks again after up to 30 s, of which chance makes up to 60 s.
const watchersBackIn = 75 * time.Second

// watchersBack waits until at least so many watch the EndpointSlices of the whole cluster: kube-proxies, the cluster's
// DNS servers, load-balancer controllers. Until then what changes is heard by some only, and the cluster is not at rest.
// Who does not come back in time is not waited for any longer: what comes of it is for traffic to show.
func (c *Cluster) watchersBack(ctx context.Context, atLeast int) error {
	err := c.loop(ctx, "who watched before watches again", watchersBackIn, time.Tick(time.Second),
		func(ctx context.Context) (string, bool, error) {
			n, err := c.watchers(ctx)
			return fmt.Sprintf("%d of %d watch EndpointSlices", n, atLeast), n >= atLeast, err
		})
	if ctx.Err() == nil && errors.As(err, new(*WaitError)) {
		return nil
	}
	return err
}

// watchers is how many watch the EndpointSlices of the whole cluster, as the API server's metrics say.
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
