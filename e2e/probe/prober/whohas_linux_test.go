package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/probe/wire"
)

func TestARP(t *testing.T) {
	target := netip.MustParseAddr("172.18.255.1")
	mac := net.HardwareAddr{2, 0x42, 0xac, 0x12, 0, 3}
	const request = "00010800060400010242ac120003ac120009000000000000ac12ff01"
	if got := hex.EncodeToString(arpPacket(mac, netip.MustParseAddr("172.18.0.9"), target)); got != request {
		t.Errorf("request %s, want %s", got, request)
	}
	for packet, want := range map[string]string{
		"00010800060400020242ac120003ac12ff010242ac120009ac120009":                                     "02:42:ac:12:00:03", // an answer
		"00010800060400020242ac120003ac12ff010242ac120009ac120009000000000000000000000000000000000000": "02:42:ac:12:00:03", // padded
		"00010800060400020242ac120003ac12ff020242ac120009ac120009":                                     "",                  // about another address
		request:            "", // a question
		"0001080006040002": "", // cut off
	} {
		data, err := hex.DecodeString(packet)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := arpAnswer(data, target)
		if got.String() != want || ok != (want != "") {
			t.Errorf("%s: %s, want %q", packet, got, want)
		}
	}
}

func TestNDP(t *testing.T) {
	target := netip.MustParseAddr("fc00::ff01")
	const (
		head  = "88000000e0000000"
		about = "fc00000000000000000000000000ff01"
		owner = "02010242ac120003"
	)
	for packet, want := range map[string]string{
		head + about + owner:                              "02:42:ac:12:00:03",
		head + about + "0e01000000000000" + owner:         "02:42:ac:12:00:03", // another option first
		head + "fc00000000000000000000000000ff02" + owner: "",
		"87000000e0000000" + about + owner:                "", // a solicitation
		head + about:                                      "", // no option
		head + about + "0200" + "0242ac120003":            "", // an option without length
		head + about + "0203" + "0242ac120003":            "", // an option longer than the packet
	} {
		data, err := hex.DecodeString(packet)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := ndpAnswer(data, target); got.String() != want || ok != (want != "") {
			t.Errorf("%s: %s, want %q", packet, got, want)
		}
	}
}

func TestWhoHasRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{}, {"--addr", "x"}, {"--addr", "127.0.0.1", "--wait", "0s"}, {"--addr", "127.0.0.1", "more"}, {"--addr", "127.0.0.1", "--wait", "1h"}} {
		if code := run(t.Context(), append([]string{"whohas"}, args...), nil, t.Output(), t.Output()); code != 2 {
			t.Errorf("%q: exit code %d, want 2", args, code)
		}
	}
	if code := run(t.Context(), []string{"whohas", "--addr", "127.0.0.1"}, nil, t.Output(), t.Output()); code != 1 {
		t.Errorf("an address of no link: exit code %d, want 1", code)
	}
}

// TestWhoHasOnALink sends its requests on a link of its own: a bridge in one network namespace, with two more namespaces on it,
// one address that only one of them has and one that both have, in each IP family.
func TestWhoHasOnALink(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip command")
	}
	name := fmt.Sprintf("svclab-whohas-%d", os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			if strings.Contains(string(out), "not permitted") {
				t.Skipf("network namespaces cannot be made here: %s", out)
			}
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	for _, ns := range []string{name, name + "-a", name + "-b"} {
		ip("netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	ip("-n", name, "link", "add", "br0", "type", "bridge")
	ip("-n", name, "addr", "add", "192.0.2.1/24", "dev", "br0")
	ip("-n", name, "addr", "add", "2001:db8::1/64", "dev", "br0", "nodad")
	ip("-n", name, "link", "set", "br0", "up")
	for _, end := range []struct{ ns, mac, own string }{{name + "-a", "02:00:00:00:00:0a", "a"}, {name + "-b", "02:00:00:00:00:0b", "b"}} {
		ip("-n", name, "link", "add", "to-"+end.own, "type", "veth", "peer", "name", "eth0", "address", end.mac, "netns", end.ns)
		ip("-n", name, "link", "set", "to-"+end.own, "master", "br0", "up")
		ip("-n", end.ns, "addr", "add", "192.0.2.9/24", "dev", "eth0")
		ip("-n", end.ns, "addr", "add", "2001:db8::9/64", "dev", "eth0", "nodad")
		ip("-n", end.ns, "link", "set", "eth0", "up")
	}
	ip("-n", name+"-a", "addr", "add", "192.0.2.8/24", "dev", "eth0")
	ip("-n", name+"-a", "addr", "add", "2001:db8::8/64", "dev", "eth0", "nodad")

	program := filepath.Join(t.TempDir(), "prober")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the prober: %v: %s", err, out)
	}
	const a, b = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
	for addr, want := range map[string][]string{
		"192.0.2.7": {}, "192.0.2.8": {a}, "192.0.2.9": {a, b}, "2001:db8::7": {}, "2001:db8::8": {a}, "2001:db8::9": {a, b},
	} {
		out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", name, program, "whohas", "--addr", addr, "--wait", "300ms").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", addr, err, out)
		}
		var owners wire.Owners
		if err := json.Unmarshal(out, &owners); err != nil || !slices.Equal(owners.MACs, want) {
			t.Errorf("%s: %s (%v), want %v", addr, out, err, want)
		}
	}
}
