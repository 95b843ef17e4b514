package main

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/svclab/svclab/e2e/probe/wire"
)

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
		err := attributes(m.Data, func(ad *netlink.AttributeDecoder) {
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
		})
		if err != nil {
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
