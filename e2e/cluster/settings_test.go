package cluster

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// testSettings are valid, and keep to the test's own folders.
func testSettings(t *testing.T) Settings {
	t.Helper()
	s := Defaults()
	s.Images = Images{Node: "svclab/node:v1.37.2-0123", Offline: true, CoreDNS: "svclab/coredns:1", Agnhost: "agnhost:1", MetalLBManifest: "metallb.yaml"}
	s.Manifests = os.DirFS("../../manifests")
	s.Output, s.RuntimeDir = t.TempDir(), t.TempDir()
	return s
}

func TestValidate(t *testing.T) {
	if err := testSettings(t).Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Settings){
		`the kube-proxy mode "ipvs" is not known; fix: use nftables or iptables`:        func(s *Settings) { s.ProxyMode = "ipvs" },
		`the IP family "ipv6" is not known; fix: use ipv4 or dual`:                      func(s *Settings) { s.Family = "ipv6" },
		`the Kubernetes version "latest" is not known; fix: use a version such as 1.37`: func(s *Settings) { s.Version = "latest" },
		`the number of workers "-1" is not known; fix: use 0 to 9`:                      func(s *Settings) { s.Workers = -1 },
		`the number of workers "10" is not known; fix: use 0 to 9`:                      func(s *Settings) { s.Workers = 10 },
		`the cluster name "Lab_1" is not known`:                                         func(s *Settings) { s.Name = "Lab_1" },
		`the cluster name "-lab" is not known`:                                          func(s *Settings) { s.Name = "-lab" },
		`the published node port "80" is not known`:                                     func(s *Settings) { s.HostPort = 80 },
		`not every image is named; fix: run scripts/images.sh`:                          func(s *Settings) { s.Images.Agnhost = "" },
		`there is no output folder`:                                                     func(s *Settings) { s.Output = "" },
	} {
		s := testSettings(t)
		change(&s)
		err := s.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
		var p *Problem
		if !errors.Is(err, ErrSettings) || !errors.As(err, &p) {
			t.Errorf("%v is no user error", err)
		}
	}
}

func TestParseImages(t *testing.T) {
	images, version, err := ParseImages("IMAGES=pull\nKUBERNETES_VERSION=v1.37.0\nNODE_IMAGE=svclab/pulled-node:v1.37.0\nCOREDNS_IMAGE=c:1\n" +
		"AGNHOST_IMAGE=registry.k8s.io/agnhost:2\nLOAD_IMAGES=svclab/a:1=r.io/a:1 svclab/b:2=q.io/b:2\nMETALLB_MANIFEST=/m/native.yaml\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Load{{"svclab/a:1", "r.io/a:1"}, {"svclab/b:2", "q.io/b:2"}}
	if version != "v1.37.0" || images.Offline || images.Node != "svclab/pulled-node:v1.37.0" || images.MetalLBManifest != "/m/native.yaml" || !slices.Equal(images.Load, want) {
		t.Errorf("%s %+v", version, images)
	}
	if images, _, err := ParseImages("IMAGES=build\nLOAD_IMAGES=\n"); err != nil || !images.Offline || images.Load != nil {
		t.Errorf("%+v %v", images, err)
	}
	for _, text := range []string{"nonsense", "LOAD_IMAGES=a"} {
		if _, _, err := ParseImages(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// What cannot be changed live changes the fingerprint; what can does not.
func TestFingerprintFollowsTheConfiguration(t *testing.T) {
	of := func(change func(*Settings)) string {
		s := testSettings(t)
		change(&s)
		_, want, err := prepare(s)
		if err != nil {
			t.Fatal(err)
		}
		return want.marker.Config
	}
	base := of(func(*Settings) {})
	for name, change := range map[string]func(*Settings){
		"mode": func(s *Settings) { s.ProxyMode = IPTables }, "family": func(s *Settings) { s.Family = Dual }, "workers": func(s *Settings) { s.Workers = 1 },
		"image": func(s *Settings) { s.Images.Node += "x" }, "port": func(s *Settings) { s.HostPort = 0 }, "offline": func(s *Settings) { s.Images.Offline = false },
	} {
		if of(change) == base {
			t.Errorf("%s does not change the fingerprint", name)
		}
	}
	if of(func(s *Settings) { s.Output, s.Images.Agnhost = "x", "y" }) != base {
		t.Error("what can be changed live must not need a new cluster")
	}
}
