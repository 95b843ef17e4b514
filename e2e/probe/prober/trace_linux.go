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
	"time"

	"github.com/google/nftables/expr"
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

// The hooks of the packet filter, by number.
func hooks() []string { return []string{"prerouting", "input", "forward", "output", "postrouting"} }

// Where the table's chains are: before all others, after connection tracking has found the packet's connection (-200), and after
// all others, those that rewrite source addresses (100) included.
const (
	markFirst, markAnswers, seeLast = -450, -199, 1000
	preRouting, localOut            = 0, 3
)

// rules are the table: packets of the class, and answers to them, are traced. Of a TCP connection, packets with SYN or RST are.
// At the end of each hook an empty chain makes the kernel report the headers.
func (t *kernelTracer) rules() ([]netlink.Message, error) {
	b := &nftBatch{table: t.table}
	b.add(unix.NFT_MSG_NEWTABLE, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_TABLE_NAME, t.table)
		ae.Uint32(unix.NFTA_TABLE_FLAGS, nftOwner)
	})
	b.add(unix.NFT_MSG_NEWSET, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_SET_TABLE, t.table)
		ae.String(unix.NFTA_SET_NAME, "flows")
		ae.Uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_EVAL|unix.NFT_SET_TIMEOUT)
		ae.Uint32(unix.NFTA_SET_KEY_TYPE, 0)
		ae.Uint32(unix.NFTA_SET_KEY_LEN, 4)
		ae.Uint32(unix.NFTA_SET_ID, 1)
		ae.Uint64(unix.NFTA_SET_TIMEOUT, uint64((5 * time.Minute).Milliseconds()))
	})
	for hook, name := range hooks() {
		b.chain("last-"+name, hook, seeLast)
	}
	id := &expr.Ct{Key: unix.NFT_CT_ID, Register: 1}
	for _, hook := range []int{preRouting, localOut} {
		first, answers := "first-"+hooks()[hook], "answers-"+hooks()[hook]
		b.chain(first, hook, markFirst)
		b.chain(answers, hook, markAnswers)
		for _, class := range t.ofClass() {
			for _, part := range openings() {
				b.rule(first, append(append(class(), part...), traceOn()...)...)
			}
			b.rule(answers, append(class(), id, &expr.Dynset{SrcRegKey: 1, SetName: "flows", SetID: 1, Operation: unix.NFT_DYNSET_OP_UPDATE})...)
		}
		for _, part := range openings() {
			b.rule(answers, append(append([]expr.Any{id, &expr.Lookup{SourceRegister: 1, SetName: "flows", SetID: 1},
				&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{1}}}, part...), traceOn()...)...)
		}
	}
	return b.messages, b.err
}

// ofClass matches the DSCP in the header, of either IP family.
func (t *kernelTracer) ofClass() []func() []expr.Any {
	in := func(family byte, offset uint32, mask, value []byte) func() []expr.Any {
		size := uint32(len(mask))
		return func() []expr.Any {
			return []expr.Any{
				&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
				&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value},
			}
		}
	}
	return []func() []expr.Any{
		in(unix.NFPROTO_IPV4, 1, []byte{0xfc}, []byte{t.class << 2}),
		in(unix.NFPROTO_IPV6, 0, []byte{0x0f, 0xc0}, binary.BigEndian.AppendUint16(nil, uint16(t.class)<<6)),
	}
}

// openings match the packets that open or reject a connection: those with SYN or RST of TCP, and all of other protocols.
func openings() [][]expr.Any {
	protocol := func(op expr.CmpOp) []expr.Any {
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte{unix.IPPROTO_TCP}}}
	}
	return [][]expr.Any{
		append(protocol(expr.CmpOpEq),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{tcpSYN | tcpRST}, Xor: []byte{0}},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}}),
		protocol(expr.CmpOpNeq),
	}
}

// traceOn is "meta nftrace set 1".
func traceOn() []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: []byte{1}}, &expr.Meta{Key: expr.MetaKeyNFTRACE, SourceRegister: true, Register: 1}}
}

// nftBatch is one transaction of nf_tables.
type nftBatch struct {
	table    string
	messages []netlink.Message
	err      error
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

func (b *nftBatch) add(kind netlink.HeaderType, fill func(*netlink.AttributeEncoder)) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	fill(ae)
	data, err := ae.Encode()
	b.err = errors.Join(b.err, err)
	flags := netlink.Request | netlink.Acknowledge | netlink.Create
	if kind == unix.NFT_MSG_NEWTABLE {
		flags |= netlink.Excl
	}
	if kind == unix.NFT_MSG_NEWRULE {
		flags |= netlink.Append
	}
	b.messages = append(b.messages, nftMessage(unix.NFPROTO_INET, kind, flags, data))
}

