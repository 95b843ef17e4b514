package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestProgram(t *testing.T) {
	for _, release := range []string{"v1.12", "v1.12.0-rc.1", "v1.12.0 && true", "main"} {
		if err := (Program{Release: release}).check("CoreDNS", "v1.12.0"); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "such as v1.12.0") {
			t.Errorf("%s: %v", release, err)
		}
	}
	cause := errors.New("no answer")
	with := func(dns Program) *Cluster { return &Cluster{settings: Settings{CoreDNS: dns}} }
	if err := with(Program{}).dnsFailed(cause); errors.Is(err, ErrProgram) || !errors.Is(err, cause) {
		t.Errorf("its own: %v", err)
	}
	if err := with(Program{Release: "v1.9.0"}).dnsFailed(cause); !errors.Is(err, ErrProgram) || !errors.Is(err, cause) {
		t.Errorf("another: %v", err)
	}
	if err := dnsPlace.copy(context.Background(), nil, Program{}); err != nil {
		t.Error(err)
	}
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "coredns"}}}}
	dnsPlace.into(&template, "v1.12.0", "v1.12.0")
	if mounts := template.Spec.Containers[0].VolumeMounts; len(mounts) != 1 || mounts[0].MountPath != "/coredns" || template.Annotations["svclab.io/coredns"] != "v1.12.0" {
		t.Errorf("%+v", template)
	}
	if dnsPlace.into(&template, "", ""); len(template.Spec.Volumes)+len(template.Spec.Containers[0].VolumeMounts)+len(template.Annotations) != 0 {
		t.Errorf("its own again: %+v", template)
	}
}
