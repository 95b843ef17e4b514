package steps

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestMismatch(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "a"},
		"spec": map[string]any{"type": "NodePort", "replicas": int64(2), "empty": "",
			"ports": []any{map[string]any{"port": int64(80), "protocol": "TCP"}, map[string]any{"port": int64(81)}}}}}
	for name, c := range map[string]struct{ yaml, want string }{
		"contained":        {`{"want": {"spec": {"type": "NodePort", "replicas": 2, "ports": [{"port": 80}, {"port": 81}]}}}`, ""},
		"another value":    {`{"want": {"spec": {"replicas": 3}}}`, ".spec.replicas is 2, want 3"},
		"missing field":    {`{"want": {"spec": {"clusterIP": "None"}}}`, `.spec.clusterIP is not set, want "None"`},
		"fewer elements":   {`{"want": {"spec": {"ports": [{"port": 80}]}}}`, ".spec.ports is "},
		"another element":  {`{"want": {"spec": {"ports": [{"port": 80}, {"port": 82}]}}}`, ".spec.ports[1].port is 81, want 82"},
		"no map":           {`{"want": {"spec": {"type": {"a": 1}}}}`, ".spec.type is "},
		"path":             {`{"path": {"{.spec.ports[*].port}": "80 81", "{.spec.none}": ""}}`, ""},
		"path, otherwise":  {`{"path": {"{.spec.type}": "ClusterIP"}}`, `{.spec.type} is "NodePort", want "ClusterIP"`},
		"unset":            {`{"unset": ["spec.clusterIP", "spec.empty", "status.loadBalancer.ingress"]}`, ""},
		"unset, otherwise": {`{"unset": "spec.type"}`, "spec.type is NodePort, want it unset"},
		"absent":           {`{"absent": true}`, "it exists"},
	} {
		var d Object
		if err := json.Unmarshal([]byte(c.yaml), &d); err != nil {
			t.Fatal(err)
		}
		got, err := d.Mismatch(object)
		if err != nil || (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
	if got, err := (Object{Unset: []string{"a"}}).Mismatch(nil); err != nil || got != "it does not exist" {
		t.Errorf("no object: %q, %v", got, err)
	}
	if _, err := (Object{Path: map[string]string{"{.spec": "x"}}).Mismatch(object); err == nil {
		t.Error("a path that does not parse is accepted")
	}
}
