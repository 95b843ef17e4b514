package cluster

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "write the golden files again")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it again):\n%s", name, got)
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// The packet filter's rules that node-network.sh makes of the facts it is given, on a node with both default routes.
func TestNodeNetworkRules(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the script is for nodes, which run Linux")
	}
	peers := []peer{{"lab-control-plane", []string{"10.244.0.0/24", "fd00:10:244::/64"}}, {"lab-worker", []string{"10.244.1.0/24", "fd00:10:244:1::/64"}}}
	for name, facts := range map[string]string{
		"rules-offline-dual.nft": string(networkFacts(true, prefixes("10.96.0.0/16", "fd00:10:96::/112"), prefixes("10.244.0.0/16", "fd00:10:244::/56"), peers)),
		"rules-kindnet-ipv4.nft": string(networkFacts(false, prefixes("10.96.0.0/16", "10.112.0.0/24"), prefixes("10.244.0.0/16"), nil)),
	} {
		dir := t.TempDir()
		// stands in for the ip command
		fake := "#!/bin/sh\ncase $1 in -4) echo 'default via 172.19.0.1 dev eth0 ' ;; -6) echo 'default via fd12::1 dev eth0 metric 1024 pref medium' ;; esac\n"
		if err := os.WriteFile(filepath.Join(dir, "ip"), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "network"), []byte(facts), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "../../manifests/cluster/node-network.sh", "rules")
		cmd.Env = append(os.Environ(), "SVCLAB_NETWORK="+filepath.Join(dir, "network"), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		golden(t, name, facts+"---\n"+string(out))
	}
}

func TestPeersOf(t *testing.T) {
	node := func(name string, ranges ...string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: ranges}}
	}
	nodes := []corev1.Node{node("b", "10.244.1.0/24"), node("a", "10.244.0.0/24", "fd00::/64"), node("stray", "10.9.0.0/24")}
	if peers, seen := peersOf(nodes, []string{"a", "b"}, 1); seen != "" || len(peers) != 2 || peers[0].Node != "a" {
		t.Errorf("%v %q", peers, seen)
	}
	if peers, seen := peersOf(nodes, []string{"a", "b", "c"}, 2); peers != nil || seen != "none for b, c" {
		t.Errorf("%v %q", peers, seen)
	}
}

func TestNodeHealthy(t *testing.T) {
	for line, want := range map[string]bool{
		"kubelet 200, kube-proxy 200, rules for 10.96.0.10: 2, pod network active":     true,
		"kubelet 200, kube-proxy 200, rules for 10.96.0.10: 0, pod network active":     false,
		"kubelet 200, kube-proxy 503, rules for 10.96.0.10: 2, pod network active":     false,
		"kubelet 000, kube-proxy 200, rules for 10.96.0.10: 2, pod network active":     false,
		"kubelet 200, kube-proxy 200, rules for 10.96.0.10: 2, pod network activating": false,
		"kubelet 200, kube-proxy 200, rules for 10.96.0.10: 2, pod network inactive":   false,
		"": false,
	} {
		if got := nodeHealthy(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
