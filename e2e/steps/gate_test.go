package steps

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/svclab/svclab/e2e/scenario"
)

// metrics is an API server that has these metrics, or answers with that status.
type metrics struct {
	Cluster
	status int
	text   string
}

func (m metrics) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.WriteHeader(m.status)
	_, _ = io.WriteString(w, m.text)
	return w.Result(), nil
}

func (m metrics) Client() kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(&rest.Config{Host: "http://api", Transport: m, QPS: -1})
}

func TestGated(t *testing.T) {
	const text = `# TYPE kubernetes_feature_enabled gauge
kubernetes_feature_enabled{name="Another",stage="BETA"} 1
kubernetes_feature_enabled{name="Off",stage="ALPHA"} 0
kubernetes_feature_enabled{name="On",stage=""} 1
`
	for name, c := range map[string]struct {
		gate   string
		status int
		want   string
	}{
		"no gate":      {"", 403, ""},
		"on":           {"On", 200, ""},
		"off":          {"Off", 200, "needs the feature gate Off, which is off in this API server"},
		"not there":    {"O", 200, "which this release of the API server does not have"},
		"not readable": {"On", 403, "needs the feature gate On, and whether the API server has it on is not known"},
	} {
		env := &Env{Cluster: metrics{status: c.status, text: text}}
		if got := env.Gated(t.Context(), scenario.Step{Gate: c.gate}); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
