package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Container is what `docker inspect` says of one container, as far as svclab reads it.
type Container struct {
	ID, Name string
	// State is "created", "running", "paused", "restarting", "removing", "exited" or "dead".
	State string
	// StartedAt is the engine's time of the last start, as text.
	StartedAt string
	Labels    map[string]string
	// Networks maps the name of each network it is attached to, also while it is stopped.
	Networks map[string]Attachment
}

// Attachment is a container's place on a network. The addresses are empty while the container is stopped.
type Attachment struct {
	NetworkID string
	Addrs     []netip.Addr
}

// Containers lists the containers, stopped ones too, that match every filter ("label=KEY=VALUE", "name=…").
func (e *Engine) Containers(ctx context.Context, filters ...string) ([]Container, error) {
	args := []string{"ps", "--all", "--quiet", "--no-trunc"}
	for _, filter := range filters {
		args = append(args, "--filter", filter)
	}
	text, err := e.inspect(ctx, args, "container", "inspect")
	if err != nil || text == "" {
		return nil, err
	}
	return ParseContainers([]byte(text))
}

// inspect runs `docker inspecting… ID…` for the IDs that `docker listing…` prints; "" when it prints none. What is just being
// made or removed is listed but cannot be inspected, so it repeats both until they agree.
func (e *Engine) inspect(ctx context.Context, listing []string, inspecting ...string) (string, error) {
	for range 50 {
		ids, err := e.Output(ctx, listing...)
		if err != nil || ids == "" {
			return "", err
		}
		text, err := e.Output(ctx, append(slices.Clone(inspecting), strings.Fields(ids)...)...)
		if err == nil || !Missing(err) {
			return text, err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(e.pause):
		}
	}
	return "", fmt.Errorf("the engine lists what it cannot inspect (docker %s)", strings.Join(listing, " "))
}

// ParseContainers reads the output of `docker container inspect`.
func ParseContainers(text []byte) ([]Container, error) {
	var raw []struct {
		ID     string `json:"Id"`
		Name   string
		State  struct{ Status, StartedAt string }
		Config struct{ Labels map[string]string }

		NetworkSettings struct {
			Networks map[string]struct{ NetworkID, IPAddress, GlobalIPv6Address string }
		}
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read docker container inspect: %w", err)
	}
	containers := make([]Container, 0, len(raw))
	for _, r := range raw {
		c := Container{ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), State: r.State.Status, StartedAt: r.State.StartedAt, Labels: r.Config.Labels, Networks: map[string]Attachment{}}
		for name, n := range r.NetworkSettings.Networks {
			at := Attachment{NetworkID: n.NetworkID}
			for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
				if text == "" {
					continue
				}
				addr, err := netip.ParseAddr(text)
				if err != nil {
					return nil, fmt.Errorf("read docker container inspect: container %s on %s: %w", c.Name, name, err)
				}
				at.Addrs = append(at.Addrs, addr)
			}
			c.Networks[name] = at
		}
		containers = append(containers, c)
	}
	return containers, nil
}

// Remove removes the containers that match every filter and returns when none is left. The engine may still be removing one
// for another client, one that a cancelled command began to make may appear after the first list, and on a busy machine a container
// may end later than the engine waits for it (10 s): so it repeats.
func (e *Engine) Remove(ctx context.Context, filters ...string) error {
	for {
		containers, err := e.Containers(ctx, filters...)
		if err != nil || len(containers) == 0 {
			return err
		}
		args := []string{"rm", "--force", "--volumes"}
		for _, c := range containers {
			args = append(args, c.Name)
			if err := thaw(e.freezer + "/docker/" + c.ID); err != nil {
				return fmt.Errorf("let container %s end: %w", c.Name, err)
			}
		}
		err = e.Run(ctx, args...)
		if err == nil {
			continue
		}
		if text := err.Error(); !Missing(err) && !strings.Contains(text, "already in progress") && !strings.Contains(text, "did not receive an exit event") {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove %s: %w", strings.Join(args[3:], ", "), context.Cause(ctx))
		case <-time.After(e.pause):
		}
	}
}

// thaw thaws the cgroups below a container's. On cgroup v1, a container that is killed while a runc in it holds a pod frozen never
// ends: a signal does not reach a frozen process. Elsewhere there is no such folder.
func thaw(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // never there, or just ended
			return nil
		case err != nil || entry.IsDir() || entry.Name() != "freezer.state":
			return err
		}
		state, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(state)) == "FROZEN" {
			err = os.WriteFile(path, []byte("THAWED"), 0)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil
		}
		return err
	})
}

// File is a file to be put into a container.
type File struct {
	// Path is absolute.
	Path string
	Mode fs.FileMode
	Data []byte
}

// CopyTo puts files into a container, running or not, folders made as needed. It does not reach what the container
// has mounted over its own file system (kind nodes: /tmp, /run).
func (e *Engine) CopyTo(ctx context.Context, container string, files ...File) error {
	archive, err := pack(files)
	if err != nil {
		return err
	}
	return e.Stream(ctx, archive, nil, nil, "cp", "-", container+":/")
}

// CopyFrom reads one file of a container, running or not. The error is fs.ErrNotExist if the file does not exist.
func (e *Engine) CopyFrom(ctx context.Context, container, path string) ([]byte, error) {
	var out bytes.Buffer
	if err := e.Stream(ctx, nil, &out, nil, "cp", container+":"+path, "-"); err != nil {
		if Missing(err) {
			return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
		return nil, err
	}
	archive := tar.NewReader(&out)
	if _, err := archive.Next(); err != nil {
		return nil, fmt.Errorf("read %s of container %s: %w", path, container, err)
	}
	return io.ReadAll(archive)
}

func pack(files []File) (io.Reader, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Mode: int64(f.Mode.Perm()), Size: int64(len(f.Data)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Path, err)
		}
		if _, err := archive.Write(f.Data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("pack files: %w", err)
	}
	return &out, nil
}
