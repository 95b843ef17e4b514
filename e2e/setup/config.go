package setup

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/cluster/docker"
)

// Config is what a user can say of the lab's cluster. Each field can be set by an environment variable, see FromEnv;
// the command's flags go before those.
type Config struct {
	Name, ProxyMode, Family string
	// Kubernetes and Images are as in Options.
	Kubernetes, Images string
	// Proxy is the release of kube-proxy that runs in the place of the cluster's own: "v1.33.0"; empty for that.
	Proxy string
	// CoreDNS is the same for CoreDNS: "v1.12.0".
	CoreDNS string
	Workers int
	// HostPort is the nodePort published on 127.0.0.1; 0 for none.
	HostPort int
	// Output is the folder for everything that is written.
	Output string
	// Root is the checkout.
	Root string
	// Use says who uses the cluster.
	Use cluster.Use
	// Manifests is the project's folder manifests/.
	Manifests fs.FS
	// Log gets progress.
	Log io.Writer
}

// FromEnv returns the defaults with what the environment says instead: SVCLAB_NAME, SVCLAB_MODE, SVCLAB_FAMILY,
// SVCLAB_KUBERNETES, SVCLAB_PROXY, SVCLAB_COREDNS, SVCLAB_IMAGES, SVCLAB_WORKERS, SVCLAB_HOST_PORT, SVCLAB_OUTPUT.
func FromEnv(manifests fs.FS, log io.Writer) (Config, error) {
	root, err := Root()
	if err != nil {
		return Config{}, err
	}
	d := cluster.Defaults()
	c := Config{Name: env("NAME", d.Name), ProxyMode: env("MODE", d.ProxyMode), Family: env("FAMILY", d.Family),
		Kubernetes: env("KUBERNETES", ""), Proxy: env("PROXY", ""), CoreDNS: env("COREDNS", ""), Images: env("IMAGES", ""), Output: env("OUTPUT", filepath.Join(root, "_output")),
		Root: root, Manifests: manifests, Log: log, Use: cluster.Use{Checkout: root, Run: env("RUN", "")}}
	for _, number := range []struct {
		name string
		to   *int
		or   int
	}{{"WORKERS", &c.Workers, d.Workers}, {"HOST_PORT", &c.HostPort, int(d.HostPort)}} {
		if *number.to, err = strconv.Atoi(env(number.name, strconv.Itoa(number.or))); err != nil {
			return Config{}, fmt.Errorf("SVCLAB_%s=%s is not a number", number.name, env(number.name, ""))
		}
	}
	return c, nil
}

func env(name, otherwise string) string {
	return cmp.Or(os.Getenv("SVCLAB_"+name), otherwise)
}

// Environ is the configuration as environment variables, for a process that calls FromEnv.
func (c Config) Environ() []string {
	return []string{"SVCLAB_NAME=" + c.Name, "SVCLAB_MODE=" + c.ProxyMode, "SVCLAB_FAMILY=" + c.Family, "SVCLAB_KUBERNETES=" + c.Kubernetes,
		"SVCLAB_PROXY=" + c.Proxy, "SVCLAB_COREDNS=" + c.CoreDNS, "SVCLAB_IMAGES=" + c.Images, "SVCLAB_WORKERS=" + strconv.Itoa(c.Workers), "SVCLAB_HOST_PORT=" + strconv.Itoa(c.HostPort),
		"SVCLAB_OUTPUT=" + c.Output, "SVCLAB_ROOT=" + c.Root, "SVCLAB_RUN=" + c.Use.Run}
}

func (c Config) options() Options {
	return Options{Root: c.Root, Kubernetes: strings.TrimPrefix(c.Kubernetes, "v"), Images: c.Images, Progress: c.Log}
}