func (b *nftBatch) chain(name string, hook, priority int) {
	b.add(unix.NFT_MSG_NEWCHAIN, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_CHAIN_TABLE, b.table)
		ae.String(unix.NFTA_CHAIN_NAME, name)
		ae.String(unix.NFTA_CHAIN_TYPE, "filter")
		ae.Nested(unix.NFTA_CHAIN_HOOK, func(ae *netlink.AttributeEncoder) error {
			ae.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(hook))
			ae.Int32(unix.NFTA_HOOK_PRIORITY, int32(priority))
			return nil
		})
	})
}

func (b *nftBatch) rule(chain string, expressions ...expr.Any) {
	b.add(unix.NFT_MSG_NEWRULE, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_RULE_TABLE, b.table)
		ae.String(unix.NFTA_RULE_CHAIN, chain)
		ae.Nested(unix.NFTA_RULE_EXPRESSIONS, func(ae *netlink.AttributeEncoder) error {
			for _, e := range expressions {
				data, err := expr.Marshal(unix.NFPROTO_INET, e)
				if err != nil {
					return err
				}
				ae.Bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, data)
			}
			return nil
		})
	})
}

// nftMessage is a message of nf_tables with its header (struct nfgenmsg).
func nftMessage(family byte, kind netlink.HeaderType, flags netlink.HeaderFlags, data []byte) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | kind, Flags: flags},
		Data: append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...)}
}

// transact sends a batch through the socket that owns the table, and reads the acknowledgements.
func (t *kernelTracer) transact(messages []netlink.Message) error {
	frame := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request},
			Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}}
	}
	batch := append(append([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN)}, messages...), frame(unix.NFNL_MSG_BATCH_END))
	if _, err := t.owner.SendMessages(batch); err != nil {
		return err
	}
	for acks := 0; acks < len(messages); {
		if err := t.owner.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		got, err := t.owner.Receive() // returns the error of an acknowledgement
		if err != nil {
			return err
		}
		acks += len(got)
	}
	return nil
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
	ad, err := netlink.NewAttributeDecoder(data[4:])
	if err != nil {
		return e, err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
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
	}
	if err := ad.Err(); err != nil {
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
		ad, err := netlink.NewAttributeDecoder(m.Data[min(4, len(m.Data)):])
		if err != nil {
			return baseChain{}, err
		}
		ad.ByteOrder = binary.BigEndian
		for ad.Next() {
			if ad.Type() != unix.NFTA_CHAIN_HOOK {
				continue
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
		}
		if err := ad.Err(); err != nil {
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

// Attributes of conntrack (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const (
	ctOrig, ctReply, ctStatus, ctMark, ctZone = 1, 2, 3, 8, 18
	ctIP, ctProto                             = 1, 2 // of a tuple
	ctSrc4, ctDst4, ctSrc6, ctDst6            = 1, 2, 3, 4
	ctNumber, ctSrcPort, ctDstPort            = 1, 2, 3
	ctGet                                     = 1      // IPCTNL_MSG_CT_GET
	ctSeenReply                               = 1 << 1 // IPS_SEEN_REPLY
)

// flow asks conntrack for the connection whose first packet had these addresses.
func (t *kernelTracer) flow(protocol uint8, src, dst netip.AddrPort) (wire.TracedFlow, error) {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	family, srcType, dstType := byte(unix.AF_INET), uint16(ctSrc4), uint16(ctDst4)
	if src.Addr().Is6() {
		family, srcType, dstType = unix.AF_INET6, ctSrc6, ctDst6
	}
	ae.Nested(ctOrig, func(ae *netlink.AttributeEncoder) error {
		ae.Nested(ctIP, func(ae *netlink.AttributeEncoder) error {
			ae.Bytes(srcType, src.Addr().AsSlice())
			ae.Bytes(dstType, dst.Addr().AsSlice())
			return nil
		})
		ae.Nested(ctProto, func(ae *netlink.AttributeEncoder) error {
			ae.Uint8(ctNumber, protocol)
			ae.Uint16(ctSrcPort, src.Port())
			ae.Uint16(ctDstPort, dst.Port())
			return nil
		})
		return nil
	})
	var found wire.TracedFlow
	data, err := ae.Encode()
	if err != nil {
		return found, err
	}
	answers, err := askConntrack(append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...))
	if err != nil {
		return found, err
	}
	for _, m := range answers {
		ad, err := netlink.NewAttributeDecoder(m.Data[min(4, len(m.Data)):])
		if err != nil {
			return found, err
		}
		ad.ByteOrder = binary.BigEndian
		for ad.Next() {
			switch ad.Type() {
			case ctOrig:
				ad.Nested(tuple(&found.From, &found.To))
			case ctReply:
				ad.Nested(tuple(&found.ReplyFrom, &found.ReplyTo))
			case ctStatus:
				found.Answered = ad.Uint32()&ctSeenReply != 0
			case ctMark:
				found.Mark = ad.Uint32()
			case ctZone:
				found.Zone = ad.Uint16()
			}
		}
		if err := ad.Err(); err != nil {
			return found, err
		}
	}
	return found, nil
}

// askConntrack sends a request for one entry. The kernel marks its answer as the first of several and sends no other
// (ctnetlink_fill_info in net/netfilter/nf_conntrack_netlink.c of Linux), so netlink.Conn would wait for the others.
func askConntrack(data []byte) ([]syscall.NetlinkMessage, error) {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(socket) }()
	message := netlink.Message{Header: netlink.Header{Length: uint32(unix.NLMSG_HDRLEN + len(data)), Sequence: 1,
		Type: unix.NFNL_SUBSYS_CTNETLINK<<8 | ctGet, Flags: netlink.Request}, Data: data}
	request, err := message.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if err := unix.Sendto(socket, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answer := make([]byte, 8192)
	size, _, err := unix.Recvfrom(socket, answer, 0) // the kernel has answered before Sendto returned
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:size])
	if err == nil && len(messages) > 0 && messages[0].Header.Type == unix.NLMSG_ERROR && len(messages[0].Data) >= 4 {
		return nil, syscall.Errno(-int32(binary.NativeEndian.Uint32(messages[0].Data)))
	}
	return messages, err
}

