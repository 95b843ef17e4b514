package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrNoEngine says that no Docker engine answers.
	ErrNoEngine = errors.New("no Docker engine answers")
	// ErrUnsupported says that what answers is no Docker engine, but Podman or containerd.
	ErrUnsupported = errors.New("not Docker")
)

// Info is what an engine says of itself.
type Info struct {
	Version string
	// ID is the engine's own. It stays the same however the engine is reached, and across restarts.
	ID string
	// Endpoint is where the docker command reaches the engine: DOCKER_HOST's value, or that of docker's context.
	Endpoint string
	// Desktop: the engine is Docker Desktop's, in a virtual machine. Rootless: it belongs to a user without privileges.
	Desktop, Rootless bool
}

// Local reports whether the engine is reached through this machine, so that its published ports are here.
func (i Info) Local() bool {
	return i.Endpoint == "" || strings.HasPrefix(i.Endpoint, "unix://") || strings.HasPrefix(i.Endpoint, "npipe://")
}

// Apart says why the engine's networks cannot be reached from this machine; "" where they can, as far as the engine knows.
func (i Info) Apart() string {
	switch {
	case !i.Local():
		return "the Docker engine is reached at " + i.Endpoint + ", and its networks are on that machine"
	case i.Desktop:
		return "Docker Desktop has its networks in a virtual machine"
	case i.Rootless:
		return "a rootless Docker engine has its networks in a network namespace of its own"
	}
	return ""
}

// Info returns what the engine says, or an error that is ErrNoEngine or ErrUnsupported.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	text, err := e.Output(ctx, "version", "--format", "{{json .Server}}")
	info, other := parseServer(text)
	if other == "" && (err != nil || info.Version == "") {
		// Podman and nerdctl under the name of docker fail here, or print no server
		if program, _ := e.Output(ctx, "--version"); !strings.HasPrefix(program, "Docker") {
			other = program
		}
	}
	switch {
	case other != "":
		return Info{}, fmt.Errorf("%w: the docker command reaches %s", ErrUnsupported, other)
	case err != nil:
		return Info{}, fmt.Errorf("%w: %w", ErrNoEngine, err)
	case info.Version == "":
		return Info{}, fmt.Errorf("%w: docker version printed %q", ErrNoEngine, text)
	}
	if text, err = e.Output(ctx, "info", "--format", "{{json .}}"); err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	var said struct {
		ID, OperatingSystem string
		SecurityOptions     []string
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return Info{}, fmt.Errorf("read docker info: %w", err)
	}
	info.ID, info.Endpoint = cmp.Or(said.ID, e.host), e.host
	info.Desktop, info.Rootless = said.OperatingSystem == "Docker Desktop", slices.Contains(said.SecurityOptions, "name=rootless")
	if e.host == "" { // docker's current context; a docker without contexts has its default socket only
		info.Endpoint, _ = e.Output(ctx, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	}
	return info, nil
}

// parseServer reads what docker version prints of the server. other names one that is no Docker engine.
func parseServer(text string) (info Info, other string) {
	var server struct {
		Version    string
		Components []struct{ Name, Version string }
	}
	if json.Unmarshal([]byte(text), &server) != nil || len(server.Components) == 0 {
		return Info{Version: server.Version}, ""
	}
	for _, c := range server.Components {
		if c.Name == "Engine" {
			return Info{Version: server.Version}, ""
		}
	}
	return Info{}, server.Components[0].Name + " " + server.Components[0].Version
}
