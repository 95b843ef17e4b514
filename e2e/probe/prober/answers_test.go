package main

import "testing"

func TestHostname(t *testing.T) {
	for text, want := range map[string]string{
		"my-app-6d4cf56db6-x7k2p":   "my-app-6d4cf56db6-x7k2p",
		"my-app-0.web\n":            "my-app-0.web",
		"":                          "",
		"<html>Welcome</html>":      "",
		"two words":                 "",
		"404 page not found\n":      "",
		string(make([]byte, 1)):     "",
		"a" + string(rune(0x4e2d)):  "",
		longName(254):               "",
		longName(253):               longName(253),
		"NOW: 2026-01-01 00:00:00 ": "",
	} {
		got, ok := hostname([]byte(text))
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q %v, want %q", text, got, ok, want)
		}
	}
}

func longName(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a'
	}
	return string(b)
}

func TestClientIP(t *testing.T) {
	for text, want := range map[string]string{
		"10.244.1.7:41234":          "10.244.1.7",
		"[fd00:10:244:1::7]:41234":  "fd00:10:244:1::7",
		"[::ffff:10.244.1.7]:41234": "10.244.1.7",
		"[fe80::1%eth0]:41234\n":    "fe80::1",
		"10.244.1.7":                "invalid IP",
		"":                          "invalid IP",
	} {
		if got, _ := clientIP([]byte(text)); got.String() != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// The bodies are kube-proxy's (pkg/proxy/healthcheck).
func TestHealth(t *testing.T) {
	const two = "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"my-service\"\n\t},\n\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"
	const none = `{"service":{"namespace":"default","name":"my-service"},"localEndpoints":0,"serviceProxyHealthy":true}`
	for _, test := range []struct {
		status int
		body   string
		want   string // empty: not a health check's answer
	}{
		{200, two, "localEndpoints=2"},
		{503, none, "localEndpoints=0"},
		{503, two, "localEndpoints=2 serviceProxyHealthy=false"},
		{200, none, ""},
		{200, "", ""},
		{404, "404 page not found", ""},
		{200, `{"localEndpoints":2}`, ""},
		{200, `{"status":"ok"}`, ""},
	} {
		got, err := health(test.status, []byte(test.body))
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%d %s: got %q, %v, want %q", test.status, test.body, got, err, test.want)
		}
	}
}
