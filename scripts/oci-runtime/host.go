//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const sysResource = 24 // CAP_SYS_RESOURCE, see capabilities(7)

// capabilityNames in the order of their numbers, see linux/capability.h. A name that is not here is newer than
// this list and left as it is.
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// hostLimits are what a process started here can have.
type hostLimits struct {
	bounding uint64                            // the capability bounding set, a bit per capability
	oomScore int                               // the current OOM score adjustment
	hard     func(resource int) (uint64, bool) // a resource's hard limit
}

func readHost() (hostLimits, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return hostLimits{}, err
	}
	bounding, err := parseBounding(string(status))
	if err != nil {
		return hostLimits{}, err
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return hostLimits{}, err
	}
	oomScore, err := strconv.Atoi(strings.TrimSpace(string(score)))
	if err != nil {
		return hostLimits{}, fmt.Errorf("read oom_score_adj: %w", err)
	}
	return hostLimits{bounding: bounding, oomScore: oomScore, hard: hardLimit}, nil
}

// parseBounding reads the CapBnd line of /proc/PID/status.
func parseBounding(status string) (uint64, error) {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("no CapBnd line in /proc/self/status")
}

func hardLimit(resource int) (uint64, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(resource, &limit); err != nil {
		return 0, false
	}
	return limit.Max, true
}

func (h hostLimits) has(capability int) bool { return h.bounding&(1<<capability) != 0 }

// restrict edits an OCI process object (see the runtime-spec's config.md, "process") to what the host allows.
func (h hostLimits) restrict(process map[string]any) {
	if sets, ok := process["capabilities"].(map[string]any); ok {
		for name, set := range sets {
			if list, ok := set.([]any); ok {
				sets[name] = h.intersect(list)
			}
		}
	}
	if h.has(sysResource) {
		return
	}
	if score, ok := process["oomScoreAdj"].(json.Number); ok {
		if value, err := score.Int64(); err == nil && value < int64(h.oomScore) {
			process["oomScoreAdj"] = h.oomScore
		}
	}
	limits, _ := process["rlimits"].([]any)
	for _, entry := range limits {
		if limit, ok := entry.(map[string]any); ok {
			h.lower(limit)
		}
	}
}

func (h hostLimits) intersect(list []any) []any {
	kept := []any{}
	for _, entry := range list {
		name, _ := entry.(string)
		if number := capabilityNumber(name); number < 0 || h.has(number) {
			kept = append(kept, entry)
		}
	}
	return kept
}

func capabilityNumber(name string) int {
	for number, known := range capabilityNames {
		if known == name {
			return number
		}
	}
	return -1
}

// lower brings one rlimit entry under the hard limit this process has.
func (h hostLimits) lower(limit map[string]any) {
	numbers := map[string]int{
		"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
		"RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
		"RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
	}
	name, _ := limit["type"].(string)
	resource, known := numbers[name]
	if !known {
		return
	}
	hard, ok := h.hard(resource)
	if !ok {
		return
	}
	for _, bound := range []string{"hard", "soft"} {
		number, _ := limit[bound].(json.Number)
		if value, err := strconv.ParseUint(number.String(), 10, 64); err == nil && value > hard {
			limit[bound] = hard
		}
	}
}
