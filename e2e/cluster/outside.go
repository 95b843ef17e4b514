package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/wait"
)

// outsideBackend is the backend name that the outside world's web server reports.
const outsideBackend = "outside"

// outsideProber is where the outside container has the prober, which is its web server too.
const outsideProber = "/svclab/prober"

// outsideNames are the names of the outside world below example.com; "@" is example.com itself.
func outsideNames() []string { return []string{"@", "www", "api", "ns"} }

func (c *Cluster) outsideName() string { return c.settings.Name + "-outside" }

// ensureOutside makes sure that the outside world runs: a container on the nodes' network, without a route out of it, that
// serves HTTP and HTTPS and is a vantage, and a DNS server in the same network namespace. It returns their addresses.
func (c *Cluster) ensureOutside(ctx context.Context) ([]netip.Addr, error) {
	program, err := c.engineProgram(ctx)
	if err != nil {
		return nil, err
	}
	script, err := fs.ReadFile(c.settings.Manifests, "outside/start.sh")
	if err != nil {
		return nil, fmt.Errorf("read manifests/outside/start.sh: %w", err)
	}
	files := []docker.File{
		{Path: "/svclab/start.sh", Mode: 0o755, Data: script},
		{Path: outsideProber, Mode: 0o755, Data: program},
	}
	host, err := c.ensureContainer(ctx, outsideArgs(c.settings), files)
	if err != nil {
		return nil, fmt.Errorf("make the outside world: %w", err)
	}
	addrs := host.Networks[c.settings.Name].Addrs
	if len(addrs) == 0 {
		return nil, fmt.Errorf("make the outside world: container %s has no address on the network %s", host.Name, c.settings.Name)
	}
	if files, err = c.zoneFiles(addrs); err != nil {
		return nil, err
	}
	// The DNS container shares the network namespace of the other one, so it must be made again when that one was made or
	// started again.
	if _, err := c.ensureContainer(ctx, outsideDNSArgs(c.settings, host.Name), files, host.ID, host.StartedAt); err != nil {
		return nil, fmt.Errorf("make the outside world's DNS: %w", err)
	}
	return addrs, c.outsideWorks(ctx, host.Name, addrs)
}

// outsideArgs are the arguments of `docker create` for the outside container.
func outsideArgs(s Settings) []string {
	name := s.Name + "-outside"
	return []string{"--name", name, "--hostname", outsideBackend, "--network", s.Name, "--cap-add", "NET_ADMIN",
		"--restart", "on-failure:1", // as kind's nodes: up again after the engine was restarted, and only then
		"--label", ownerLabel + "=" + s.Name, "--entrypoint", "/svclab/start.sh", s.Images.Node,
		outsideProber, "serve", "--name", outsideBackend, "--http", ":80", "--https", ":443",
		"--cert-names", "example.com,*.example.com", "--ca", probe.OutsideAuthority}
}

// outsideDNSArgs are those for its DNS server, which shares the network namespace of the container host.
func outsideDNSArgs(s Settings, host string) []string {
	return []string{"--name", s.Name + "-outside-dns", "--network", "container:" + host, "--restart", "on-failure:1",
		"--label", ownerLabel + "=" + s.Name, "--entrypoint", "/coredns", s.Images.CoreDNS, "-conf", "/etc/coredns/Corefile"}
}

// zoneFiles are the DNS server's configuration and zone.
func (c *Cluster) zoneFiles(addrs []netip.Addr) ([]docker.File, error) {
	data := struct {
		Names []string
		Addrs []netip.Addr
	}{outsideNames(), addrs}
	corefile, err := kind.Render(c.settings.Manifests, "outside/Corefile.tmpl", data)
	if err != nil {
		return nil, err
	}
	zone, err := kind.Render(c.settings.Manifests, "outside/example.com.zone.tmpl", data)
	if err != nil {
		return nil, err
	}
	return []docker.File{
		{Path: "/etc/coredns/Corefile", Mode: 0o644, Data: corefile},
		{Path: "/etc/coredns/example.com.zone", Mode: 0o644, Data: zone},
	}, nil
}

// ensureContainer makes sure that a container runs that was made by `docker create args…` with files in it, and replaces one
// that differs. The second of args is its name. The container is also replaced when one of dependsOn has changed.
func (c *Cluster) ensureContainer(ctx context.Context, args []string, files []docker.File, dependsOn ...string) (docker.Container, error) {
	name := args[1]
	parts := [][]byte{[]byte(strings.Join(args, " ")), []byte(strings.Join(dependsOn, " "))}
	for _, file := range files {
		parts = append(parts, file.Data)
	}
	config := fingerprint(parts...)
	there, err := c.containerNamed(ctx, name)
	if err != nil {
		return docker.Container{}, err
	}
	if there.Name != "" && there.Labels[ownerLabel] != c.settings.Name {
		return docker.Container{}, foreign(c.settings.Name, "a container called "+name+" exists, and svclab did not make it")
	}
	if there.Labels[configLabel] == config {
		if there.State == "running" {
			return there, nil
		}
		if err := c.startContainer(ctx, there); err == nil {
			return c.containerNamed(ctx, name)
		} else if ctx.Err() != nil {
			return docker.Container{}, err
		}
	}
	if there.Name != "" {
		if err := c.engine.Run(ctx, "rm", "--force", "--volumes", name); err != nil {
			return docker.Container{}, err
		}
	}
	if err := c.engine.Run(ctx, append([]string{"create", "--pull", "never", "--label", configLabel + "=" + config}, args...)...); err != nil {
		return docker.Container{}, err
	}
	if err := c.engine.CopyTo(ctx, name, files...); err != nil {
		return docker.Container{}, err
	}
	if err := c.engine.Run(ctx, "start", name); err != nil {
		return docker.Container{}, err
	}
	return c.containerNamed(ctx, name)
}

func (c *Cluster) containerNamed(ctx context.Context, name string) (docker.Container, error) {
	containers, err := c.engine.Containers(ctx, "name=^/?"+name+"$")
	if err != nil || len(containers) == 0 {
		return docker.Container{}, err
	}
	return containers[0], nil
}

// outsideCheck prints how many default routes the outside container has (it must have none), and what its web server and its
// DNS answer. No packet of it leaves the container.
const outsideCheck = `
echo "default routes: $(ip -4 route show default | wc -l) $(ip -6 route show default | wc -l),` +
	` web server $(curl --noproxy '*' --silent --output /dev/null --max-time 2 --write-out '%{http_code}' http://127.0.0.1/),` +
	` example.com is $(getent ahostsv4 example.com | sed -n '1s/ .*//p')"`

// outsideWorks waits until the outside world answers and has no route out of its own network.
func (c *Cluster) outsideWorks(ctx context.Context, container string, addrs []netip.Addr) error {
	want := fmt.Sprintf("default routes: 0 0, web server 200, example.com is %s", addrs[0])
	return c.await(ctx, "the outside world to answer ("+want+")", outsideIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
		var out bytes.Buffer
		if err := c.engine.Exec(ctx, container, []string{"sh", "-c", outsideCheck}, nil, &out, nil); err != nil {
			return false, "", err
		}
		seen := strings.TrimSpace(out.String())
		return seen == want, seen, nil
	}))
}
