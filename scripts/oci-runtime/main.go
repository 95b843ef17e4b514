//go:build linux

// Command svclab-runc is an OCI runtime that requests no more than the host can give, and leaves the rest to runc.
//
// Docker requests every capability it knows when a container is privileged. On a host whose bounding set lacks one
// of them runc fails with "unable to apply caps: operation not permitted". This program stands in front of
// runc: on create and run it edits the bundle's config.json, on exec the --process file, so that capability sets
// are intersected with the bounding set, and, where CAP_SYS_RESOURCE is missing, resource limits and the OOM
// score stay within what the process has now. It knows no particular capability but that one. Then it becomes runc.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "svclab-runc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "self-test" {
		return selfTest()
	}
	if file, isProcess := specFile(args); file != "" {
		host, err := readHost()
		if err != nil {
			return err
		}
		if err := rewrite(file, isProcess, host); err != nil {
			return fmt.Errorf("adapt %s: %w", file, err)
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("find runc: %w", err)
	}
	return syscall.Exec(runc, append([]string{runc}, args...), os.Environ())
}

// selfTest is what engine.sh runs as a container's only program, to see that privileged really means it: it mounts a
// tmpfs and says so.
func selfTest() error {
	const folder = "/svclab-self-test"
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	_, err := fmt.Fprintln(os.Stdout, "privileged")
	return err
}

// specFile names the file that the runtime command reads its process from, "" when it reads none.
func specFile(args []string) (file string, isProcess bool) {
	command, rest := subcommand(args)
	switch command {
	case "create", "run":
		bundle := flagValue(rest, "--bundle", "-b")
		return filepath.Join(bundle, "config.json"), false
	case "exec":
		return flagValue(rest, "--process", "-p"), true
	}
	return "", false
}

// rewrite edits the file in place, keeping every field it does not know.
func rewrite(file string, isProcess bool, host hostLimits) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec map[string]any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // a limit may be the largest uint64, which a float64 would round out of range
	if err := decoder.Decode(&spec); err != nil {
		return err
	}
	process := spec
	if !isProcess {
		process, _ = spec["process"].(map[string]any)
	}
	if process == nil {
		return nil
	}
	host.restrict(process)
	out, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, info.Mode().Perm())
}
