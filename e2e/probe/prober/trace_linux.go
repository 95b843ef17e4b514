package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/svclab/svclab/e2e/probe/wire"
)

const (
	// traceBuffer holds the events of a trace until they are collected; one takes about 1 KiB of it.
	traceBuffer = 8 << 20
	// traceMost bounds the events of one trace.
	traceMost = 20_000
)

// Attributes of a trace message (enum nft_trace_attributes in include/uapi/linux/netfilter/nf_tables.h).
const (
	traceTable = iota + 1
	traceChain
	traceRule
	traceType
	traceVerdict
	traceID
	_ // the link-layer header
	traceNetwork
	traceTransport
	traceIn
	_ // the type of the link
	traceOut
	_ // the type of the link
	traceMark
)

// nftOwner is NFT_TABLE_F_OWNER: the kernel removes the table when the socket that made it closes, and no other may change it.
const nftOwner = 2

// kernelTracer marks packets by a table of its own, and reads what nf_tables reports of them.
type kernelTracer struct {
	table string
	class uint8
	owner *netlink.Conn // the socket that the table belongs to
	asks  *netlink.Conn
	hears int // a socket in NFNLGRP_NFTRACE
	bases map[string]baseChain
	links map[uint32]string
}

// baseChain is where the kernel calls a chain. hook is empty for a chain that others jump to.
type baseChain struct {
	hook     string
	priority int
}

func startTracer(class uint8) (tracer, error) {
	t := &kernelTracer{table: fmt.Sprintf("%s%d", wire.TraceTable, class), class: class, hears: -1, bases: map[string]baseChain{}, links: map[uint32]string{}}
	if err := t.start(); err != nil {
		_ = t.Close() // what is wrong is known
		return nil, fmt.Errorf("trace packets of this network namespace, which needs CAP_NET_ADMIN in it and Linux 5.12 or newer: %w", err)
	}
	return t, nil
}

func (t *kernelTracer) start() (err error) {
	for _, conn := range []**netlink.Conn{&t.owner, &t.asks} {
		if *conn, err = netlink.Dial(unix.NETLINK_NETFILTER, nil); err != nil {
			return fmt.Errorf("open a netlink socket: %w", err)
		}
	}
	if t.hears, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	if err := unix.SetsockoptInt(t.hears, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, traceBuffer); err != nil {
		return fmt.Errorf("set the size of the socket's buffer: %w", err)
	}
	if err := unix.Bind(t.hears, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind a netlink socket: %w", err)
	}
	if err := unix.SetsockoptInt(t.hears, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTRACE); err != nil {
		return fmt.Errorf("subscribe to trace messages: %w", err)
	}
	batch, err := t.rules()
	if err != nil {
		return fmt.Errorf("encode rules: %w", err)
	}
	if err := t.transact(batch); errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.EPERM) && t.taken() {
		return errTaken
	} else if err != nil {
		return fmt.Errorf("add table %s: %w", t.table, err)
	}
	return nil
}

func (t *kernelTracer) Table() string { return t.table }

// Close removes the table, because its owner closes.
func (t *kernelTracer) Close() error {
	var errs []error
	for _, conn := range []*netlink.Conn{t.owner, t.asks} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	if t.hears >= 0 {
		errs = append(errs, unix.Close(t.hears))
	}
	return errors.Join(errs...)
}

// taken reports whether the table is there. The kernel answers EPERM to one that another socket owns.
func (t *kernelTracer) taken() bool {
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.NFTA_TABLE_NAME, t.table)
	data, err := ae.Encode()
	if err != nil {
		return false
	}
	found, err := t.asks.Execute(nftMessage(unix.NFPROTO_INET, unix.NFT_MSG_GETTABLE, netlink.Request, data))
	return err == nil && len(found) > 0
}

// Collect implements tracer. The kernel queues an event while it handles the packet, so those of a packet that has left the
// node, or ended there, are in the socket, and there is nothing to wait for.
func (t *kernelTracer) Collect() (wire.Trace, error) {
	var seen wire.Trace
	buffer := make([]byte, 64<<10)
	for len(seen.Events) < traceMost {
		size, _, err := unix.Recvfrom(t.hears, buffer, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return seen, t.addFlows(&seen)
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			seen.Overrun = true
			continue
		case err != nil:
			return seen, err
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:size])
		if err != nil {
			return seen, err
		}
		for _, m := range messages {
			if m.Header.Type != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE || len(m.Data) < 4 {
				continue
			}
			event, err := t.event(m.Data)
			if err != nil {
				return seen, err
			}
			seen.Events = append(seen.Events, event)
		}
	}
	seen.Overrun = true
	return seen, t.addFlows(&seen)
}

