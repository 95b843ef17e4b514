package cluster

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
)

// The values that Settings.ProxyMode and Settings.Family can have, defaults first.
const (
	NFTables = "nftables"
	IPTables = "iptables"
	IPv4     = "ipv4"
	Dual     = "dual"
)

// Settings describe a cluster. Begin with Defaults.
type Settings struct {
	// Name of the kind cluster, of its Docker network, and the first part of its containers' names.
	Name string
	// Version of Kubernetes, "1.37" or "v1.37.2", that every node must run: Up and Attach return ErrVersion when one runs
	// another, and a cluster just created is then removed. Empty accepts the version of the node image.
	Version string
	// ProxyMode is kube-proxy's: NFTables or IPTables.
	ProxyMode string
	// Proxy is the kube-proxy that runs in the place of the cluster's own; the zero value is that.
	Proxy Proxy
	// CoreDNS is the program that the cluster's CoreDNS runs; the zero value is that of its image.
	CoreDNS Program
	// Family is IPv4 or Dual.
	Family string
	// Workers join the one control plane, which runs pods too; 0 to 9.
	Workers int
	// HostPort is the nodePort published on 127.0.0.1 of this machine; 0: none.
	HostPort uint16
	Images   Images
	// Output is the folder for kubeconfig, kind.yaml and logs.
	Output string
	// RuntimeDir is the folder for lock files; empty: one for all checkouts on this machine.
	RuntimeDir string
	// Manifests is the project's folder manifests/.
	Manifests fs.FS
	Engine    *docker.Engine
	// PodsFor is how long a client pod in a cluster that svclab did not make may run; 0: no bound.
	PodsFor time.Duration
	// Privileged: in a cluster that svclab did not make, the pods in the nodes' networks are privileged and see all processes of their
	// nodes. svclab trace reads the nodes' packet filters and enters the network namespaces of pods from them.
	Privileged bool
	// Use says who uses the cluster.
	Use Use
	// Extras are added to what is created in a cluster that svclab did not make.
	Extras Extras
	// Log receives progress, one line each; nil: dropped.
	Log io.Writer
}

// Images are the container images a cluster is made of; ParseImages reads them from scripts/images.sh.
type Images struct {
	// Node is kind's node image in the engine; the outside world's container runs it too. Offline says that it is
	// the one built without a registry, which has no kindnetd.
	Node    string
	Offline bool
	// CoreDNS is in the engine, for the outside world.
	CoreDNS string
	// Agnhost is what pods run, as manifests name it.
	Agnhost string
	// MetalLBManifest is the file name of MetalLB's own manifest.
	MetalLBManifest string
	// Load are images to be put from the engine into each node; none for the offline node image, which holds them.
	Load []Load
}

// Load is an image in the engine and the name that pods use for it.
type Load struct{ Local, Name string }

// Defaults are the settings that hold when nothing is said. Images and Manifests have none.
func Defaults() Settings {
	return Settings{Name: "svclab", ProxyMode: NFTables, Family: IPv4, Workers: 2, HostPort: 30080, Output: "_output",
		Engine: docker.New(""), Log: io.Discard}
}

