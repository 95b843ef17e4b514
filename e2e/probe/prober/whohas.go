package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

const (
	// whoHasTries requests are sent during the wait, because one broadcast may be lost.
	whoHasTries = 3
	whoHasMost  = 30 * time.Second
)

// whoHas resolves an address on the link by ARP or NDP and prints every owner that answers, not only the first: its purpose
// is to find two owners of one address.
func whoHas(args []string, stdout, stderr io.Writer) error {
	var (
		set  = flag.NewFlagSet("prober whohas", flag.ContinueOnError)
		addr = set.String("addr", "", "address to resolve")
		wait = set.Duration("wait", time.Second, "how long to listen for answers")
	)
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		return badInput{err}
	}
	target, err := netip.ParseAddr(*addr)
	if err != nil || set.NArg() > 0 {
		return badf("whohas wants --addr with an IP address, got %q", args)
	}
	if *wait <= 0 || *wait > whoHasMost {
		return badf("--wait %s: want a positive duration of at most %s", *wait, whoHasMost)
	}
	link, source, err := linkTo(target.Unmap())
	if err != nil {
		return err
	}
	owners, err := solicit(link, source, target.Unmap(), *wait)
	if err != nil {
		return fmt.Errorf("resolve %s on %s: %w", target, link.Name, err)
	}
	if owners == nil {
		owners = []string{} // no owner is a result, so JSON must show [] and not null
	}
	slices.Sort(owners)
	return json.NewEncoder(stdout).Encode(wire.Owners{Addr: target.Unmap(), Link: link.Name, MACs: slices.Compact(owners)})
}

// linkTo returns the interface that has the address in its network, and the interface's own address there.
func linkTo(target netip.Addr) (net.Interface, netip.Addr, error) {
	links, err := net.Interfaces()
	if err != nil {
		return net.Interface{}, netip.Addr{}, fmt.Errorf("list the interfaces: %w", err)
	}
	for _, link := range links {
		if len(link.HardwareAddr) == 0 || link.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			return net.Interface{}, netip.Addr{}, fmt.Errorf("list the addresses of %s: %w", link.Name, err)
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Contains(target) {
				return link, prefix.Addr(), nil
			}
		}
	}
	return net.Interface{}, netip.Addr{}, fmt.Errorf("no interface has a network with %s", target)
}

// links prints the hardware addresses of this machine's interfaces.
func links(stdout io.Writer) error {
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the interfaces: %w", err)
	}
	var out wire.Links
	for _, link := range all {
		if len(link.HardwareAddr) > 0 {
			out.MACs = append(out.MACs, link.HardwareAddr.String())
		}
	}
	return json.NewEncoder(stdout).Encode(out)
}
