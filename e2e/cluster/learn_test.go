package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/svclab/svclab/e2e/world"
)

// nodeTables is the end of /proc/net/fib_trie and all of /proc/net/if_inet6 of a kind node.
const nodeTables = `Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 0.0.0.0/4 2 0 2
        |-- 0.0.0.0
           /0 universe UNICAST
        +-- 10.244.0.0/22 2 0 2
           |-- 10.244.0.0
              /24 universe UNICAST
           |-- 10.244.1.0
              /24 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 172.25.0.0/16 2 0 2
        +-- 172.25.0.0/29 2 0 2
           |-- 172.25.0.0
              /16 link UNICAST
           |-- 172.25.0.4
              /32 host LOCAL
        |-- 172.25.255.255
           /32 link BROADCAST
fe800000000000000042acfffe190004 19f 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
fc008ea272befc0c0000000000000004 19f 40 00 82     eth0
`

func TestLocalAddrs(t *testing.T) {
	want := []netip.Addr{netip.MustParseAddr("172.25.0.4"), netip.MustParseAddr("fc00:8ea2:72be:fc0c::4")}
	if got := localAddrs(nodeTables); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := localAddrs("cat: can't open '/proc/net/fib_trie'\n"); len(got) != 0 {
		t.Errorf("got %v of nothing", got)
	}
}

func TestAgreed(t *testing.T) {
	for name, c := range map[string]struct {
		said   map[string][]string
		mode   string
		ok     bool
		source string
	}{
		"nobody":  {nil, "", false, ""},
		"all":     {map[string][]string{"nftables": {"a", "b"}}, world.ModeNFTables, true, "2 of the nodes"},
		"not one": {map[string][]string{"nftables": {"a"}, "iptables": {"b"}}, world.ModeUnknown, true, "iptables on b; nftables on a"},
		"another": {map[string][]string{"userspace": {"a"}}, world.ModeUnknown, true, "userspace"},
	} {
		got, ok := agreed(c.said)
		if got.Mode != c.mode || ok != c.ok || !strings.Contains(got.Source, c.source) {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
}

// A list of nodes is one of the chosen nodes, whatever else the cluster has; who selects nodes gets the cluster's.
func TestOnlyListsTheChosenNodes(t *testing.T) {
	whole := fake.NewClientset()
	for i := range 20 {
		name := fmt.Sprintf("n%02d", i)
		if _, err := whole.CoreV1().Nodes().Create(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"all": "yes"}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	client := sampled{Interface: whole, nodes: []string{"n03", "gone", "n07"}}
	list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 2 || list.Items[0].Name != "n03" || list.Items[1].Name != "n07" {
		t.Errorf("%d nodes, %v", len(list.Items), err)
	}
	selected, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "all=yes"})
	if err != nil || len(selected.Items) != 20 {
		t.Errorf("%d nodes are selected, %v", len(selected.Items), err)
	}
	if _, err := client.CoreV1().Nodes().Get(t.Context(), "n05", metav1.GetOptions{}); err != nil {
		t.Errorf("a node that was not chosen cannot be looked up: %v", err)
	}
}
