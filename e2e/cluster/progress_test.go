package cluster

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/wait"
)

// A long wait is logged when nothing else was for a while.
func TestProgressOfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &progress{out: &out}
		p.logf("creating %s", "x")
		at := func(after time.Duration) {
			p.waiting(wait.State{What: "the moon to be blue", Seen: "it is grey", After: after})
		}
		at(quietFor) // the line above is younger
		time.Sleep(quietFor)
		at(quietFor - time.Second) // the wait is young
		at(12 * time.Second)
		at(12 * time.Second) // just logged
		want := "creating x\n  … waiting for the moon to be blue; last seen: it is grey, 12 s\n"
		if out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}

func TestPodState(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"}}}}}}
	if got := podState(pod); got != "ErrImagePull not found" {
		t.Error(got)
	}
}

func TestNotOK(t *testing.T) {
	if got := notOK("[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]x failed\nreadyz check failed"); got != "etcd failed: reason withheld, x failed" {
		t.Error(got)
	}
	if got := notOK("ok"); got != "" {
		t.Error(got)
	}
}
