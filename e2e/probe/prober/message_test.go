package main

import (
	"encoding/hex"
	"slices"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/svclab/svclab/e2e/reach"
)

// Responses as CoreDNS packs them, names compressed.
const (
	aliasOfAlias = "123485000001000300000000037765620473686f700373766307636c7573746572056c6f63616c0000010001" +
		"c00c0005000100000005001103777777076578616d706c6503636f6d00c03800050001000000050002c03cc03c00010001000000050004c0000250"
	plainAddress = "1234850000010001000000000a6d792d736572766963650764656661756c740373766307636c7573746572056c6f63616c0000010001" +
		"c00c000100010000000500040a607607"
	danglingAlias = "123485030001000100000000037765620473686f700373766307636c7573746572056c6f63616c0000010001" +
		"c00c0005000100000005001204676f6e65076578616d706c6503636f6d00"
	serverFailure = "1234850200010000000000000a6d792d736572766963650764656661756c740373766307636c7573746572056c6f63616c0000010001"
)

func packet(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseMessage(t *testing.T) {
	for name, test := range map[string]struct {
		packet   string
		question string
		rcode    string
		answers  int
		chain    []string
	}{
		"alias of an alias": {aliasOfAlias, "web.shop.svc.cluster.local.", "NOERROR", 3, []string{"www.example.com", "example.com"}},
		"plain address":     {plainAddress, "my-service.default.svc.cluster.local.", "NOERROR", 1, nil},
		"dangling alias":    {danglingAlias, "web.shop.svc.cluster.local.", "NXDOMAIN", 1, []string{"gone.example.com"}},
		"server failure":    {serverFailure, "my-service.default.svc.cluster.local.", "SERVFAIL", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, ok := parseMessage(packet(t, test.packet))
			if !ok {
				t.Fatal("not read")
			}
			if m.question != test.question || mnemonic(m.rcode) != test.rcode || len(m.answers) != test.answers {
				t.Errorf("got %+v", m)
			}
			if got := m.chain(); !slices.Equal(got, test.chain) {
				t.Errorf("chain %v, want %v", got, test.chain)
			}
		})
	}
}

// A message that is cut anywhere, or whose pointers lead nowhere, is refused and never read past its end.
func TestParseMessageRefusesBroken(t *testing.T) {
	for _, text := range []string{aliasOfAlias, serverFailure} {
		whole := packet(t, text)
		for n := range whole {
			if _, ok := parseMessage(whole[:n]); ok {
				t.Errorf("the first %d of %d bytes were parsed as a message", n, len(whole))
			}
		}
	}
	whole := packet(t, aliasOfAlias)
	loop := slices.Clone(whole)
	loop[12], loop[13] = 0xc0, 12 // the question's name points at itself
	if _, ok := parseMessage(loop); ok {
		t.Error("a name that points at itself was read")
	}
	query := slices.Clone(whole)
	query[2] &^= 0x80
	if _, ok := parseMessage(query); ok {
		t.Error("a query was taken for a response")
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, text := range []string{aliasOfAlias, plainAddress, danglingAlias, serverFailure} {
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := parseMessage(b); ok && len(m.chain()) > len(m.answers) {
			t.Errorf("%d answers made a chain of %d", len(m.answers), len(m.chain()))
		}
	})
}

func TestChainOfLoopEnds(t *testing.T) {
	m := message{question: "a.", answers: []answer{{"a.", "b."}, {"b.", "a."}}}
	if got := m.chain(); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestLookupOutcomeByRcode(t *testing.T) {
	failed := message{question: "x.", rcode: 2}
	refused := message{question: "x.", rcode: 5}
	for _, test := range []struct {
		messages []message
		want     reach.Outcome
	}{
		{[]message{failed}, reach.WrongAnswer},
		{[]message{refused, {question: "x.", rcode: dnsmessage.RCodeNameError}}, reach.WrongAnswer},
		{nil, reach.ProbeFailed},
	} {
		if got, detail := lookupOutcome("x", errTest, test.messages, nil); got != test.want {
			t.Errorf("%v: got %s (%s), want %s", test.messages, got, detail, test.want)
		}
	}
}
