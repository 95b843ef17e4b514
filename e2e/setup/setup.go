// Package setup makes a machine ready for a cluster: a Docker engine that starts privileged containers, and the
// images in it. The work is done by the project's scripts, which also serve a person without this program; this
// package runs them, shows what they say, and reads what they chose.
package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/tether"
)

// Options say what to make ready.
type Options struct {
	// Root is the checkout whose scripts are run; see Root.
	Root string
	// Kubernetes is a minor version, "1.37"; empty for the default of scripts/versions.env.
	Kubernetes string
	// Images is "auto", "pull" or "build"; empty for auto.
	Images string
	// Progress gets what the scripts say while they work.
	Progress io.Writer
}

// Machine is what was made ready.
type Machine struct {
	// DockerHost is the engine's address, empty for docker's own default.
	DockerHost string
	// KubernetesVersion is what the node image runs, "v1.37.2".
	KubernetesVersion string
	Images            cluster.Images
}

// ErrNoCheckout is returned when the scripts cannot be found.
var ErrNoCheckout = errors.New("svclab's scripts are not here; run svclab inside a checkout of the project, or name one with SVCLAB_ROOT")

// Root finds the checkout: SVCLAB_ROOT, else the nearest folder that holds the scripts, from the working directory upwards, or
// else from the program's own folder, which make build puts into the checkout.
func Root() (string, error) {
	if root := os.Getenv("SVCLAB_ROOT"); root != "" {
		if isRoot(root) {
			return root, nil
		}
		return "", fmt.Errorf("SVCLAB_ROOT=%s: %w", root, ErrNoCheckout)
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	return above(folder, filepath.Dir(program))
}

// above returns the nearest checkout from the first folder upwards, or else from the next one.
func above(folders ...string) (string, error) {
	for _, folder := range folders {
		for ; !isRoot(folder); folder = filepath.Dir(folder) {
			if folder == filepath.Dir(folder) {
				break
			}
		}
		if isRoot(folder) {
			return folder, nil
		}
	}
	return "", ErrNoCheckout
}

func isRoot(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "scripts", "versions.env"))
	return err == nil
}

// Prepare makes sure of the engine, then of the images. The first run on a machine without a registry builds
// everything, which takes minutes; Progress tells.
func Prepare(ctx context.Context, o Options) (Machine, error) {
	engine, err := script(ctx, o, nil, "engine.sh", "up")
	if err != nil {
		return Machine{}, err
	}
	env := []string{"KUBERNETES=" + o.Kubernetes, "IMAGES=" + o.Images}
	if host := engine["DOCKER_HOST"]; host != "" {
		env = append(env, "DOCKER_HOST="+host)
	}
	printed, err := run(ctx, o, env, "images.sh")
	if err != nil {
		return Machine{}, err
	}
	images, version, err := cluster.ParseImages(printed)
	if err != nil {
		return Machine{}, fmt.Errorf("scripts/images.sh: %w", err)
	}
	if images.Node == "" || images.CoreDNS == "" || images.Agnhost == "" || images.MetalLBManifest == "" || version == "" {
		return Machine{}, fmt.Errorf("scripts/images.sh did not say which images to use: %q", printed)
	}
	return Machine{DockerHost: engine["DOCKER_HOST"], KubernetesVersion: version, Images: images}, nil
}

// Engine returns the DOCKER_HOST of the engine in use, starting none.
func Engine(ctx context.Context, o Options) (string, error) {
	values, err := script(ctx, o, nil, "engine.sh", "env")
	return values["DOCKER_HOST"], err
}

// EngineDown stops svclab's own engine, and no other.
func EngineDown(ctx context.Context, o Options) error {
	_, err := script(ctx, o, nil, "engine.sh", "down")
	return err
}

// ScriptError is a script that ended with an error. The script has said on Progress what is wrong and how to fix it.
type ScriptError struct {
	Script string
	Code   int
}

func (e *ScriptError) Error() string {
	return fmt.Sprintf("scripts/%s ended with exit code %d; what it said is above", e.Script, e.Code)
}

// script runs one of the project's scripts and returns the KEY=VALUE lines it printed.
func script(ctx context.Context, o Options, env []string, name string, args ...string) (map[string]string, error) {
	printed, err := run(ctx, o, env, name, args...)
	return parse(printed), err
}

// run runs one of the project's scripts and returns what it printed. On cancel it and its children get a SIGTERM, so that
// they can clean up, and a SIGKILL 20 s later.
func run(ctx context.Context, o Options, env []string, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(o.Root, "scripts", name), args...)
	cmd.Dir = o.Root
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, o.Progress
	cmd.WaitDelay = 20 * time.Second
	if err := tether.Run(cmd, syscall.SIGTERM); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("run scripts/%s: %w", name, context.Cause(ctx))
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", &ScriptError{Script: name, Code: exit.ExitCode()}
		}
		return "", fmt.Errorf("run scripts/%s: %w", name, err)
	}
	return out.String(), nil
}

// parse reads KEY=VALUE lines; other lines are passed over.
func parse(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
			values[key] = value
		}
	}
	return values
}
