package cluster

import (
	"net/netip"
	"testing"
)

const kubeadmCorefile = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

const forwardedCorefile = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . 172.19.0.2:53 [fd00::2]:53
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

func TestForwardTo(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("172.19.0.2"), netip.MustParseAddr("fd00::2")}
	for name, from := range map[string]string{"kubeadm's": kubeadmCorefile, "svclab's own": forwardedCorefile} {
		got, err := forwardTo(from, addrs)
		if err != nil || got != forwardedCorefile {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
	if got, err := forwardTo(".:53 {\n errors\n}\n", addrs); err == nil {
		t.Errorf("a Corefile that forwards nothing was changed to %s", got)
	}
}
