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

// WhoHas asks on the vantage's link, by ARP or NDP, who has an address, listens for the time wait, and returns
// the hardware addresses of all who answered, sorted. The vantage must be on one link with the address.
func WhoHas(ctx context.Context, exec Exec, v reach.Vantage, addr netip.Addr, wait time.Duration) ([]string, error) {
	var owners wire.Owners
	if err := tell(ctx, exec, v, &owners, "whohas", "--addr", addr.String(), "--wait", wait.String()); err != nil {
		return nil, fmt.Errorf("ask from %s who has %s: %w", v.Name, addr, err)
	}
	return owners.MACs, nil
}

// Links returns the hardware addresses of a vantage's interfaces.
func Links(ctx context.Context, exec Exec, v reach.Vantage) ([]string, error) {
	var links wire.Links
	if err := tell(ctx, exec, v, &links, "links"); err != nil {
		return nil, fmt.Errorf("list the links of %s: %w", v.Name, err)
	}
	return links.MACs, nil
}

// Synced waits until the kube-proxy of a node vantage has written to the packet filter every change it knows of, at
// most for the time wait. An error means that the prober could not be run; that there is no kube-proxy to ask, or
// that it was not done in time, is told by the value.
func Synced(ctx context.Context, exec Exec, v reach.Vantage, wait time.Duration) (wire.Synced, error) {
	var synced wire.Synced
	if err := tell(ctx, exec, v, &synced, "synced", "--wait", wait.String()); err != nil {
		return wire.Synced{}, fmt.Errorf("ask kube-proxy at %s what it has written: %w", v.Name, err)
	}
	return synced, nil
}

// tell runs the prober with arguments and decodes what it prints.
func tell(ctx context.Context, exec Exec, v reach.Vantage, out any, args ...string) error {
	path, err := exec.Prober(ctx, v)
	if err != nil {
		return fmt.Errorf("put the prober at %s: %w", v.Name, err)
	}
	var stdout, stderr bytes.Buffer
	if err := exec.Exec(ctx, v, append([]string{path}, args...), io.MultiReader(), &stdout, &stderr); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		return fmt.Errorf("read the prober's answer %.100q: %w", stdout.String(), err)
	}
	return nil
}
