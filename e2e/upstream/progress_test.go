package upstream

import (
	"net/http"
	"strings"
	"testing"
)

func TestProgressIsToldOncePerSpec(t *testing.T) {
	log := &output{}
	p, err := listen(log, 24)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"msg":"Test Suite starting","total":24}`,
		`{"msg":"PASSED [sig-network] Services a [Conformance]","total":0,"completed":1}`,
		`{"msg":"PASSED [sig-network] Services a [Conformance]","total":24,"completed":1}`,
		`{"msg":"FAILED [sig-network] Services b [Conformance]","failed":1}`,
		`{"msg":"PASSED`,
	} {
		response, err := http.Post(p.url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.HasSuffix(body, "}"); (response.StatusCode == http.StatusOK) != want {
			t.Errorf("%s: status %d", body, response.StatusCode)
		}
		_ = response.Body.Close()
	}
	p.close()
	if got, want := log.String(), "upstream: 1/24 ✓ Services a\nupstream: 2/24 ✗ Services b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
