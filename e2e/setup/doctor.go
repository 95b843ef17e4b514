package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// State says whether a machine has one thing that svclab needs.
type State string

// The states: the machine has it; it lacks it, and svclab up provides it or it is optional; the user must fix it first.
const (
	OK      State = "ok"
	Later   State = "later"
	Missing State = "missing"
)

// Finding is one thing that svclab needs.
type Finding struct {
	What  string
	State State
	// Found describes what the machine has, Fix what the user can do.
	Found, Fix string
}

// Disk space and memory that svclab needs, in GiB: measured on a cold build of all images (df before and after
// scripts/images.sh), rounded up.
const (
	needDisk   = 20
	needMemory = 4
)

// Examine checks the machine. It changes nothing.
func Examine(ctx context.Context, c Config) []Finding {
	canInstall := runtime.GOOS == "linux" && os.Geteuid() == 0 && found("apt-get")
	var findings []Finding
	if system := examineSystem(runtime.GOOS); system.Found != "" {
		findings = append(findings, system)
	}
	findings = append(findings,
		examineProgram(ctx, "go", "install Go 1.26 or newer (https://go.dev/dl)", false, "version"),
		examineProgram(ctx, "git", "install git", true, "--version"),
		examineEngine(ctx, c, canInstall),
		examineDisk(c),
	)
	if runtime.GOOS == "linux" {
		findings = append(findings, examineMemory(), examineInotify())
	}
	return append(findings, examineBuildTools(c, runtime.GOOS, canInstall))
}

// examineSystem says what svclab can do on a system other than Linux. On Linux nothing is found, as it can do everything.
func examineSystem(goos string) Finding {
	switch goos {
	case "linux":
		return Finding{}
	case "darwin":
		return Finding{What: "system", State: OK, Found: "macOS: svclab is compiled for it, but no cluster has been tried there; images are pulled, and this machine reaches published ports only"}
	default:
		return Finding{What: "system", State: Missing, Found: goos + ": svclab up and all that needs its cluster run bash scripts",
			Fix: "run svclab in WSL 2; svclab conformance --kubeconfig is compiled for this system, but has not been tried on it"}
	}
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func examineProgram(ctx context.Context, name, fix string, optional bool, args ...string) Finding {
	f := Finding{What: name, State: OK}
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err == nil {
		f.Found, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
		return f
	}
	f.State, f.Found, f.Fix = Missing, "not found", fix
	if optional {
		f.State = Later
		f.Found = "not found, and needed only to contribute"
	}
	return f
}

func examineEngine(ctx context.Context, c Config, canInstall bool) Finding {
	f := Finding{What: "engine", State: OK}
	var host string
	var err error
	if runtime.GOOS != "windows" { // which runs no scripts
		host, err = Engine(ctx, Options{Root: c.Root, Progress: new(strings.Builder)})
	}
	if err == nil {
		info, err := docker.New(host).Info(ctx)
		switch apart := info.Apart(); {
		case errors.Is(err, docker.ErrUnsupported):
			return Finding{What: "engine", State: Missing, Found: err.Error(),
				Fix: "svclab supports neither Podman nor nerdctl: install Docker, or name the socket of a Docker engine with DOCKER_HOST"}
		case err == nil:
			f.Found = fmt.Sprintf("Docker %s at %s", info.Version, cmp.Or(info.Endpoint, "its default socket"))
			if apart != "" {
				f.Found += "; this machine sends no requests (the vantage host): " + apart
			}
			return f
		}
	}
	f.Found = "no Docker engine answers"
	switch {
	case canInstall:
		f.State, f.Fix = Later, "svclab up starts one of its own"
	case runtime.GOOS == "linux" && os.Geteuid() == 0:
		f.State, f.Fix = Missing, "install Docker (https://docs.docker.com/engine/install/); svclab up starts it"
	case runtime.GOOS != "linux":
		f.State, f.Fix = Missing, "start Docker Desktop, colima or another engine with Linux containers; svclab starts its own only on Linux"
	default:
		f.State, f.Fix = Missing, "start Docker and let this user reach it (docker info), or run as root"
	}
	return f
}

func examineDisk(c Config) Finding {
	f := Finding{What: "disk", State: OK}
	folder := cacheFolder()
	free, err := freeSpace(existing(folder))
	if err != nil {
		return Finding{What: "disk", State: Missing, Found: err.Error(), Fix: "name a folder that can be used with SVCLAB_CACHE=…"}
	}
	f.Found = fmt.Sprintf("%d GiB free for %s", free>>30, folder)
	if free>>30 < needDisk {
		f.State, f.Fix = Missing, fmt.Sprintf("building everything needs %d GiB: free some space, or name roomier folders with SVCLAB_CACHE=… and SVCLAB_ENGINE_HOME=…", needDisk)
	}
	if free, err := freeSpace(existing(c.Output)); err == nil && free>>30 < 1 {
		f.State, f.Fix = Missing, fmt.Sprintf("the output folder %s has less than 1 GiB free", c.Output)
	}
	return f
}

// cacheFolder is where the scripts store what they build; see scripts/lib.sh.
func cacheFolder() string {
	if folder := os.Getenv("SVCLAB_CACHE"); folder != "" {
		return folder
	}
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		base = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(base, "svclab")
}

// existing returns the folder, or the nearest parent of it that exists.
func existing(folder string) string {
	for folder != filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil {
			break
		}
		folder = filepath.Dir(folder)
	}
	return folder
}

