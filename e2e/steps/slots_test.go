package steps

import "testing"

func TestNodesOfOtherClustersAreRenamed(t *testing.T) {
	slots := map[string]string{"worker": "x"}
	if got, err := renamedText("svclab-worker", slots); err != nil || got != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := renamedText("--field-selector=spec.nodeName=svclab-worker", slots); err != nil || got != "--field-selector=spec.nodeName=x" {
		t.Errorf("after an equals sign: %q, %v", got, err)
	}
	if _, err := renamed(map[string]any{"a": []any{"svclab-worker9"}}, slots); err == nil {
		t.Error("a node that this cluster does not have is accepted")
	}
}
