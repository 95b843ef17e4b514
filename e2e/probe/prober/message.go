package main

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// mnemonic returns the name that dig and RFC 1035, section 4.1.1, use for a response code.
func mnemonic(code dnsmessage.RCode) string {
	names := map[dnsmessage.RCode]string{
		dnsmessage.RCodeSuccess: "NOERROR", dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL",
		dnsmessage.RCodeNameError: "NXDOMAIN", dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED",
	}
	if name, known := names[code]; known {
		return name
	}
	return fmt.Sprintf("RCODE %d", code)
}

// message is the part of a DNS response that the prober needs: the question's name, the response code, and the names in
// the answer section. Names end with a dot.
type message struct {
	question string
	rcode    dnsmessage.RCode
	answers  []answer
}

// answer is one record of a message's answer section. alias is the target of a CNAME and empty for other records.
type answer struct {
	owner string
	alias string
}

// chain follows the aliases from the question on and returns their targets, without final dots.
func (m message) chain() []string {
	var (
		chain []string
		at    = m.question
	)
	for range m.answers { // bounds a loop of aliases
		next := ""
		for _, a := range m.answers {
			if a.alias != "" && strings.EqualFold(a.owner, at) {
				next = a.alias
				break
			}
		}
		if next == "" {
			break
		}
		chain, at = append(chain, strings.TrimSuffix(next, ".")), next
	}
	return chain
}

// parseMessage parses a DNS response with exactly one question. ok is false for every other packet.
func parseMessage(packet []byte) (m message, ok bool) {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil || !header.Response {
		return m, false
	}
	questions, err := parser.AllQuestions()
	if err != nil || len(questions) != 1 {
		return m, false
	}
	m.question, m.rcode = questions[0].Name.String(), header.RCode
	for {
		record, err := parser.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return m, true
		}
		if err != nil {
			return m, false
		}
		a := answer{owner: record.Name.String()}
		// Only aliases are decoded: a record of an unknown or broken type must not hide the others.
		if record.Type == dnsmessage.TypeCNAME {
			var alias dnsmessage.CNAMEResource
			alias, err = parser.CNAMEResource()
			a.alias = alias.CNAME.String()
		} else {
			err = parser.SkipAnswer()
		}
		if err != nil {
			return m, false
		}
		m.answers = append(m.answers, a)
	}
}
