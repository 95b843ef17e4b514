package cluster

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

func TestProxyCheck(t *testing.T) {
	for _, tc := range []struct{ release, mode, want string }{
		{"", NFTables, ""}, {"v1.33.0", NFTables, ""}, {"v1.29.6", NFTables, ""}, {"v1.28.1", IPTables, ""},
		{"v1.28.1", NFTables, "no nftables mode"},
		{"1.33", IPTables, `the release of kube-proxy "1.33" is not known; fix: use a release such as v1.33.0`},
		{"v1.33.0-rc.1", IPTables, "is not known"}, {"v1.33.0 && true", IPTables, "is not known"},
	} {
		err := Proxy{Release: tc.release}.check(tc.mode)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrSettings)) {
			t.Errorf("%s %s: %v", tc.release, tc.mode, err)
		}
	}
	if err := (Proxy{Release: "v1.37.2"}).Under("v1.36.3"); err == nil || !strings.Contains(err.Error(), "newer than the control plane") {
		t.Errorf("newer: %v", err)
	}
	if err := (Proxy{Release: "v1.36.3"}).Under("v1.36.1"); err != nil {
		t.Errorf("of the same minor: %v", err)
	}
}

func TestProxyConfiguration(t *testing.T) {
	const made = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nclusterCIDR: 10.244.0.0/16\nmode: nftables\n"
	gate := "featureGates:\n  NFTablesProxyMode: true\n"
	for _, tc := range []struct{ release, mode, want string }{
		{"", NFTables, made},
		{"v1.31.0", NFTables, made},
		{"v1.31.0", IPTables, strings.Replace(made, "nftables", "iptables", 1)},
		{"v1.30.4", NFTables, strings.Replace(made, "mode:", gate+"mode:", 1)},
	} {
		p := Proxy{Release: tc.release}
		got, err := p.configuration(made, tc.mode)
		if err != nil || got != tc.want {
			t.Errorf("%s %s: %q, %v", tc.release, tc.mode, got, err)
		}
		if back, err := (Proxy{}).configuration(got, NFTables); err != nil || back != made {
			t.Errorf("%s %s and back: %q, %v", tc.release, tc.mode, back, err)
		}
	}
}

// The other program is mounted over the image's own, once, and is gone again with the cluster's own kube-proxy.
func TestProxyInto(t *testing.T) {
	set := &appsv1.DaemonSet{}
	set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "kube-proxy", VolumeMounts: []corev1.VolumeMount{{Name: "kube-proxy"}}}}
	for _, release := range []string{"v1.33.0", "v1.31.0"} {
		Proxy{Release: release}.into(set, release+" nftables")
		spec := set.Spec.Template.Spec
		if len(spec.Volumes) != 1 || spec.Volumes[0].HostPath.Path != "/kind/svclab/kube-proxy-"+release || len(spec.Containers[0].VolumeMounts) != 2 ||
			spec.Containers[0].VolumeMounts[1].MountPath != "/usr/local/bin/kube-proxy" || set.Spec.Template.Annotations[proxyPlace.annotation()] != release+" nftables" {
			t.Errorf("%s: %+v", release, set.Spec.Template)
		}
	}
	Proxy{}.into(set, "")
	if _, there := set.Spec.Template.Annotations[proxyPlace.annotation()]; there || len(set.Spec.Template.Spec.Volumes) != 0 || len(set.Spec.Template.Spec.Containers[0].VolumeMounts) != 1 {
		t.Errorf("own: %+v", set.Spec.Template)
	}
}

func TestAnnotated(t *testing.T) {
	for _, tc := range []struct{ release, mode, want string }{
		{"", NFTables, ""}, {"", IPTables, "own iptables"}, {"v1.33.0", NFTables, "v1.33.0 nftables"}, {"v1.33.0", IPTables, "v1.33.0 iptables"},
	} {
		if got := annotated(Proxy{Release: tc.release}, tc.mode, NFTables); got != tc.want {
			t.Errorf("%s %s: %q", tc.release, tc.mode, got)
		}
	}
}

// Pods that are made after intoByNode read the file of their node; what puts the cluster's own kube-proxy back undoes it.
func TestProxyByNode(t *testing.T) {
	made := func() *appsv1.DaemonSet {
		set := &appsv1.DaemonSet{}
		set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "kube-proxy", Command: []string{"/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf"},
			VolumeMounts: []corev1.VolumeMount{{Name: "kube-proxy"}}}}
		return set
	}
	set := made()
	for range 2 {
		if err := intoByNode(set); err != nil {
			t.Fatal(err)
		}
		spec := set.Spec.Template.Spec
		if len(spec.Volumes) != 1 || spec.Containers[0].Command[1] != "--config=/var/lib/svclab-kube-proxy/now.conf" || len(spec.Containers[0].VolumeMounts) != 2 ||
			set.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType || set.Spec.Template.Annotations[proxyPlace.annotation()] == annotated(Proxy{}, NFTables, NFTables) {
			t.Errorf("%+v", set.Spec)
		}
	}
	Proxy{}.into(set, "")
	want := made()
	want.Spec.Template.Annotations = map[string]string{}
	want.Spec.Template.Spec.Volumes = []corev1.Volume{}
	if !reflect.DeepEqual(set.Spec.Template, want.Spec.Template) || set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		t.Errorf("it was not undone: %+v", set.Spec)
	}
	set.Spec.Template.Spec.Containers[0].Command = []string{"kube-proxy"}
	if err := intoByNode(set); err == nil {
		t.Error("a kube-proxy that reads no file was accepted")
	}
}

func TestNodeModes(t *testing.T) {
	c := &Cluster{settings: Settings{ProxyMode: NFTables}}
	c.setMode("one", IPTables)
	c.setMode("two", IPTables)
	if got := c.NodeModes(); len(got) != 2 || got["one"] != IPTables {
		t.Errorf("%v", got)
	}
	if c.setMode("one", NFTables); len(c.NodeModes()) != 1 {
		t.Errorf("%v", c.NodeModes())
	}
}

// The configuration for a node has the settings that facts have, whatever the ConfigMap says, and keeps the rest of it.
func TestConfigured(t *testing.T) {
	text := "clusterCIDR: 10.244.0.0/16,fd00:10:244::/56\nmode: iptables\niptables: {masqueradeAll: true, minSyncPeriod: 1s}\nnodePortAddresses: [primary]\nbindAddress: 0.0.0.0\n"
	for _, want := range []world.Facts{
		{ProxyMode: IPTables, PodCIDRs: prefixes("10.244.0.0/16")},
		{ProxyMode: NFTables, MasqueradeAll: true, NoLocalhostNodePorts: true, NodePortAddresses: []string{"172.18.0.2/32"}, Detection: world.DetectNodeCIDR},
	} {
		config, err := configured(text, want.ProxyMode, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadProxyConfig(config, want.ProxyMode)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if !strings.Contains(config, "minSyncPeriod: 1s") || !strings.Contains(config, "bindAddress: 0.0.0.0") {
			t.Errorf("other settings are gone:\n%s", config)
		}
	}
}
