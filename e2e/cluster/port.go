package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// checkPort returns a *Problem that is ErrPortTaken when something listens on the port of 127.0.0.1 here. An engine on
// another machine, not a local one, publishes there, so its ports are not checked.
func checkPort(ctx context.Context, engine *docker.Engine, local bool, port uint16) error {
	if port == 0 || !local {
		return nil
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err == nil {
		if err := listener.Close(); err != nil {
			return fmt.Errorf("check port %d: %w", port, err)
		}
		// macOS allows a listener on 127.0.0.1 next to one on all addresses
		dialer := net.Dialer{Timeout: time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil // no process answers: the port is free
		}
		_ = conn.Close()
	}
	return problem(ErrPortTaken, fmt.Sprintf("stop what holds port %d, or set another published port (0: none)", port),
		"port %d of this machine, where the cluster's node port is to be published, is taken by %s", port, holder(ctx, engine, port))
}

// holder names the container or process that listens on a port, as far as that can be found.
func holder(ctx context.Context, engine *docker.Engine, port uint16) string {
	names, err := engine.Output(ctx, "ps", "--filter", fmt.Sprintf("publish=%d", port), "--format", "{{.Names}}")
	if err == nil && names != "" {
		return "the container " + strings.Join(strings.Fields(names), ", ")
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, inode := range listeners(string(text), port) {
			if process := processWith("/proc", inode); process != "" {
				return process
			}
		}
	}
	if out, err := exec.CommandContext(ctx, "lsof", "-nP", fmt.Sprintf("-iTCP:%d", port), "-sTCP:LISTEN", "-Fpc").Output(); err == nil {
		if m := regexp.MustCompile(`(?m)^p(\d+)\nc(.*)$`).FindSubmatch(bytes.TrimSpace(out)); m != nil {
			return fmt.Sprintf("process %s (%s)", m[1], m[2])
		}
	}
	return "a process that could not be found out"
}

// listeners parses /proc/net/tcp and returns the inodes of the sockets that listen on port.
func listeners(table string, port uint16) []string {
	var inodes []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		// "  0: 0100007F:7580 00000000:0000 0A … inode": local address, remote, state (0A is LISTEN)
		if len(fields) > 9 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// processWith returns the process that has the socket open: "process 123 (nginx)", or "".
func processWith(proc, inode string) string {
	descriptors, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err != nil {
		return ""
	}
	for _, fd := range descriptors {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			process := filepath.Dir(filepath.Dir(fd))
			name, err := os.ReadFile(filepath.Join(process, "comm"))
			if err != nil {
				name = []byte("of unknown name")
			}
			return fmt.Sprintf("process %s (%s)", filepath.Base(process), strings.TrimSpace(string(name)))
		}
	}
	return ""
}
