package steps

import (
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/scenario"
)

// How actions read in a list of steps. Each says what is done to what.
func TestDescribe(t *testing.T) {
	service := scenario.Ref{Kind: "service", Name: "a"}
	for want, action := range map[string]scenario.Action{
		"object service/a: absent, for 5s": Object{Ref: service, Absent: true, Holds: scenario.Duration(5 * time.Second)},
		`object service/a: {.spec.x} is "1", {.spec.y} is "2", spec.z is unset`: Object{Ref: service,
			Path: map[string]string{"{.spec.y}": "2", "{.spec.x}": "1"}, Unset: []string{"spec.z"}},
		"the API refuses to patch service/a, merge: {}: too late": Reject{Patch: &Patch{Object: service, Body: []byte("{}")}, Reason: []string{"too late"}},
		"run kubectl get pods":                                                 Run{Command: "kubectl \\\n  get pods"},
		"replace the pods with app=a in namespace n on worker":                 ReplacePods{Selector: "app=a", Namespace: "n", Slot: "worker"},
		"replace the pods with app=a by a rolling update":                      ReplacePods{Selector: "app=a", Rolling: true},
		"stop traffic t: at most 5 lost, at least 1, no gap longer than 2s":    Traffic{Stop: &TrafficStop{Name: "t", MaxLost: 5, MinLost: 1, MaxGap: scenario.Duration(2 * time.Second)}},
		"start traffic t: 5 requests a second from outside to any target of a": Traffic{Start: &TrafficStart{Name: "t", From: "outside", To: scenario.To{Service: "a"}, PerSecond: 5}},
		"run on node worker: ip link":                                          Node{Slot: "worker", Action: "exec", Command: []string{"ip", "link"}},
		"withhold service/a, service/a":                                        Withhold{service, service},
		`check spread: {"pods":"app=a"}`:                                       Check{Name: "spread", Args: []byte(`{"pods":"app=a"}`)},
	} {
		if got := action.Describe(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
