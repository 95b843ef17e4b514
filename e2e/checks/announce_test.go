package checks

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

func TestJudgeAnnouncement(t *testing.T) {
	addr := netip.MustParseAddr("172.18.255.3")
	owners := map[string]string{"mac1": "worker", "mac2": "worker2"}
	for want, answers := range map[string][]string{
		"": {"mac1"}, "no node answers for 172.18.255.3": {}, "2 answer for": {"mac1", "mac2"},
		"mac9, which no node has, answers": {"mac9"}, "worker2 answers for 172.18.255.3, but MetalLB says that worker": {"mac2"},
	} {
		_, err := judgeAnnouncement(addr, answers, owners, map[netip.Addr]string{addr: "worker"}, "")
		if (err == nil) != (want == "") || err != nil && (reach.ResultOf(err) != reach.Fail || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", answers, err, want)
		}
	}
	if _, err := judgeAnnouncement(addr, []string{"mac2"}, owners, nil, "worker2"); err != nil {
		t.Errorf("without an announcer: %v", err)
	}
	if _, err := judgeAnnouncement(addr, []string{"mac2"}, owners, nil, "worker"); reach.ResultOf(err) != reach.Fail || !strings.Contains(err.Error(), "want worker") {
		t.Errorf("another node: %v", err)
	}
}
