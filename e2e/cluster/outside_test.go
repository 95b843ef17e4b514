package cluster

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func TestZoneIsValid(t *testing.T) {
	c := &Cluster{settings: testSettings(t)}
	files, err := c.zoneFiles([]netip.Addr{netip.MustParseAddr("172.19.0.2"), netip.MustParseAddr("fd00::2")})
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	parser := dns.NewZoneParser(strings.NewReader(string(files[1].Data)), "example.com.", files[1].Path)
	for record, more := parser.Next(); more; record, more = parser.Next() {
		switch r := record.(type) {
		case *dns.A:
			records = append(records, r.Hdr.Name+" "+r.A.String())
		case *dns.AAAA:
			records = append(records, r.Hdr.Name+" "+r.AAAA.String())
		}
	}
	if err := parser.Err(); err != nil {
		t.Fatalf("%v\n%s", err, files[1].Data)
	}
	want := []string{"example.com. 172.19.0.2", "example.com. fd00::2", "www.example.com. 172.19.0.2", "www.example.com. fd00::2",
		"api.example.com. 172.19.0.2", "api.example.com. fd00::2", "ns.example.com. 172.19.0.2", "ns.example.com. fd00::2"}
	if !slices.Equal(records, want) {
		t.Errorf("%q", records)
	}
}

// outsideCluster is a cluster whose engine has the outside container in some state.
func outsideCluster(t *testing.T, inspected string) (*Cluster, *fakeEngine) {
	fake := &fakeEngine{t: t, answers: map[string]string{}}
	if inspected != "" {
		fake.answers["name=^/?box$"] = "1"
		fake.answers["container inspect 1"] = inspected
	}
	s := testSettings(t)
	s.Engine = fake.engine()
	return &Cluster{progress: &progress{out: s.Log}, settings: s, engine: s.Engine}, fake
}

func TestEnsureContainer(t *testing.T) {
	args := []string{"--name", "box", "image"}
	files := []docker.File{{Path: "/a", Data: []byte("1")}}
	config := fingerprint([]byte("--name box image"), []byte("host"), []byte("1"))
	const state = `[{"Id":"1","Name":"/box","State":{"Status":"STATE"},"Config":{"Labels":{"io.svclab.cluster":"OWNER","io.svclab.config":"CONFIG"}}}]`
	inspected := func(status, owner, config string) string {
		return strings.NewReplacer("STATE", status, "OWNER", owner, "CONFIG", config).Replace(state)
	}
	made := []string{"create", "cp", "start"}
	for name, c := range map[string]struct {
		inspected string
		want      []string // the verbs that change something
	}{
		"there is none":           {"", made},
		"it runs":                 {inspected("running", "svclab", config), nil},
		"it stopped":              {inspected("exited", "svclab", config), []string{"start"}},
		"it was made differently": {inspected("running", "svclab", "old"), append([]string{"rm"}, made...)},
		"it belongs to somebody":  {inspected("running", "somebody", config), nil},
	} {
		cluster, fake := outsideCluster(t, c.inspected)
		_, err := cluster.ensureContainer(t.Context(), args, files, "host")
		if foreign := strings.Contains(c.inspected, "somebody"); foreign != errors.Is(err, ErrForeignCluster) || !foreign && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var verbs []string
		for _, line := range fake.asked {
			if verb, _, _ := strings.Cut(line, " "); verb != "ps" && verb != "container" {
				verbs = append(verbs, verb)
			}
		}
		if !slices.Equal(verbs, c.want) {
			t.Errorf("%s: %q, want %q", name, verbs, c.want)
		}
	}
}

func TestOutsideArgs(t *testing.T) {
	s := testSettings(t)
	line := strings.Join(outsideArgs(s), " ")
	for _, part := range []string{"--name svclab-outside ", "--network svclab ", "--cap-add NET_ADMIN", "--label io.svclab.cluster=svclab", "--http :80", "--https :443", "--name outside"} {
		if !strings.Contains(line, part) {
			t.Errorf("%q lacks %q", line, part)
		}
	}
	if strings.Contains(line, "--privileged") || strings.Contains(line, "--publish") {
		t.Errorf("the outside world needs no more than NET_ADMIN: %q", line)
	}
	if line := strings.Join(outsideDNSArgs(s, "svclab-outside"), " "); !strings.Contains(line, "--network container:svclab-outside ") {
		t.Error(line)
	}
}

func TestNetworkArgs(t *testing.T) {
	m := marker{Name: "lab", Config: "c0ffee", Summary: "two words"}
	subnet := uniqueLocal("lab", 0)
	got := networkArgs(m, "", "1400", &subnet)
	want := []string{"network", "create", "--driver", "bridge", "--label", "io.svclab.cluster=lab", "--label", "io.svclab.config=c0ffee",
		"--label", "io.svclab.summary=two words", "--opt", "com.docker.network.bridge.enable_ip_masquerade=true",
		"--opt", "com.docker.network.driver.mtu=1400", "--ipv6", "--subnet", subnet.String(), "lab"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := strings.Join(networkArgs(m, "", "", nil), " "); strings.Contains(got, "ipv6") || strings.Contains(got, "mtu") {
		t.Error(got)
	}
	local := netip.MustParsePrefix("fd00::/8")
	if !local.Contains(subnet.Addr()) || subnet.Bits() != 64 || subnet == uniqueLocal("lab", 1) || subnet == uniqueLocal("lab2", 0) || subnet.Masked() != subnet {
		t.Errorf("%s is not a unique local /64 of its own", subnet)
	}
}
