package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func pictureOf(t *testing.T, run Run, step string) string {
	t.Helper()
	var b strings.Builder
	if err := SVG(&b, run, step); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A picture is XML, unlike a page: every browser refuses it as a whole when it is not well-formed.
func TestSVGIsWellFormed(t *testing.T) {
	nasty := "bad\x00\x1b[31m\xff]]> <&\"' \uFFFE end"
	run := mixed()
	run.Cluster.Name = nasty
	run.Verdicts[1].Steps[0].Name = nasty
	run.Verdicts[1].Steps[0].Tables[0].Targets[0].Host = nasty
	for name, text := range map[string]string{"nasty": pictureOf(t, run, "nodeport-every-node/"+nasty), "wide": pictureOf(t, mixed(), "dual-stack/探测 IPv6 地址")} {
		dec := xml.NewDecoder(strings.NewReader(text))
		for {
			_, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// The description says in words what every cell shows, for readers who do not see the picture.
func TestSVGSaysWhatItShows(t *testing.T) {
	text := pictureOf(t, mixed(), "loadbalancer/probe the address")
	desc, _, _ := strings.Cut(text[strings.Index(text, "<desc"):], "</desc>")
	for _, part := range []string{"4 cells reached", "could not be", "from pod/worker2", "from host"} {
		if !strings.Contains(desc, part) {
			t.Errorf("the description does not say %q:\n%s", part, desc)
		}
	}
	// The legend has what is there, and no more.
	if !strings.Contains(text, "? could not be probed") || strings.Contains(text, "✗ not as expected") {
		t.Error("the legend does not fit the table")
	}
}

func TestSVGOfAStepThatIsNotThere(t *testing.T) {
	for step, want := range map[string]string{
		"nothing":               `no scenario "nothing"; it has: clusterip-basic, `,
		"clusterip-basic":       "those that have: clusterip-basic/probe the VIP and the DNS name",
		"clusterip-basic/probe": "those that have: clusterip-basic/probe the VIP and the DNS name",
		"sctp/any":              "no step of scenario sctp has a table",
	} {
		var b strings.Builder
		if err := SVG(&b, mixed(), step); err == nil || !strings.Contains(err.Error(), want) || b.Len() > 0 {
			t.Errorf("%s: %v, want %q, and nothing written", step, err, want)
		}
	}
}