// tuple decodes the addresses and ports of one direction.
func tuple(src, dst *netip.AddrPort) func(*netlink.AttributeDecoder) error {
	return func(ad *netlink.AttributeDecoder) error {
		var addrs [2]netip.Addr
		var ports [2]uint16
		for ad.Next() {
			kind := ad.Type()
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					switch {
					case kind == ctIP && ad.Type() <= ctDst6:
						addrs[(ad.Type()-1)%2], _ = netip.AddrFromSlice(ad.Bytes())
					case kind == ctProto && (ad.Type() == ctSrcPort || ad.Type() == ctDstPort):
						ports[ad.Type()-ctSrcPort] = ad.Uint16()
					}
				}
				return nil
			})
		}
		*src, *dst = netip.AddrPortFrom(addrs[0], ports[0]), netip.AddrPortFrom(addrs[1], ports[1])
		return nil
	}
}

// Flags of TCP.
const tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

// parseHeader reads the headers of a packet, as far as the kernel reports them: 40 bytes and 20 bytes.
func parseHeader(network, transport []byte) *wire.TraceHeader {
	var (
		h        wire.TraceHeader
		src, dst netip.Addr
		protocol byte
	)
	switch {
	case len(network) >= 20 && network[0]>>4 == 4:
		h.Class, protocol = network[1]>>2, network[9]
		src, _ = netip.AddrFromSlice(network[12:16])
		dst, _ = netip.AddrFromSlice(network[16:20])
	case len(network) >= 40 && network[0]>>4 == 6:
		h.Class, protocol = byte(binary.BigEndian.Uint16(network)>>6)&0x3f, network[6]
		src, _ = netip.AddrFromSlice(network[8:24])
		dst, _ = netip.AddrFromSlice(network[24:40])
	}
	var from, to uint16
	if (protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP) && len(transport) >= 4 {
		from, to = binary.BigEndian.Uint16(transport), binary.BigEndian.Uint16(transport[2:])
	}
	h.Src, h.Dst = netip.AddrPortFrom(src, from), netip.AddrPortFrom(dst, to)
	switch protocol {
	case unix.IPPROTO_TCP:
		h.Protocol = "TCP"
		if len(transport) >= 14 {
			for _, flag := range []struct {
				bit  byte
				name string
			}{{tcpSYN, "S"}, {tcpACK, "A"}, {tcpRST, "R"}, {tcpFIN, "F"}} {
				if transport[13]&flag.bit != 0 {
					h.Flags += flag.name
				}
			}
		}
	case unix.IPPROTO_UDP:
		h.Protocol = "UDP"
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		h.Protocol = "ICMP"
	default:
		h.Protocol = fmt.Sprint(protocol)
	}
	return &h
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
