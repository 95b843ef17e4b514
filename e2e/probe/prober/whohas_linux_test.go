package main

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
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
