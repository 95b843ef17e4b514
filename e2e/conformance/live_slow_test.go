//go:build e2e

package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"k8s.io/client-go/rest"
)

// An API server that ends each watch as expired after a moment costs time, no verdict.
func TestLiveExpiredWatch(t *testing.T) {
	l := foreign(t)
	var expired atomic.Int64
	server := l.through(t, func(r *http.Response) error {
		if r.StatusCode != http.StatusOK || !r.Request.URL.Query().Has("watch") {
			return nil
		}
		from := r.Body
		body, to := io.Pipe()
		r.Body = body
		go func() {
			defer from.Close()
			defer time.AfterFunc(2*time.Second, func() { from.Close() }).Stop()
			for lines := bufio.NewReader(from); ; {
				line, err := lines.ReadBytes('\n')
				if err != nil {
					break
				}
				if _, err := to.Write(line); err != nil {
					return // the client has gone
				}
			}
			expired.Add(1)
			_, err := io.WriteString(to, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}}`+"\n")
			to.CloseWithError(err) // nil is the end
		}()
		return nil
	})
	l.mustPass(t, run(t, l.svclab, "--kubeconfig", writeKubeconfig(t, server, "", nil), "--behaviour", brief))
	t.Logf("%d watches expired", expired.Load())
	if expired.Load() == 0 {
		t.Error("no watch expired")
	}
}

// Where each lookup of the API server's name takes 2 s, a run takes longer and passes. Where no answer comes, it says so within 15 s.
func TestLiveSlowNameOfTheServer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: svclab gets a resolv.conf of its own")
	}
	l := foreign(t)
	const name = "api.svclab.test."
	var delay atomic.Int64
	packets, err := net.ListenPacket("udp", "127.53.53.53:53")
	if err != nil {
		t.Fatal(err)
	}
	var lookups atomic.Int64
	slow := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		wait := time.Duration(delay.Load())
		if wait == 0 {
			return
		}
		time.AfterFunc(wait, func() {
			answer := new(dns.Msg).SetReply(query)
			if asked := query.Question[0]; asked.Name != name {
				answer.Rcode = dns.RcodeNameError
			} else if asked.Qtype == dns.TypeA {
				lookups.Add(1)
				answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
			}
			_ = w.WriteMsg(answer) // the client may have gone
		})
	})}
	go func() { _ = slow.ActivateAndServe() }() // it ends by Shutdown
	defer func() {
		if err := slow.Shutdown(); err != nil {
			t.Error(err)
		}
	}()
	server, err := url.Parse(l.through(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := writeKubeconfig(t, "http://"+net.JoinHostPort(strings.TrimSuffix(name, "."), server.Port()), "", nil)
	folder := t.TempDir()
	resolver, command := filepath.Join(folder, "resolv.conf"), filepath.Join(folder, "svclab")
	for path, text := range map[string]string{resolver: "nameserver 127.53.53.53\n",
		command: fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"' '%s' '%s' \"$@\"\n", resolver, l.svclab)} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r := run(t, command, "--kubeconfig", kubeconfig, "--behaviour", brief)
	t.Logf("no answer: exit %d after %s: %s", r.exit, r.took.Round(10*time.Millisecond), r.err)
	if r.exit != 2 || r.took > 15*time.Second || !strings.Contains(r.err, "does not answer") {
		t.Errorf("exit %d after %s: %s", r.exit, r.took, r.err)
	}
	delay.Store(int64(2 * time.Second))
	l.mustPass(t, run(t, command, "--kubeconfig", kubeconfig, "--behaviour", brief))
	t.Logf("%d lookups", lookups.Load())
	if lookups.Load() == 0 {
		t.Error("the server's name was not looked up")
	}
}

// A cluster whose DNS answers within a second, and seldom at once, is no faulty one. Names that CoreDNS forwards are left out: a CoreDNS
// that is stopped and continued misses the answers of its own upstream.
func TestLiveSlowDNS(t *testing.T) {
	l := foreign(t)
	const flag = "/tmp/svclab-test-slow"
	for _, node := range l.nodes(t) {
		onNode(t, node, "touch", flag)
		cmd := exec.Command("docker", "exec", node, "sh", "-c", `while [ -e "$0" ]; do
			for signal in STOP CONT; do for one in $(pidof coredns); do kill -$signal $one; done; if [ $signal = STOP ]; then sleep 1; else sleep 0.2; fi; done; done`, flag)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			onNode(t, node, "rm", flag)
			if err := cmd.Wait(); err != nil {
				t.Errorf("stop CoreDNS on %s: %v", node, err)
			}
		}()
	}
	l.mustPass(t, run(t, l.svclab, "--kubeconfig", l.kubeconfig, "--behaviour", "headless.dns,clusterip.basic"))
}

// through returns the address of a proxy in front of the API server, which acts as the kubeconfig's user. change, if not nil, changes
// the responses.
func (l lab) through(t *testing.T, change func(*http.Response) error) string {
	t.Helper()
	config := rest.CopyConfig(l.config)
	config.NextProtos = []string{"http/1.1"} // exec changes the protocol, which HTTP/2 has not
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), ModifyResponse: change, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if r.Out.URL.Query().Has("watch") {
			r.Out.Header.Set("Accept", "application/json") // one event a line
		}
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return server.URL
}
