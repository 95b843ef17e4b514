package docker_test

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// saying returns an engine at host whose docker command prints these answers, by its first word. Without an answer it fails.
func saying(host string, answers map[string]string) *docker.Engine {
	return docker.New(host, docker.WithRunner(func(_ context.Context, c docker.Command) error {
		answer, ok := answers[c.Argv[1]]
		if !ok {
			return errors.New("exit status 1")
		}
		_, err := io.WriteString(c.Stdout, answer+"\n")
		return err
	}))
}

const server = `{"Components":[{"Name":"Engine","Version":"28.0.1"},{"Name":"containerd","Version":"1.7"}],"Version":"28.0.1"}`

func TestInfo(t *testing.T) {
	for name, c := range map[string]struct {
		host, os, options, context string
		local                      bool
		apart                      string
	}{
		"a socket":                {"unix:///run/x.sock", "Debian GNU/Linux 12", `"name=seccomp,profile=default"`, "", true, ""},
		"docker's default":        {"", "Debian GNU/Linux 12", "", "unix:///var/run/docker.sock", true, ""},
		"a context far away":      {"", "Ubuntu 24.04", "", "ssh://ann@build", false, "reached at ssh://ann@build"},
		"DOCKER_HOST far away":    {"tcp://10.0.0.1:2375", "Ubuntu 24.04", "", "", false, "reached at tcp://10.0.0.1:2375"},
		"Docker Desktop":          {"", "Docker Desktop", "", "unix:///home/ann/.docker/desktop/docker.sock", true, "virtual machine"},
		"an engine without roots": {"unix:///run/user/1000/docker.sock", "Debian", `"name=seccomp","name=rootless"`, "", true, "rootless"},
	} {
		answers := map[string]string{"version": server, "context": c.context,
			"info": `{"ID":"ABCD:1","OperatingSystem":"` + c.os + `","SecurityOptions":[` + c.options + `],"More":1}`}
		info, err := saying(c.host, answers).Info(t.Context())
		if err != nil || info.Version != "28.0.1" || info.ID != "ABCD:1" || info.Local() != c.local {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if apart := info.Apart(); (apart == "") != (c.apart == "") || !strings.Contains(apart, c.apart) {
			t.Errorf("%s: %q, want %q", name, apart, c.apart)
		}
	}
}

func TestInfoOfWhatIsNoDockerEngine(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		want    error
		named   string
	}{
		"nothing":                      {nil, docker.ErrNoEngine, "exit status 1"},
		"the command alone":            {map[string]string{"--version": "Docker version 28.0.1, build 1"}, docker.ErrNoEngine, "exit status 1"},
		"podman as docker":             {map[string]string{"--version": "podman version 5.4.2"}, docker.ErrUnsupported, "podman version 5.4.2"},
		"podman as docker, no server":  {map[string]string{"--version": "podman version 5.4.2", "version": "null"}, docker.ErrUnsupported, "podman version 5.4.2"},
		"docker with podman's socket":  {map[string]string{"version": `{"Version":"5.4.2","Components":[{"Name":"Podman Engine","Version":"5.4.2"}]}`}, docker.ErrUnsupported, "Podman Engine 5.4.2"},
		"nerdctl as docker":            {map[string]string{"version": `{"Components":[{"Name":"containerd","Version":"v2.0"},{"Name":"runc","Version":"1.2"}]}`}, docker.ErrUnsupported, "containerd v2.0"},
		"nerdctl that cannot reach it": {map[string]string{"--version": "nerdctl version 2.0.3"}, docker.ErrUnsupported, "nerdctl version 2.0.3"},
	} {
		if _, err := saying("", c.answers).Info(t.Context()); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.named) {
			t.Errorf("%s: %v", name, err)
		}
	}
	engine := docker.New("", docker.WithRunner(func(context.Context, docker.Command) error { return exec.ErrNotFound }))
	if _, err := engine.Info(t.Context()); !errors.Is(err, docker.ErrNoEngine) || !errors.Is(err, exec.ErrNotFound) {
		t.Error(err)
	}
}
