//go:build unix

package probe

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// fullBacklog is a listener whose queue is full, so that the kernel drops every further SYN: the one way to a
// silent port that needs no packet filter.
func fullBacklog(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	t.Cleanup(func() { _ = file.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	inet, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the socket's name is %v", name)
	}
	address := netip.AddrPortFrom(netip.AddrFrom4(inet.Addr), uint16(inet.Port))
	for range 16 { // until one does not get through
		conn, err := net.DialTimeout("tcp", address.String(), 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("this kernel accepts more than the backlog asks for")
	return address
}
