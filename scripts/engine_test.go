//go:build e2e && linux

package scripts_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEngineLeavesTheHostAsItWas starts a private engine in a network namespace of its own, runs a container on it, ends it
// in both ways, by down and by SIGKILL and a later down, and compares packet filter, links, routes and settings with before.
func TestEngineLeavesTheHostAsItWas(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a private engine runs only as root")
	}
	namespace := "svclab-test-" + strconv.Itoa(os.Getpid())
	folder, err := os.MkdirTemp("", "svclab")
	if err != nil {
		t.Fatal(err)
	}
	command := func(argv ...string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/run/netns/" + namespace}, argv...)...)
		cmd.Env = append(os.Environ(), "SVCLAB_ENGINE=private", "SVCLAB_ENGINE_HOME="+folder+"/home", "SVCLAB_ENGINE_RUN="+folder+"/run", "DOCKER_HOST=unix://"+folder+"/run/docker.sock")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return string(out), fmt.Errorf("%q: %w\n%s", argv, err, stderr.String())
		}
		return string(out), nil
	}
	in := func(argv ...string) string {
		t.Helper()
		out, err := command(argv...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out, err := exec.Command("ip", "netns", "add", namespace).CombinedOutput(); err != nil {
		t.Fatalf("make a network namespace: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := command("./engine.sh", "down"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err := exec.Command("ip", "netns", "delete", namespace).CombinedOutput(); err != nil {
			t.Errorf("delete the network namespace: %v\n%s", err, out)
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	in("sh", "-c", "ip link set lo up; sysctl -qw net.ipv4.ip_forward=0; iptables -P FORWARD DROP; iptables -A FORWARD -i eth9 -j REJECT; iptables -t nat -A POSTROUTING -s 192.0.2.0/24 ! -o eth9 -j MASQUERADE")
	counters := regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]|counter packets \d+ bytes \d+`)
	marked := regexp.MustCompile(`(?m)^.*--comment "svclab: .*\n`)
	passing := regexp.MustCompile(`(?m)^net.netfilter.nf_conntrack_count.*\n`)
	state := func() string {
		t.Helper()
		filter := counters.ReplaceAllString(in("sh", "-c", "iptables-save; ip6tables-save; if command -v nft >/dev/null; then nft list ruleset; fi"), "")
		settings := in("sh", "-c", "sysctl --all --pattern '^net' 2>/dev/null")
		mounts := in("sh", "-c", "grep -F "+folder+" /proc/mounts || true")
		// of a process that was killed
		running := in("sh", "-c", "ps -eo args | grep -F "+folder+" | grep -v grep || true")
		return filter + in("sh", "-c", "ip -o link | cut -d ' ' -f 2-; ip route; ip -6 route") + passing.ReplaceAllString(settings, "") + mounts + running
	}
	want, rules := state(), counters.ReplaceAllString(in("iptables-save"), "")
	image := pauseImage(t)
	for _, killed := range []bool{false, true} {
		in("./engine.sh", "up")
		if killed {
			in("docker", "start", "aa")
		} else {
			in("sh", "-c", "docker import --change 'ENTRYPOINT [\"/pause\"]' "+image+" pause:test && docker network create net && docker run --detach --name aa --network net --publish 127.0.0.1:8099:80 pause:test")
		}
		if got := marked.ReplaceAllString(in("iptables-save"), ""); counters.ReplaceAllString(got, "") != rules {
			t.Errorf("killed %v: the engine has other rules than those for bridged frames:\n%s", killed, difference(rules, got))
		}
		if forward := in("sysctl", "-n", "net.ipv4.ip_forward"); forward != "0\n" {
			t.Errorf("killed %v: the engine switched IP forwarding on", killed)
		}
		if killed {
			text, err := os.ReadFile(filepath.Join(folder, "run", "docker.pid"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		in("./engine.sh", "down")
		if got := state(); got != want {
			t.Errorf("killed %v: the host differs from before:\n%s", killed, difference(want, got))
		}
	}
}

// pauseImage builds the smallest program that waits, as a file system of one file, and returns its path.
func pauseImage(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.Command("go", "-C", "components/programs", "build", "-o", filepath.Join(folder, "pause"), "./pause")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(folder, "pause"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(folder, "pause.tar")
	if err := os.WriteFile(image, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return image
}

// difference lists the lines that only one of two texts has.
func difference(before, after string) string {
	var lines []string
	for _, side := range []struct{ mark, of, not string }{{"- ", before, after}, {"+ ", after, before}} {
		for line := range strings.Lines(side.of) {
			if !strings.Contains("\n"+side.not, "\n"+line) {
				lines = append(lines, side.mark+line)
			}
		}
	}
	return strings.Join(lines, "")
}
