package probe

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

func TestRepeat(t *testing.T) {
	pod := reach.Vantage{Name: "pod/worker", Kind: reach.Pod}
	node := reach.Vantage{Name: "node/worker", Kind: reach.Node}
	for name, test := range map[string]struct {
		request Request
		want    string
	}{
		"app": {Request{Vantage: pod, Target: reach.Target{Host: "10.96.118.7", Port: 80, Protocol: reach.TCP}},
			`curl --silent --show-error --globoff --noproxy '*' --connect-timeout 2 --max-time 2 --write-out '\n' http://10.96.118.7:80/hostname http://10.96.118.7:80/clientip`},
		"app, IPv6": {Request{Vantage: pod, Timeout: 1500 * time.Millisecond, Target: reach.Target{Host: "fd00::7", Port: 80, Protocol: reach.TCP}},
			`curl --silent --show-error --globoff --noproxy '*' --connect-timeout 1.5 --max-time 1.5 --write-out '\n' 'http://[fd00::7]:80/hostname' 'http://[fd00::7]:80/clientip'`},
		"UDP from a pod": {Request{Vantage: pod, Target: reach.Target{Host: "10.96.118.7", Port: 90, Protocol: reach.UDP}},
			`sh -c 'printf hostname | nc -u -w 2 10.96.118.7 90'`},
		"UDP from a node": {Request{Vantage: node, Timeout: time.Second, Target: reach.Target{Host: "10.96.118.7", Port: 90, Protocol: reach.UDP}},
			`timeout 1 bash -c 'exec 3<>/dev/udp/10.96.118.7/90 && printf hostname >&3 && dd bs=253 count=1 status=none <&3'`},
		"external name": {Request{Vantage: pod, Target: reach.Target{Kind: reach.ExternalName, Host: "my-external.default", Port: 80, Protocol: reach.TCP, HostHeader: "example.com"}},
			`curl --silent --show-error --globoff --noproxy '*' --connect-timeout 2 --max-time 2 --header 'Host: example.com' http://my-external.default:80/`},
		"external name, TLS": {Request{Vantage: pod, ServerName: "example.com", Target: reach.Target{Kind: reach.ExternalName, Host: "my-external.default", Port: 443, Protocol: reach.TCP}},
			`curl --silent --show-error --globoff --noproxy '*' --connect-timeout 2 --max-time 2 --insecure --connect-to example.com:443:my-external.default:443 https://example.com:443/`},
		"health check": {Request{Vantage: pod, Target: reach.Target{Kind: reach.HealthCheck, Host: "172.18.0.3", Port: 32000, Protocol: reach.TCP}},
			`curl --silent --show-error --globoff --noproxy '*' --connect-timeout 2 --max-time 2 --include http://172.18.0.3:32000/`},
		"name from a pod":  {Request{Vantage: pod, Target: reach.Target{Kind: reach.DNSName, Host: "my-service"}}, `dig +search +short my-service A my-service AAAA`},
		"name from a node": {Request{Vantage: node, Target: reach.Target{Kind: reach.DNSName, Host: "my-service"}}, `getent ahosts my-service`},
		"name of a server": {Request{Vantage: node, DNSServer: netip.MustParseAddrPort("[fd00::a]:53"), Target: reach.Target{Kind: reach.DNSName, Host: "my-service"}},
			`dig +search +short @fd00::a -p 53 my-service A my-service AAAA`},
	} {
		q, err := test.request.plan()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := shellescape.QuoteCommand(repeat(q)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

// prefixed is an Exec that knows how a person gets to a vantage.
type prefixed struct{ script }

func (*prefixed) Command(v reach.Vantage, argv []string) string {
	return "kubectl exec -n svclab-clients " + strings.ReplaceAll(v.Name, "pod/", "client-") + " -- " + shellescape.QuoteCommand(argv)
}

func TestRepeatIsPrefixed(t *testing.T) {
	exec := &prefixed{}
	exec.acts = []func(io.Reader, io.Writer, io.Writer) error{says(errExit, "")}
	cells, err := New(exec, WithRetries(0, 0)).Observe(t.Context(), podRequests(1))
	if err != nil || !strings.HasPrefix(cells[0].Repeat, "kubectl exec -n svclab-clients client-worker -- curl --silent") {
		t.Errorf("got %q, %v", cells[0].Repeat, err)
	}
}

// The printed command repeats the probe.
func TestRepeatWorks(t *testing.T) {
	t.Setenv("http_proxy", "http://127.0.0.1:1") // a user's proxy knows no pods
	a := newApp(t, "tcp4", 1)
	udp := datagrams(t, func(q string, _ net.Addr) string { return "answer to " + q })
	for _, test := range []struct {
		tool string
		cell reach.Cell
		want string
	}{
		{"curl", observeOne(t, Request{Target: target(a.address, reach.TCP)}), "my-app-0\n127.0.0.1:"},
		{"bash", observeOne(t, Request{Target: target(udp, reach.UDP)}), "answer to hostname"},
	} {
		if _, err := exec.LookPath(test.tool); err != nil {
			t.Logf("no %s on this machine", test.tool)
			continue
		}
		var output bytes.Buffer
		command := exec.CommandContext(t.Context(), "sh", "-c", test.cell.Repeat)
		command.Stdout, command.Stderr = &output, &output
		if err := command.Run(); err != nil {
			t.Errorf("%s: %v", test.cell.Repeat, err)
		}
		if !strings.HasPrefix(output.String(), test.want) {
			t.Errorf("%s\nprinted %q, want %q", test.cell.Repeat, output.String(), test.want)
		}
	}
}

func TestRepeatOfLookups(t *testing.T) {
	for record, want := range map[Record]string{
		wire.SRV: "dig +search +short _http._tcp.my-service SRV", wire.CNAME: "dig +search +short _http._tcp.my-service CNAME",
	} {
		q, err := Lookup{Vantage: reach.Vantage{Name: "pod/worker", Kind: reach.Pod}, Name: "_http._tcp.my-service", Record: record}.plan()
		if err != nil || shellescape.QuoteCommand(repeat(q)) != want {
			t.Errorf("got %s, %v", shellescape.QuoteCommand(repeat(q)), err)
		}
	}
}
