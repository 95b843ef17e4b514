package checks

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// httpsArgs name a vantage, and where a client's URL is written down: a key of a ConfigMap of the scenario's.
type httpsArgs struct {
	From      string `json:"from"`
	ConfigMap string `json:"configMap"`
	Key       string `json:"key"`
}

// asksByHTTPS asks the outside world's server as a client does that is given a URL: it looks the host up, and verifies
// that the server's certificate is for that host and issued by the outside world's authority.
func asksByHTTPS(ctx context.Context, env Env, args httpsArgs) ([]string, error) {
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
	cells, err := env.Prober.Observe(ctx, []probe.Request{{Vantage: from, Target: target, Form: probe.OutsideHTTPS, Roots: roots,
		Timeout: env.Timeouts.Answered}})
	if err != nil {
		return nil, err
	}
	return judgeHTTPS(config.Data[args.Key], cells)
}

// secureTarget is what a URL leads to. An address is not asked: nobody has promised that it stays on this machine, and
// no certificate of the lab's is for one.
func secureTarget(text string) (reach.Target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return reach.Target{}, reach.Failf("%q is no URL of a server", text)
	}
	if u.Scheme != "https" {
		return reach.Target{}, reach.Failf("%s does not ask for a certificate: its scheme is %s", text, cmp.Or(u.Scheme, "missing"))
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return reach.Target{}, reach.Failf("%s names an address, and the server's certificate is for names", text)
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "443"), 10, 16)
	if err != nil {
		return reach.Target{}, reach.Failf("%s has a port that is none", text)
	}
	return reach.Target{Kind: reach.ExternalName, Host: u.Hostname(), Port: uint16(port), Protocol: reach.TCP}, nil
}

// outsideAuthority are the certificates, PEM, that the outside world's server is verified by.
func outsideAuthority(ctx context.Context, env Env) (string, error) {
	exec, outside, err := outsider(env)
	if err != nil {
		return "", err
	}
	var out, complaint bytes.Buffer
	if err := exec.Exec(ctx, outside, []string{"cat", probe.OutsideAuthority}, nil, &out, &complaint); err != nil {
		return "", fmt.Errorf("read the outside world's authority: %w %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out.String(), nil
}

// judgeHTTPS wants every observation to be an answer.
func judgeHTTPS(text string, cells []reach.Cell) (lines []string, err error) {
	var (
		asked  int
		unsent error // a failure that was observed goes before it
	)
	for _, cell := range cells {
		for _, o := range cell.Observations {
			asked++
			lines = append(lines, fmt.Sprintf("%s from %s: %s", text, cell.Vantage.Name, o.Outcome))
			switch o.Outcome {
			case reach.Reached:
			case reach.ProbeFailed, reach.Unprobed:
				unsent = fmt.Errorf("could not ask %s: %s", text, o.Detail)
			default:
				return lines, reach.Failf("%s: %s: %s", text, o.Outcome, o.Detail)
			}
		}
	}
	if asked == 0 {
		return lines, fmt.Errorf("nobody asked %s", text)
	}
	return lines, unsent
}
