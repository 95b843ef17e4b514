package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:7580 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41001 1 0000000000000000 100 0 0 10 0
   1: 0100007F:7580 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 41002 1 0000000000000000 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41003 1 0000000000000000 100 0 0 10 0
`
	if got := listeners(table, 30080); !slices.Equal(got, []string{"41001"}) {
		t.Errorf("%q", got)
	}
}

func TestTakenPortNamesItsHolder(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)

	process := &fakeEngine{t: t}
	err = checkPort(t.Context(), process.engine(), true, port)
	if !errors.Is(err, ErrPortTaken) {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Error(), fmt.Sprintf("taken by process %d (", os.Getpid())) {
		t.Errorf("the holder is this process: %v", err)
	}
	container := &fakeEngine{t: t, answers: map[string]string{fmt.Sprintf("ps --filter publish=%d", port): "web"}}
	if err := checkPort(t.Context(), container.engine(), true, port); err == nil || !strings.Contains(err.Error(), "taken by the container web; fix: stop what holds port") {
		t.Error(err)
	}
	if err := checkPort(t.Context(), process.engine(), false, port); err != nil {
		t.Errorf("an engine elsewhere publishes elsewhere: %v", err)
	}
}

func TestFreePort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := checkPort(t.Context(), (&fakeEngine{t: t}).engine(), true, port); err != nil {
		t.Error(err)
	}
}