func examineMemory() Finding {
	f := Finding{What: "memory", State: OK}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Finding{What: "memory", State: Missing, Found: err.Error()}
	}
	kib := parseMeminfo(string(text), "MemAvailable")
	f.Found = fmt.Sprintf("%.1f GiB available", float64(kib)/(1<<20))
	if kib>>20 < needMemory {
		f.State, f.Fix = Missing, fmt.Sprintf("a cluster of three nodes needs %d GiB: end something, or use --workers=0", needMemory)
	}
	return f
}

// parseMeminfo returns one value of /proc/meminfo, in KiB; 0 when it is missing.
func parseMeminfo(text, key string) int64 {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == key+":" {
			value, _ := strconv.ParseInt(fields[1], 10, 64)
			return value
		}
	}
	return 0
}

// examineInotify checks the limit that a few kubelets and containerds on one machine run into first:
// https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
func examineInotify() Finding {
	const path, least = "/proc/sys/fs/inotify/max_user_instances", 256
	text, err := os.ReadFile(path)
	if err != nil {
		return Finding{What: "inotify", State: OK, Found: "no limit is known"}
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return Finding{What: "inotify", State: Missing, Found: err.Error()}
	}
	f := Finding{What: "inotify", State: OK, Found: fmt.Sprintf("max_user_instances is %d", value)}
	if value < least {
		f.State, f.Fix = Later, fmt.Sprintf("if pods fail with \"too many open files\": sysctl fs.inotify.max_user_instances=%d", 2*least)
	}
	return f
}

func examineBuildTools(c Config, goos string, canInstall bool) Finding {
	f := Finding{What: "build tools", State: OK, Found: "mmdebstrap"}
	if c.Images == "pull" {
		f.Found = "not needed with --images=pull"
		return f
	}
	if goos != "linux" {
		f.Found = "images are built only on Linux; here they are pulled"
		if c.Images == "build" {
			f.State, f.Fix = Missing, "use --images=pull"
		}
		return f
	}
	if found("mmdebstrap") {
		return f
	}
	f.Found = "mmdebstrap not found; needed only where no registry answers"
	f.State = Later
	if canInstall {
		f.Fix = "svclab up installs it"
	} else {
		f.Fix = "on Debian: sudo apt-get install mmdebstrap"
	}
	return f
}
