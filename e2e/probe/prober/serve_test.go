package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestLifetime(t *testing.T) {
	for name, test := range map[string]struct{ stopped, linger, within, want time.Duration }{
		"SIGTERM":                {time.Minute, 0, 0, time.Minute},
		"SIGTERM, and it lasts":  {time.Minute, 100 * time.Second, 0, 160 * time.Second},
		"its time is over":       {time.Hour, 0, time.Minute, time.Minute},
		"over while it lasts on": {time.Minute, time.Hour, 2 * time.Minute, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), test.stopped)
				defer cancel()
				serving, end := lifetime(ctx, test.linger, test.within)
				defer end()
				<-serving.Done()
				if took := time.Since(began); took != test.want {
					t.Errorf("it ended after %s, want %s", took, test.want)
				}
			})
		})
	}
}

// What anyone who can reach a node can reach must not do anything for them: the paths of agnhost netexec that run commands,
// dial, redirect, store or end it are ordinary paths here.
func TestServeDoesNothingForAClient(t *testing.T) {
	plain := httptest.NewRecorder()
	answers("my-app").ServeHTTP(plain, httptest.NewRequest(http.MethodGet, "/anything", nil))
	for _, path := range []string{"/shell?cmd=id", "/dial?host=127.0.0.1&port=22&request=x", "/redirect?location=http://example.com", "/exit?code=1", "/shutdown", "/envvar?var=PATH"} {
		got := httptest.NewRecorder()
		answers("my-app").ServeHTTP(got, httptest.NewRequest(http.MethodGet, path, nil))
		if got.Code != http.StatusOK || len(got.Body.String()) > len(plain.Body.String()) {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	got := httptest.NewRecorder()
	answers("my-app").ServeHTTP(got, httptest.NewRequest(http.MethodPost, "/upload", nil))
	if got.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /upload: %d", got.Code)
	}
}

// Without --receipts nothing is sent to an address that a client names.
func TestReceipts(t *testing.T) {
	sink, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	for _, receipts := range []bool{false, true} {
		server, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		go func() { _ = answerDatagrams(server, "b", receipts) }()
		client, err := net.Dial("udp4", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		// The answer to the second datagram shows that the first one was handled.
		for _, text := range []string{"flow t 1 " + sink.LocalAddr().String(), "flow t 2"} {
			if _, err := client.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		buffer := make([]byte, 200)
		if n, err := client.Read(buffer); err != nil || string(buffer[:n]) != "flow t 2 b" {
			t.Errorf("%q, %v", buffer[:n], err)
		}
		_ = sink.SetReadDeadline(time.Now().Add(map[bool]time.Duration{false: 100 * time.Millisecond, true: 5 * time.Second}[receipts]))
		n, from, err := sink.ReadFrom(buffer)
		if (err == nil) != receipts || receipts && (string(buffer[:n]) != "flow t 1 b" || from.String() == server.LocalAddr().String()) {
			t.Errorf("receipts %t: %q from %v, %v", receipts, buffer[:n], from, err)
		}
	}
}
