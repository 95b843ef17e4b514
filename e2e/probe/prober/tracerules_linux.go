package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

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