// Check reports what is wrong with the configuration as far as that is possible before the machine is prepared.
func (c Config) Check() error {
	if c.HostPort < 0 || c.HostPort > math.MaxUint16 {
		return fmt.Errorf("--host-port=%d is no port; use one of 30000 to 32767, or 0 to publish none", c.HostPort)
	}
	if !slices.Contains([]string{"", "auto", "pull", "build"}, c.Images) {
		return fmt.Errorf("--images=%s is unknown; use auto, pull or build", c.Images)
	}
	if minor := c.options().Kubernetes; minor != "" {
		pinned, err := filepath.Glob(filepath.Join(c.Root, "scripts", "components", "kubernetes-1.*"))
		if err != nil {
			return fmt.Errorf("find the versions of Kubernetes that can be used: %w", err)
		}
		for i := range pinned {
			_, pinned[i], _ = strings.Cut(filepath.Base(pinned[i]), "-")
		}
		if !slices.Contains(pinned, minor) {
			return fmt.Errorf("--kubernetes=%s is unknown; use one of %s", c.Kubernetes, strings.Join(pinned, ", "))
		}
	}
	s := c.settings()
	s.Images = cluster.Images{Node: "?", CoreDNS: "?", Agnhost: "?", MetalLBManifest: "?"}
	return s.Validate()
}

// settings are those of the cluster's that need no machine.
func (c Config) settings() cluster.Settings {
	s := cluster.Defaults()
	s.Name, s.ProxyMode, s.Family, s.Workers, s.HostPort = c.Name, c.ProxyMode, c.Family, c.Workers, uint16(c.HostPort)
	s.Output, s.Manifests, s.Log, s.Use = c.Output, c.Manifests, c.Log, c.Use
	release := func(text string) string {
		if text == "" {
			return ""
		}
		return "v" + strings.TrimPrefix(text, "v")
	}
	s.Proxy.Release, s.CoreDNS.Release = release(c.Proxy), release(c.CoreDNS)
	return s
}

// Settings makes the machine ready and returns the settings of the cluster to be brought up on it.
func (c Config) Settings(ctx context.Context) (cluster.Settings, error) {
	// What needs no machine is checked before one is made ready, which may take minutes.
	if err := c.Check(); err != nil {
		return cluster.Settings{}, err
	}
	if err := os.MkdirAll(c.Output, 0o755); err != nil {
		return cluster.Settings{}, fmt.Errorf("--output=%s: %w; name a folder that can be written", c.Output, err)
	}
	s := c.settings()
	machine, err := Prepare(ctx, c.options())
	if err != nil {
		return cluster.Settings{}, err
	}
	s.Images, s.Version, s.Engine = machine.Images, machine.KubernetesVersion, docker.New(machine.DockerHost)
	if s.Proxy, err = c.BuildProxy(ctx, s.Proxy.Release, s.Version); err != nil {
		return s, err
	}
	if s.CoreDNS.Release != "" {
		s.CoreDNS.File, err = c.build(ctx, "coredns", s.CoreDNS.Release, "COREDNS")
	}
	return s, err
}

// build builds a release of a component, unless it was built before, and returns the file of the program of the given name.
func (c Config) build(ctx context.Context, component, release, name string) (string, error) {
	values, err := script(ctx, c.options(), nil, "component.sh", component, release)
	if err == nil && values[name] == "" {
		err = fmt.Errorf("scripts/component.sh did not say what it built: %q", values)
	}
	return values[name], err
}

// BuildProxy builds the kube-proxy of a release, unless it was built before, to run under a control plane of another. It is the zero
// Proxy, which is the cluster's own, where the release is that of the control plane or empty.
func (c Config) BuildProxy(ctx context.Context, release, kubernetes string) (cluster.Proxy, error) {
	if release == "" || release == kubernetes {
		return cluster.Proxy{}, nil
	}
	p := cluster.Proxy{Release: release}
	if err := p.Under(kubernetes); err != nil {
		return p, err
	}
	var err error
	p.File, err = c.build(ctx, "kube-proxy", release, "KUBE_PROXY")
	return p, err
}

// Engine returns the settings with the engine that is in use, for taking a cluster down: nothing is built or started.
func (c Config) Engine(ctx context.Context) (cluster.Settings, error) {
	s := cluster.Defaults()
	s.Name = c.Name
	if err := s.CheckName(); err != nil {
		return s, err
	}
	host, err := Engine(ctx, c.options())
	if err != nil {
		return cluster.Settings{}, err
	}
	s.Output, s.Log, s.Use, s.Engine = c.Output, c.Log, c.Use, docker.New(host)
	return s, nil
}