// CheckName is the part of Validate that is about the name, by which files and containers are found too.
func (s Settings) CheckName() error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`).MatchString(s.Name) {
		return bad("the cluster name", s.Name, "at most 40 lower-case letters, digits and hyphens, with no hyphen first or last")
	}
	return nil
}

func bad(name, value, allowed string) error {
	return problem(ErrSettings, "use "+allowed, "%s %q is not known", name, value)
}

// Validate returns a *Problem that is ErrSettings for the first setting that is not allowed.
func (s Settings) Validate() error {
	if err := s.CheckName(); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{NFTables, IPTables}, s.ProxyMode):
		return bad("the kube-proxy mode", s.ProxyMode, "nftables or iptables")
	case !slices.Contains([]string{IPv4, Dual}, s.Family):
		return bad("the IP family", s.Family, "ipv4 or dual")
	case s.Version != "" && !regexp.MustCompile(`^v?1\.[1-9][0-9]*(\.[0-9]+)?$`).MatchString(s.Version):
		return bad("the Kubernetes version", s.Version, "a version such as 1.37 or v1.37.2")
	case s.Workers < 0 || s.Workers > 9:
		return bad("the number of workers", fmt.Sprint(s.Workers), "0 to 9")
	case s.HostPort != 0 && (s.HostPort < 30000 || s.HostPort > 32767):
		return bad("the published node port", fmt.Sprint(s.HostPort), "one of 30000 to 32767, or 0 to publish none")
	case s.Images.Node == "" || s.Images.CoreDNS == "" || s.Images.Agnhost == "" || s.Images.MetalLBManifest == "":
		return problem(ErrSettings, "run scripts/images.sh, which prints them", "not every image is named")
	case s.Output == "":
		return problem(ErrSettings, "name a folder, such as _output", "there is no output folder")
	case s.Manifests == nil || s.Engine == nil:
		return fmt.Errorf("cluster settings: Manifests and Engine must be set")
	}
	return cmp.Or(s.Proxy.check(s.ProxyMode), s.CoreDNS.check("CoreDNS", "v1.12.0"))
}

// Kubeconfig is the file name of the cluster's own kubeconfig.
func (s Settings) Kubeconfig() string { return filepath.Join(s.Output, "kubeconfig") }

// kindFile is the file name of the configuration that kind creates the cluster from.
func (s Settings) kindFile() string { return filepath.Join(s.Output, "kind.yaml") }

// PodRanges and ServiceRanges are the cluster's, IPv4 first.
func (s Settings) PodRanges() []netip.Prefix {
	return s.ranges("10.244.0.0/16", "fd00:10:244::/56")
}

// ServiceRanges are the ranges that ClusterIPs come from, IPv4 first.
func (s Settings) ServiceRanges() []netip.Prefix {
	return s.ranges("10.96.0.0/16", "fd00:10:96::/112")
}

func (s Settings) ranges(v4, v6 string) []netip.Prefix {
	ranges := []netip.Prefix{netip.MustParsePrefix(v4)}
	if s.Family == Dual {
		ranges = append(ranges, netip.MustParsePrefix(v6))
	}
	return ranges
}

// Summary says in a few words what cannot be changed without a new cluster.
func (s Settings) Summary() string {
	return fmt.Sprintf("%s, %s, %s, %d workers, published port %d", s.Images.Node, s.ProxyMode, s.Family, s.Workers, s.HostPort)
}

// kindConfig is what kind is to create.
func (s Settings) kindConfig() kind.Config {
	return kind.Config{Name: s.Name, Family: s.Family, ProxyMode: s.ProxyMode, PodSubnet: joined(s.PodRanges()), ServiceSubnet: joined(s.ServiceRanges()),
		Image: s.Images.Node, Offline: s.Images.Offline, Workers: s.Workers, HostPort: s.HostPort}
}

func joined(ranges []netip.Prefix) string {
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}

// fingerprint is a short hash of everything given.
func fingerprint(parts ...[]byte) string {
	sum := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:", len(part)) // a hash never fails to be written to
		_, _ = sum.Write(part)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))[:12]
}

// ParseImages reads the KEY=VALUE lines that scripts/images.sh prints.
func ParseImages(text string) (images Images, version string, err error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return Images{}, "", fmt.Errorf("read the images: %q is not KEY=VALUE", line)
		}
		values[key] = value
	}
	images = Images{Node: values["NODE_IMAGE"], Offline: values["IMAGES"] == "build", CoreDNS: values["COREDNS_IMAGE"],
		Agnhost: values["AGNHOST_IMAGE"], MetalLBManifest: values["METALLB_MANIFEST"]}
	for _, pair := range strings.Fields(values["LOAD_IMAGES"]) {
		local, name, found := strings.Cut(pair, "=")
		if !found {
			return Images{}, "", fmt.Errorf("read the images: LOAD_IMAGES: %q is not LOCAL=NAME", pair)
		}
		images.Load = append(images.Load, Load{Local: local, Name: name})
	}
	return images, values["KUBERNETES_VERSION"], nil
}
