package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// WhoHas resolves an address on the vantage's link by ARP or NDP. It collects answers for the time wait and returns the sorted
// hardware addresses of all owners that answered. The vantage must be on the same link as the address.
func WhoHas(ctx context.Context, exec Exec, v reach.Vantage, addr netip.Addr, wait time.Duration) ([]string, error) {
	var owners wire.Owners
	if err := runProber(ctx, exec, v, &owners, "whohas", "--addr", addr.String(), "--wait", wait.String()); err != nil {
		return nil, fmt.Errorf("resolve %s on the link of %s: %w", addr, v.Name, err)
	}
	return owners.MACs, nil
}

// Links returns the hardware addresses of a vantage's interfaces.
func Links(ctx context.Context, exec Exec, v reach.Vantage) ([]string, error) {
	var links wire.Links
	if err := runProber(ctx, exec, v, &links, "links"); err != nil {
		return nil, fmt.Errorf("list the links of %s: %w", v.Name, err)
	}
	return links.MACs, nil
}

// Synced waits until the kube-proxy of a node vantage has programmed every change that it knows into the packet filter, at
// most for the time wait. It returns an error if the prober could not be run. A node without kube-proxy, or one that is not
// done in time, is not an error; the returned value tells.
func Synced(ctx context.Context, exec Exec, v reach.Vantage, wait time.Duration) (wire.Synced, error) {
	var synced wire.Synced
	if err := runProber(ctx, exec, v, &synced, "synced", "--wait", wait.String()); err != nil {
		return wire.Synced{}, fmt.Errorf("read kube-proxy's progress at %s: %w", v.Name, err)
	}
	return synced, nil
}

// runProber runs the prober with arguments and decodes its output.
func runProber(ctx context.Context, exec Exec, v reach.Vantage, out any, args ...string) error {
	path, err := exec.Prober(ctx, v)
	if err != nil {
		return fmt.Errorf("copy the prober to %s: %w", v.Name, err)
	}
	var stdout, stderr bytes.Buffer
	if err := exec.Exec(ctx, v, append([]string{path}, args...), io.MultiReader(), &stdout, &stderr); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		return fmt.Errorf("parse the prober's output %.100q: %w", stdout.String(), err)
	}
	return nil
}