// event decodes a trace message.
func (t *kernelTracer) event(data []byte) (wire.TraceEvent, error) {
	e := wire.TraceEvent{Family: familyName(data[0])}
	var network, transport []byte
	err := attributes(data, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case traceTable:
			e.Table = ad.String()
		case traceChain:
			e.Chain = ad.String()
		case traceRule:
			e.Handle = ad.Uint64()
		case traceType:
			e.Type = [...]string{"", "policy", "return", "rule"}[ad.Uint32()%4]
		case traceVerdict:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					switch ad.Type() {
					case unix.NFTA_VERDICT_CODE:
						e.Verdict = verdictName(int32(ad.Uint32()))
					case unix.NFTA_VERDICT_CHAIN:
						e.To = ad.String()
					}
				}
				return nil
			})
		case traceID:
			e.Packet = ad.Uint32()
		case traceNetwork:
			network = ad.Bytes()
		case traceTransport:
			transport = ad.Bytes()
		case traceIn:
			e.In = t.link(ad.Uint32())
		case traceOut:
			e.Out = t.link(ad.Uint32())
		case traceMark:
			e.Mark = ad.Uint32()
		case 16: // NFTA_TRACE_POLICY
			e.Verdict = verdictName(int32(ad.Uint32()))
		}
	})
	if err != nil {
		return e, fmt.Errorf("decode a trace message: %w", err)
	}
	e.Own = e.Table == t.table
	base, err := t.base(data[0], e.Table, e.Chain)
	if err != nil {
		return e, err
	}
	e.Hook, e.Priority = base.hook, base.priority
	if network != nil {
		e.Header = parseHeader(network, transport)
	}
	return e, nil
}

// attributes calls each with a decoder at every attribute of a message of netfilter, which begins with struct nfgenmsg.
func attributes(data []byte, each func(*netlink.AttributeDecoder)) error {
	ad, err := netlink.NewAttributeDecoder(data[min(4, len(data)):])
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		each(ad)
	}
	return ad.Err()
}

// link is the name of a link, by its index.
func (t *kernelTracer) link(index uint32) string {
	name, known := t.links[index]
	if !known {
		name = fmt.Sprintf("link %d", index)
		if found, err := net.InterfaceByIndex(int(index)); err == nil {
			name = found.Name
		}
		t.links[index] = name
	}
	return name
}

// base finds the hook of a chain. One that is not there any more has none.
func (t *kernelTracer) base(family byte, table, chain string) (baseChain, error) {
	key := strings.Join([]string{string(rune(family)), table, chain}, " ")
	if base, known := t.bases[key]; known {
		return base, nil
	}
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.NFTA_CHAIN_TABLE, table)
	ae.String(unix.NFTA_CHAIN_NAME, chain)
	data, err := ae.Encode()
	if err != nil {
		return baseChain{}, err
	}
	answers, err := t.asks.Execute(nftMessage(family, unix.NFT_MSG_GETCHAIN, netlink.Request, data))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return baseChain{}, fmt.Errorf("find the hook of chain %s of table %s: %w", chain, table, err)
	}
	var base baseChain
	for _, m := range answers {
		err := attributes(m.Data, func(ad *netlink.AttributeDecoder) {
			if ad.Type() != unix.NFTA_CHAIN_HOOK {
				return
			}
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					switch ad.Type() {
					case unix.NFTA_HOOK_HOOKNUM:
						if n := ad.Uint32(); int(n) < len(hooks()) {
							base.hook = hooks()[n]
						}
					case unix.NFTA_HOOK_PRIORITY:
						base.priority = int(int32(ad.Uint32()))
					}
				}
				return nil
			})
		})
		if err != nil {
			return baseChain{}, err
		}
	}
	t.bases[key] = base
	return base, nil
}

// addFlows reads the conntrack entries of the packets of the class.
func (t *kernelTracer) addFlows(seen *wire.Trace) error {
	type key struct {
		protocol string
		src, dst netip.AddrPort
	}
	asked := map[key]bool{}
	for _, e := range seen.Events {
		h := e.Header
		if h == nil || h.Class != t.class || !e.Own || e.Priority != markFirst || asked[key{h.Protocol, h.Src, h.Dst}] {
			continue
		}
		asked[key{h.Protocol, h.Src, h.Dst}] = true
		number, known := map[string]uint8{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP}[h.Protocol]
		if !known {
			continue
		}
		flow, err := t.flow(number, h.Src, h.Dst)
		if errors.Is(err, os.ErrNotExist) { // the packet was dropped
			continue
		}
		if err != nil {
			return fmt.Errorf("read the conntrack entry of %s to %s: %w", h.Src, h.Dst, err)
		}
		flow.Protocol = h.Protocol
		seen.Flows = append(seen.Flows, flow)
	}
	return nil
}

func familyName(family byte) string {
	switch family {
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	case unix.NFPROTO_INET:
		return "inet"
	}
	return fmt.Sprintf("family %d", family)
}

func verdictName(code int32) string {
	switch code {
	case unix.NFT_CONTINUE:
		return "continue"
	case unix.NFT_JUMP:
		return "jump"
	case unix.NFT_GOTO:
		return "goto"
	case unix.NFT_RETURN:
		return "return"
	case 0:
		return "drop"
	case 1:
		return "accept"
	case 2:
		return "stolen"
	case 3:
		return "queue"
	}
	return fmt.Sprintf("verdict %d", code)
}
