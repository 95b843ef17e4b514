package mutants

import (
	"net/netip"
	"strings"
	"testing"
)

func TestRulesAreOneTransaction(t *testing.T) {
	const empty = "table inet svclab-mutant {}\ndelete table inet svclab-mutant\n"
	if got := (Rules{}).String(); got != empty {
		t.Errorf("no rules: got\n%s", got)
	}
	got := everyClient("tcp dport 80 dnat ip to 10.244.1.5:8081").String()
	want := empty + `table inet svclab-mutant {
  chain arriving {
    type nat hook prerouting priority dstnat - 20; policy accept;
    tcp dport 80 dnat ip to 10.244.1.5:8081
  }
  chain sent {
    type nat hook output priority -120; policy accept;
    tcp dport 80 dnat ip to 10.244.1.5:8081
  }
}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	raw := everyClientRaw("drop").String()
	if strings.Count(raw, "priority raw") != 2 || strings.Contains(raw, "nat hook") {
		t.Errorf("raw rules:\n%s", raw)
	}
}

func TestToBackend(t *testing.T) {
	scene := Scene{VIP: netip.MustParseAddr("10.96.0.9"), Backends: []Backend{{Name: "a", Slot: "worker", Addr: netip.MustParseAddr("10.244.1.5")}}}
	if got, err := scene.toBackend("worker", 8081); got != "dnat ip to 10.244.1.5:8081" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := scene.toBackend("worker2", 8081); err == nil {
		t.Error("a mutant that finds no pod to send connections to must not go on as if it broke something")
	}
	if got := scene.toService(); got != "ip daddr 10.96.0.9 tcp dport 80" {
		t.Errorf("got %q", got)
	}
}
