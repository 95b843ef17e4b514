package world

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// MetalLBGroup is the API group of MetalLB's objects.
const MetalLBGroup = "metallb.io"

// AskAnnotation is the annotation in which a Service asks MetalLB for addresses, and ShareAnnotation the one in which it agrees to share
// them: Services with the same value may have the same address.
const (
	AskAnnotation   = MetalLBGroup + "/loadBalancerIPs"
	ShareAnnotation = MetalLBGroup + "/allow-shared-ip"
)

// Asked are the addresses that a Service asks MetalLB for.
func Asked(s *corev1.Service) (list []netip.Addr) {
	for text := range strings.SplitSeq(s.Annotations[AskAnnotation]+","+s.Spec.LoadBalancerIP, ",") {
		if addr, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil {
			list = append(list, addr)
		}
	}
	return list
}

// Pool is an IPAddressPool of MetalLB: its name, and its blocks of addresses as they are written. See ParseBlock.
type Pool struct {
	Name   string
	Blocks []string
}

// Pools lists MetalLB's pools of addresses.
func Pools(ctx context.Context, dyn dynamic.Interface) (pools []Pool, err error) {
	list, err := dyn.Resource(schema.GroupVersionResource{Group: MetalLBGroup, Version: "v1beta1", Resource: "ipaddresspools"}).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list MetalLB's pools: %w", err)
	}
	for _, item := range list.Items {
		blocks, _, err := unstructured.NestedStringSlice(item.Object, "spec", "addresses")
		if err != nil {
			return nil, fmt.Errorf("read pool %s: %w", item.GetName(), err)
		}
		pools = append(pools, Pool{item.GetName(), blocks})
	}
	return pools, nil
}

// Contains reports whether an address is in a block of the pool. A block that is none contains no address.
func (p Pool) Contains(addr netip.Addr) bool {
	return slices.ContainsFunc(p.Blocks, func(text string) bool {
		block, err := ParseBlock(text)
		return err == nil && block.Contains(addr)
	})
}

// Block is the addresses from First to Last, both of one IP family.
type Block struct{ First, Last netip.Addr }

// ParseBlock reads a block of a pool: a prefix or "first-last". The error names the text.
func ParseBlock(text string) (Block, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		first := prefix.Masked().Addr()
		last := first.AsSlice()
		for bit := prefix.Bits(); bit < first.BitLen(); bit++ {
			last[bit/8] |= 1 << (7 - bit%8)
		}
		addr, _ := netip.AddrFromSlice(last) // it is as long as the first one
		return Block{first, addr}, nil
	}
	from, to, _ := strings.Cut(text, "-")
	first, err := netip.ParseAddr(strings.TrimSpace(from))
	if err != nil {
		return Block{}, fmt.Errorf("block %q is neither a prefix nor first-last: %w", text, err)
	}
	last, err := netip.ParseAddr(strings.TrimSpace(to))
	if err != nil {
		return Block{}, fmt.Errorf("block %q is neither a prefix nor first-last: %w", text, err)
	}
	if first.BitLen() != last.BitLen() {
		return Block{}, fmt.Errorf("block %q has addresses of two IP families", text)
	}
	return Block{first, last}, nil
}

// Contains reports whether an address is in the block.
func (b Block) Contains(addr netip.Addr) bool {
	return addr.BitLen() == b.First.BitLen() && b.First.Compare(addr) <= 0 && addr.Compare(b.Last) <= 0
}
