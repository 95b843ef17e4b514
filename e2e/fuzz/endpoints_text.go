package fuzz

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

// numbered is the name of a slice of Manual.Many: what comes before its number, the number, and what comes after it.
var numbered = regexp.MustCompile(`^(.*-more)(\d+)(-again)?$`)

// applied returns commands that apply slices by hand; apply is "kubectl apply" with its namespace. They stay short however many
// endpoints there are: slices that differ in their number only are applied by a loop, and a loop prints the endpoints that wait.
func (m *Manual) applied(list []discoveryv1.EndpointSlice, apply string) (commands []string) {
	for len(list) > 0 {
		first := list[0]
		var run, others []discoveryv1.EndpointSlice
		for _, s := range list {
			if s.Name == first.Name || sameButNumber(first, s) {
				run = append(run, s)
			} else {
				others = append(others, s)
			}
		}
		list = others
		document := m.document(first)
		if len(run) == 1 {
			commands = append(commands, fmt.Sprintf("%s -f - <<END\n%sEND", apply, document))
			continue
		}
		parts := numbered.FindStringSubmatch(first.Name)
		document = strings.ReplaceAll(document, "name: "+first.Name+"\n", "name: "+parts[1]+"$n"+parts[3]+"\n")
		document = strings.ReplaceAll(document, fmt.Sprintf("port: %d\n", firstMore+int32(numberOf(first))), fmt.Sprintf("port: $((%d + n))\n", firstMore))
		commands = append(commands, fmt.Sprintf("for n in %s; do %s -f - <<END\n%sEND\ndone", sequence(run), apply, document))
	}
	return commands
}

// numberOf is the number of a slice of Many; -1 for any other.
func numberOf(s discoveryv1.EndpointSlice) int {
	parts := numbered.FindStringSubmatch(s.Name)
	if parts == nil {
		return -1
	}
	n, _ := strconv.Atoi(parts[2]) // they are digits
	return n
}

// sameButNumber reports whether two slices of Many differ in their names and ports only as their numbers do.
func sameButNumber(a, b discoveryv1.EndpointSlice) bool {
	x, y := numbered.FindStringSubmatch(a.Name), numbered.FindStringSubmatch(b.Name)
	return x != nil && y != nil && x[1] == y[1] && x[3] == y[3] && reflect.DeepEqual(a.Endpoints, b.Endpoints)
}

// sequence is the numbers of slices for a loop of a shell.
func sequence(run []discoveryv1.EndpointSlice) string {
	var numbers []int
	for _, s := range run {
		numbers = append(numbers, numberOf(s))
	}
	step, last := numbers[1]-numbers[0], numbers[len(numbers)-1]
	if last-numbers[0] == step*(len(numbers)-1) {
		return fmt.Sprintf("$(seq %d %d %d)", numbers[0], step, last)
	}
	return strings.Trim(fmt.Sprint(numbers), "[]")
}

// document is a slice as YAML in a here-document, in which a loop prints the endpoints that wait.
func (m *Manual) document(s discoveryv1.EndpointSlice) string {
	const mark = "WAITING"
	first, count, at := m.waits(s)
	if count == 0 {
		return text(&s)
	}
	short := s.DeepCopy()
	short.Endpoints = append(short.Endpoints[:at], discoveryv1.Endpoint{Addresses: []string{mark}})
	body := text(short)
	loop := fmt.Sprintf("$(for n in $(seq %d %d); do echo \"- {addresses: ['%s'], conditions: {ready: false, serving: false}}\"; done)\n", first, first+count-1, m.shellAddress(s))
	return strings.Replace(body, "- addresses:\n  - "+mark+"\n  conditions: {}\n", loop, 1)
}

// waits returns the number of the first endpoint of a slice that waits, how many there are, and the place of the first; count is 0 if
// there is none.
func (m *Manual) waits(s discoveryv1.EndpointSlice) (first, count, at int) {
	for i, e := range s.Endpoints {
		addr, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			continue
		}
		for _, room := range m.Room {
			if n := vacancyOf(addr); world.FamilyOf(addr) == world.FamilyOf(room.Addr()) && n >= 0 && vacant(room, n) == addr {
				return n, len(s.Endpoints) - i, i // they are the last ones
			}
		}
	}
	return 0, 0, 0
}

// shellAddress is the address of the endpoint that waits with the number n, as a shell prints it.
func (m *Manual) shellAddress(s discoveryv1.EndpointSlice) string {
	for _, room := range m.Room {
		if string(world.FamilyOf(room.Addr())) != string(s.AddressType) {
			continue
		}
		first := vacant(room, 0)
		if first.Is4() {
			b := first.As4()
			return fmt.Sprintf("%d.%d.$((%d + n / %d)).$((1 + n %% %d))", b[0], b[1], vacantNet, vacantOfNet, vacantOfNet)
		}
		return fmt.Sprintf("$(printf %s%%x $((n + 1)))", strings.TrimSuffix(first.String(), "1"))
	}
	return ""
}

// summary says in a comment which slices there are in addition to those of Endpoints, for a reader of the start of a history.
func (m *Manual) summary(service string) string {
	var lines []string
	if m.Many > 0 {
		lines = append(lines, fmt.Sprintf("# and %d endpoints in slices %s-v4-more0 and so on: all backends, at port %d of each TCP port, at %d, …", m.Many, service, firstMore, firstMore+1))
	}
	if m.Waiting > 0 {
		lines = append(lines, fmt.Sprintf("# and %d endpoints that are not ready in slices %s-v4-waiting0 and so on, at most %d in each, at addresses that no pod has", m.Waiting, service, m.Size))
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
