package checks

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
)

func TestJudgeEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		service, server int32
		links           bool
		want            reach.Result
		why             string
	}{
		"linked":           {0, 0, true, reach.Pass, ""},
		"unlinked":         {1, 0, false, reach.Pass, ""},
		"no variables":     {1, 0, true, reach.Fail, "was not led to service my-service"},
		"links not heeded": {0, 0, false, reach.Fail, "without service links has"},
		"no API server":    {0, 1, true, reach.Fail, "not led to the API server"},
		"links take all":   {1, 1, false, reach.Fail, "not led to the API server"},
	} {
		_, err := judgeEnvironment(map[string]int32{toService: c.service, toAPIServer: c.server}, "my-service", c.links)
		if reach.ResultOf(err) != c.want || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := judgeEnvironment(map[string]int32{toService: 0}, "my-service", true); reach.ResultOf(err) != reach.Inconclusive {
		t.Errorf("a container that never ran: %v", err)
	}
}

// The variables' names follow from the Service's, and a pod without service links differs in nothing else.
func TestLinkedPod(t *testing.T) {
	app := addressed().World.Pods[0]
	app.Spec.Containers = append(app.Spec.Containers, corev1.Container{Image: "example.com/app"})
	for _, links := range []bool{true, false} {
		pod := linkedPod(&app, "my-service", links)
		if *pod.Spec.EnableServiceLinks != links || pod.Spec.Containers[0].Image != "example.com/app" ||
			pod.Spec.Containers[0].Args[2] != "$(MY_SERVICE_SERVICE_HOST):$(MY_SERVICE_SERVICE_PORT)" {
			t.Errorf("%+v", pod.Spec)
		}
	}
}
