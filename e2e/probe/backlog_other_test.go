//go:build !unix

package probe

import (
	"net/netip"
	"testing"
)

// fullBacklog is had on Unix only.
func fullBacklog(t *testing.T) netip.AddrPort {
	t.Helper()
	t.Skip("a listener's queue cannot be filled on this system")
	return netip.AddrPort{}
}
