package oracle

import (
	"net/netip"

	"github.com/svclab/svclab/e2e/reach"
)

// prediction is a reach.Prediction with the routes that it was made of, one for each way that the objects leave open. Predict
// and Walk read the same one: what a walk says of a packet is what the prediction rests on.
type prediction struct {
	reach.Prediction
	routes []route
}

// route is what Predict decided about one way of a packet.
type route struct {
	// rule, said and outcomes are those of the way alone. An empty rule: whether this way is taken, and how it ends, is not known.
	rule     string
	said     reach.Phrase
	outcomes []reach.Outcome
	// client is the sender as at sees it, at the node that decides what happens to the packet, and to the address that it has
	// there. at is nil for a packet that meets no node. arrived: the three are set.
	client  client
	at      *node
	to      dest
	arrived bool
	// by is how at hands the packet on, and among the endpoints it chooses from. Both are nil if it does not.
	by    *delivery
	among *group
	// direct is what answers at an address that no proxy handles.
	direct *backend
}

// via notes where a packet is decided on, in the routes that have no such note. The innermost caller knows best.
func (p prediction) via(c client, at *node, to dest) prediction {
	for i := range p.routes {
		if r := &p.routes[i]; !r.arrived {
			r.client, r.at, r.to, r.arrived = c, at, to, true
		}
	}
	return p
}

// by notes a delivery.
func (p prediction) by(d delivery, g *group) prediction {
	for i := range p.routes {
		p.routes[i].by, p.routes[i].among = &d, g
	}
	return p
}

// to notes what has the address, where no proxy handles it.
func (p prediction) to(b backend) prediction {
	for i := range p.routes {
		p.routes[i].direct = &b
	}
	return p
}

// addrPort is the destination as a packet has it.
func (d dest) addrPort() netip.AddrPort { return netip.AddrPortFrom(d.addr, d.port) }
