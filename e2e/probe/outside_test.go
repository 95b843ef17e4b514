package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// outsideWorld starts `prober serve` and returns where it listens, and its authority's certificate.
func outsideWorld(t *testing.T) (wire.Listening, string) {
	t.Helper()
	path, err := (&Local{}).Prober(t.Context(), here())
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	command := exec.CommandContext(ctx, path, "serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--udp", "127.0.0.1:0",
		"--name", "outside-web", "--cert-names", "example.com,127.0.0.1", "--ca", authority)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("serve did not end well after SIGTERM: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var listening wire.Listening
	if err := json.Unmarshal(line, &listening); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	roots, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	return listening, string(roots)
}

func TestOutsideWorld(t *testing.T) {
	listening, roots := outsideWorld(t)
	plain, secure, udp := netip.MustParseAddrPort(listening.HTTP), netip.MustParseAddrPort(listening.HTTPS), netip.MustParseAddrPort(listening.UDP)
	external := func(address netip.AddrPort, host string) reach.Target {
		return reach.Target{Kind: reach.ExternalName, Service: "default/my-external", Host: address.Addr().String(),
			Port: address.Port(), Protocol: reach.TCP, HostHeader: host}
	}
	for name, test := range map[string]struct {
		request    Request
		want       reach.Outcome
		hostSeen   string
		serverName string
		detail     string
	}{
		"plain":            {Request{Target: external(plain, "")}, reach.Reached, plain.String(), "", ""},
		"own Host header":  {Request{Target: external(plain, "example.com")}, reach.Reached, "example.com", "", ""},
		"as the app":       {Request{Target: target(plain, reach.TCP)}, reach.Reached, "", "", ""},
		"as the app, long": {Request{Target: target(plain, reach.TCP), Length: 20_000, Hold: 10 * time.Millisecond}, reach.Reached, "", "", ""},
		"by UDP, long":     {Request{Target: target(udp, reach.UDP), Length: 1800}, reach.Reached, "", "", ""},
		"by UDP":           {Request{Target: target(udp, reach.UDP)}, reach.Reached, "", "", ""},
		"TLS, right name":  {Request{Target: external(secure, ""), Form: OutsideHTTPS, ServerName: "example.com", Roots: roots}, reach.Reached, secure.String(), "example.com", ""},
		"TLS, by address":  {Request{Target: external(secure, ""), Form: OutsideHTTPS, Roots: roots}, reach.Reached, secure.String(), "", ""},
		"TLS, an alias":    {Request{Target: external(secure, ""), Form: OutsideHTTPS, ServerName: "my-external.default", Roots: roots}, reach.WrongAnswer, "", "", "not my-external.default"},
		"TLS, unverified":  {Request{Target: external(secure, ""), Form: OutsideHTTPS, ServerName: "my-external.default"}, reach.Reached, secure.String(), "my-external.default", ""},
		"plain to TLS":     {Request{Target: external(secure, "")}, reach.WrongAnswer, "", "", "status 400"},
		"not in the roots": {Request{Target: external(secure, ""), Form: OutsideHTTPS, Roots: "nonsense"}, reach.WrongAnswer, "", "", "no certificate in the given roots"},
	} {
		t.Run(name, func(t *testing.T) {
			o := observeOne(t, test.request).Observations[0]
			if o.Outcome != test.want || !strings.Contains(o.Detail, test.detail) || o.HostSeen != test.hostSeen || o.ServerName != test.serverName {
				t.Errorf("got %+v", o)
			}
			seen := test.request.Target.Protocol == reach.UDP || test.request.Length == 0 // a long connection does not request it
			if test.want == reach.Reached && (o.Backend != "outside-web" || seen && o.Source != netip.MustParseAddr("127.0.0.1")) {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestServeSaysWhatItCannotDo(t *testing.T) {
	taken := listen(t, "tcp4")
	local := &Local{}
	path, err := local.Prober(t.Context(), here())
	if err != nil {
		t.Fatal(err)
	}
	var stderr tail
	err = local.Exec(t.Context(), here(), []string{path, "serve", "--http", taken.Addr().String()}, nil, io.Discard, &stderr)
	if err == nil || !strings.Contains(stderr.String(), "address already in use") {
		t.Errorf("got %v, %s", err, stderr.String())
	}
}
