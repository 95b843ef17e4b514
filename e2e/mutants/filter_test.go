package mutants

import (
	"strings"
	"testing"
)

func TestRulesAreOneTransaction(t *testing.T) {
	const empty = "table inet svclab-mutant {}\ndelete table inet svclab-mutant\n"
	if got := (Filter{}).String(); got != empty {
		t.Errorf("no rules: got\n%s", got)
	}
	got := Filter{EveryClient: []string{"tcp dport 80 dnat ip to 10.244.1.5:8081"}}.String()
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
	raw := Filter{EveryClientRaw: []string{"drop"}}.String()
	if strings.Count(raw, "priority raw") != 2 || strings.Contains(raw, "nat hook") {
		t.Errorf("raw rules:\n%s", raw)
	}
}
