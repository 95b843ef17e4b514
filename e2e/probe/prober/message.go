package main

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// rcode is a DNS response code.
type rcode uint8

const (
	rcodeSuccess   rcode = 0
	rcodeNameError rcode = 3
)

// String is the code's mnemonic (RFC 1035, 4.1.1).
func (r rcode) String() string {
	switch r {
	case rcodeSuccess:
		return "NOERROR"
	case 1:
		return "FORMERR"
	case 2:
		return "SERVFAIL"
	case rcodeNameError:
		return "NXDOMAIN"
	case 4:
		return "NOTIMP"
	case 5:
		return "REFUSED"
	default:
		return fmt.Sprintf("RCODE %d", uint8(r))
	}
}

// typeCNAME is the record type of an alias.
const typeCNAME = 5

// message is what matters of a DNS response: who was asked about, and the names of its answers.
type message struct {
	question string // with the final dot
	rcode    rcode
	answers  []answer
}

// answer is one record of a message's answer section; alias is set for a CNAME.
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
	for range m.answers { // a loop of aliases ends here
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

// parseMessage reads a DNS response with one question (RFC 1035, 4.1). ok is false for anything else.
func parseMessage(packet []byte) (m message, ok bool) {
	const header, response = 12, 1 << 15
	if len(packet) < header {
		return m, false
	}
	flags := binary.BigEndian.Uint16(packet[2:])
	if flags&response == 0 || binary.BigEndian.Uint16(packet[4:]) != 1 {
		return m, false
	}
	m.rcode = rcode(flags & 0xf)
	at := header
	if m.question, at, ok = readName(packet, at); !ok {
		return m, false
	}
	at += 4 // type and class
	for range binary.BigEndian.Uint16(packet[6:]) {
		var a answer
		if a.owner, at, ok = readName(packet, at); !ok || at+10 > len(packet) {
			return m, false
		}
		kind := binary.BigEndian.Uint16(packet[at:])
		size := int(binary.BigEndian.Uint16(packet[at+8:]))
		at += 10
		if at+size > len(packet) {
			return m, false
		}
		if kind == typeCNAME {
			if a.alias, _, ok = readName(packet, at); !ok {
				return m, false
			}
		}
		at += size
		m.answers = append(m.answers, a)
	}
	return m, true
}

// readName reads a possibly compressed name at an offset and returns it with its final dot, and the offset
// behind it. Pointers must lead backwards, so that it ends.
func readName(packet []byte, at int) (name string, end int, ok bool) {
	var (
		labels strings.Builder
		jumped = false
		floor  = at
	)
	for {
		if at >= len(packet) {
			return "", 0, false
		}
		size := int(packet[at])
		switch {
		case size == 0:
			if !jumped {
				end = at + 1
			}
			if labels.Len() == 0 {
				return ".", end, true
			}
			return labels.String(), end, true
		case size&0xc0 == 0xc0:
			if at+1 >= len(packet) {
				return "", 0, false
			}
			target := size&0x3f<<8 | int(packet[at+1])
			if target >= floor {
				return "", 0, false
			}
			if !jumped {
				end = at + 2
			}
			jumped, at, floor = true, target, target
		case size > 63 || at+1+size > len(packet):
			return "", 0, false
		default:
			labels.Write(packet[at+1 : at+1+size])
			labels.WriteByte('.')
			at += 1 + size
		}
	}
}
