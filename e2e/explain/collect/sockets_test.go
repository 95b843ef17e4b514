package collect

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Of a pod in which one program listens on 127.0.0.1:8080 and another, over IPv6 and IPv4, on 8081; the third line is
// a connection.
const (
	tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 186425 1 0000000000000000 100 0 0 10 0
   1: 0B01F40A:9C4C 0100600A:01BB 01 00000000:00000000 02:00000A9A 00000000 65532        0 186430 2 0000000000000000 20 4 30 10 -1
`
	tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 186426 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 186427 1 0000000000000000 100 0 0 10 0
`
	udp = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  113: 00000000:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000 65532        0 186428 2 0000000000000000 0
`
)

func TestParseSockets(t *testing.T) {
	for _, tc := range []struct {
		text     string
		protocol corev1.Protocol
		want     string
	}{
		{tcp, corev1.ProtocolTCP, "[{127.0.0.1 8080 TCP}]"},
		{tcp6, corev1.ProtocolTCP, "[{:: 8081 TCP} {::1 80 TCP}]"},
		{udp, corev1.ProtocolUDP, "[{0.0.0.0 8081 UDP}]"},
		{"", corev1.ProtocolTCP, "[]"},
		{"cat: /proc/net/tcp6: No such file or directory", corev1.ProtocolTCP, "[]"},
	} {
		if got := fmt.Sprint(parseSockets(tc.text, tc.protocol)); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}
