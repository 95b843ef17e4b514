package checks

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// httpsArgs names a vantage, and where the client's URL is: a key of a ConfigMap of the scenario.
type httpsArgs struct {
	From      string `json:"from"`
	ConfigMap string `json:"configMap"`
	Key       string `json:"key"`
}

// outsideHTTPS sends a request to the server outside the cluster, as a client of the namespace does that has a URL: it looks up the
// host, and verifies that the server's certificate is for that host and issued by the outside authority.
func outsideHTTPS(ctx context.Context, env Env, args httpsArgs) ([]string, error) {
	from, found := env.site().Client(args.From)
	if !found {
		return nil, fmt.Errorf("there is no vantage %q", args.From)
	}
	config, err := env.Client.CoreV1().ConfigMaps(env.Namespace).Get(ctx, args.ConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, reach.Failf("there is no configmap %s", args.ConfigMap)
	case err != nil:
		return nil, fmt.Errorf("read configmap %s: %w", args.ConfigMap, err)
	}
	target, err := secureTarget(config.Data[args.Key])
	if err != nil {
		return nil, err
	}
	roots, err := outsideAuthority(ctx, env)
	if err != nil {
		return nil, err
	}
	// Whatever name is looked up, the client says the one in its URL.
	host := strings.TrimSuffix(target.Host, ".")
	request := probe.Request{Vantage: from, Target: target, Form: probe.OutsideHTTPS, Roots: roots, Timeout: env.Timeouts.Answered, ServerName: host}
	request.Target.HostHeader = host
	if target.Port != 443 {
		request.Target.HostHeader = net.JoinHostPort(host, strconv.Itoa(int(target.Port)))
	}
	for _, name := range searched(target.Host, env.Namespace, env.World.Facts.ClusterDomain()) {
		request.Target.Host = name
		cells, err := env.Prober.Observe(ctx, []probe.Request{request})
		if err != nil {
			return nil, err
		}
		if name != target.Host && unknownName(cells) {
			continue
		}
		return judgeHTTPS(config.Data[args.Key], cells)
	}
	return nil, fmt.Errorf("%s leaves no name to look up", config.Data[args.Key])
}

// searched returns the names that a pod of the namespace looks up for a host, until one is known: by the search path of its
// resolver, first the namespace's. The vantage's own search path adds the rest to the host as it is. A final dot keeps the
// search path out.
func searched(host, namespace, domain string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	return []string{host + "." + namespace + ".svc." + domain + ".", host}
}

// unknownName reports whether no request found the name.
func unknownName(cells []reach.Cell) bool {
	return !slices.ContainsFunc(cells, func(c reach.Cell) bool {
		return slices.ContainsFunc(c.Observations, func(o reach.Observation) bool { return o.Outcome != reach.NoSuchHost })
	})
}

// secureTarget is the target of a URL. A URL with an address instead of a name is refused: a request to it could leave this
// machine, and no certificate of the lab is for an address.
func secureTarget(text string) (reach.Target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return reach.Target{}, reach.Failf("%q is not the URL of a server", text)
	}
	if u.Scheme != "https" {
		return reach.Target{}, reach.Failf("%s does not use TLS: its scheme is %s", text, cmp.Or(u.Scheme, "missing"))
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return reach.Target{}, reach.Failf("%s names an address, and the server's certificate is for names", text)
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "443"), 10, 16)
	if err != nil {
		return reach.Target{}, reach.Failf("%s has an invalid port", text)
	}
	return reach.Target{Kind: reach.ExternalName, Host: u.Hostname(), Port: uint16(port), Protocol: reach.TCP}, nil
}

// outsideAuthority returns the certificates, in PEM, that verify the server outside the cluster.
func outsideAuthority(ctx context.Context, env Env) (string, error) {
	exec, outside, err := outsider(env)
	if err != nil {
		return "", err
	}
	var out, complaint bytes.Buffer
	if err := exec.Exec(ctx, outside, []string{"cat", probe.OutsideAuthority}, nil, &out, &complaint); err != nil {
		return "", fmt.Errorf("read the outside authority: %w %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out.String(), nil
}

// judgeHTTPS returns an error unless every request was answered.
func judgeHTTPS(text string, cells []reach.Cell) (lines []string, err error) {
	var (
		probed int
		unsent error // a failure that was observed goes before it
	)
	for _, cell := range cells {
		for _, o := range cell.Observations {
			probed++
			lines = append(lines, fmt.Sprintf("%s from %s: %s", text, cell.Vantage.Name, o.Outcome))
			switch o.Outcome {
			case reach.Reached:
			case reach.ProbeFailed, reach.Unprobed:
				unsent = fmt.Errorf("a probe of %s could not be sent: %s", text, o.Detail)
			default:
				return lines, reach.Failf("%s: %s: %s", text, o.Outcome, o.Detail)
			}
		}
	}
	if probed == 0 {
		return lines, fmt.Errorf("no request was sent to %s", text)
	}
	return lines, unsent
}
