package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

func TestBadInputSaysWhatIsWrong(t *testing.T) {
	const cell = `{"id":1,"form":"appHTTP","host":"127.0.0.1","port":80,"min":1,"max":1,"timeoutNs":1000}`
	for name, test := range map[string]struct {
		args  []string
		stdin string
		want  string
	}{
		"no command":       {nil, "", "usage:"},
		"unknown command":  {[]string{"explode"}, "", `unknown command "explode"`},
		"arguments":        {[]string{"probe", "me"}, "", "takes no arguments"},
		"empty":            {[]string{"probe"}, "", "stdin ended"},
		"garbage":          {[]string{"probe"}, "hello\n", "line 1"},
		"unknown field":    {[]string{"probe"}, `{"version":6,"cells":0,"colour":"red"}`, `unknown field "colour"`},
		"version":          {[]string{"probe"}, `{"version":99,"cells":0}`, "protocol 99"},
		"negative":         {[]string{"probe"}, `{"version":6,"cells":-1}`, "negative"},
		"cut off":          {[]string{"probe"}, `{"version":6,"cells":2}` + "\n" + cell, "stdin ended at line 3"},
		"twice":            {[]string{"probe"}, `{"version":6,"cells":2}` + "\n" + cell + "\n" + cell, "two cells have the ID 1"},
		"two in a line":    {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + cell + cell, "more than a cell"},
		"no host":          {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + `{"id":7,"form":"appHTTP","timeoutNs":1}`, "cell 7: no host"},
		"unknown form":     {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + `{"id":7,"form":"gopher","host":"x","port":1,"timeoutNs":1}`, `unknown form "gopher"`},
		"port missing":     {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + `{"id":7,"form":"appUDP","host":"x","timeoutNs":1}`, "no port"},
		"record to dial":   {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + `{"id":7,"form":"appHTTP","host":"x","port":1,"record":"SRV","timeoutNs":1}`, `record type "SRV" is for a lookup only`},
		"address lookup":   {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + `{"id":7,"form":"lookup","host":"::1","timeoutNs":1}`, "not a name to look up"},
		"bad DNS server":   {[]string{"probe"}, `{"version":6,"cells":1}` + "\n" + `{"id":7,"form":"lookup","host":"x","dnsServer":"dns","timeoutNs":1}`, "not address:port"},
		"flow too fast":    {[]string{"flow"}, `{"version":6,"perSecond":5000,"durationNs":1,"cell":` + cell + `}`, "5000 requests a second"},
		"flow without end": {[]string{"flow"}, `{"version":6,"perSecond":5,"cell":` + cell + `}`, "a flow of 0s"},
		"serve nothing":    {[]string{"serve"}, "", "nothing to serve"},
		"serve https":      {[]string{"serve", "--https", "127.0.0.1:0"}, "", "--cert-names"},
		"serve backwards":  {[]string{"serve", "--http", "127.0.0.1:0", "--for", "-1s"}, "", "times of 0 or more"},
		"serve flag":       {[]string{"serve", "--gopher", ":70"}, "", "gopher"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args, strings.NewReader(test.stdin), &stdout, &stderr)
			if code != 2 || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("exit code %d, stderr %q; want 2 and %q", code, stderr.String(), test.want)
			}
			if strings.Contains(stdout.String(), `"done"`) {
				t.Errorf("bad input was reported as done: %s", stdout.String())
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"version"}, nil, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "protocol 6") {
		t.Errorf("exit code %d, %q, %q", code, stdout.String(), stderr.String())
	}
}

// brokenPipe is a stdout whose reader has gone.
type brokenPipe struct{}

var errPipe = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }

func TestUnwritableOutputIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"probe"}, strings.NewReader(`{"version":6,"cells":0}`), brokenPipe{}, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}

func TestFlowInFlightIsBounded(t *testing.T) {
	spec := wire.Flow{PerSecond: 50, Cell: wire.Cell{Timeout: 2 * time.Second}}
	if got := inFlight(spec); got != 251 {
		t.Errorf("50 a second for 2 s each: %d", got)
	}
	spec.Cell.Timeout = time.Hour
	if got := inFlight(spec); got != wire.MaxInFlight {
		t.Errorf("an hour each: %d", got)
	}
}

// A request that was due but could not be started is reported like any other.
func TestFlowReportsWhatItCouldNotSend(t *testing.T) {
	unresponsive, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts the connection, no program answers
	if err != nil {
		t.Fatal(err)
	}
	defer unresponsive.Close()
	address := netip.MustParseAddrPort(unresponsive.Addr().String())
	spec := wire.Flow{PerSecond: 100, Duration: 200 * time.Millisecond, Cell: wire.Cell{Form: wire.AppHTTP,
		Host: address.Addr().String(), Port: address.Port(), Timeout: time.Second}}
	var stdout bytes.Buffer
	count := emit(t.Context(), t.Context(), spec, 2, &lineWriter{out: &stdout})
	lines := strings.Count(stdout.String(), "\n")
	refused := strings.Count(stdout.String(), "not sent: 2 requests are in flight")
	if count != 20 || lines != count || refused != count-2 {
		t.Errorf("%d were due, %d reported, %d not sent, want 20, 20, 18", count, lines, refused)
	}
}

func TestPauseEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if pause(ctx, time.Hour) {
		t.Error("a pause outlived its context")
	}
}
