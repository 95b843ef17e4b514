package runner

import (
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

// A table may have rows for an IP family that only some clusters have, and for no other kind of cell that is not there.
func TestRowsOfAFamilyThatIsNotThere(t *testing.T) {
	const table = `
tables:
  reach:
    app: app=my-app
    kinds: clusterIP
    from: pod
    rows:
      - {from: pod, to: {kind: clusterIP, family: IPv4}, outcome: Reached, by: all}
      - {from: pod, to: {kind: clusterIP, undeclared: true}, outcome: Refused}
      - {from: pod, to: {kind: FAMILY}, outcome: Refused}
`
	for row, want := range map[string]string{
		"localhost, family: IPv6": "",
		"localhost, family: IPv4": "covers no cell",
		"localhost":               "covers no cell",
	} {
		_, _, r := lab(t)
		v := one(t, r, loaded(t, "families", "", deployAndLook, strings.Replace(table, "FAMILY", row, 1)))
		if (v.Result == reach.Pass) != (want == "") || !strings.Contains(results(v), want) {
			t.Errorf("%s: %s", row, results(v))
		}
	}
}

// A step for an IP family that the cluster does not have is not there.
func TestStepsOfAFamilyThatIsNotThere(t *testing.T) {
	_, _, r := lab(t)
	v := one(t, r, loaded(t, "family-steps", "", deployAndLook+`
  - {name: here, family: IPv4, expect: reach}
  - {name: elsewhere, family: IPv6, delete: [service/none]}
`, reachTable))
	if got := results(v); v.Result != reach.Pass || !strings.Contains(got, "here: Pass") || strings.Contains(got, "elsewhere") {
		t.Error(got)
	}
}
