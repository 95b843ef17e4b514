package world

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/version"
)

// The minors of Kubernetes v1 that have kube-proxy's nftables mode (KEP-3866): behind the feature gate NFTablesProxyMode first, then
// without it.
const (
	NFTablesSince   = 29
	NFTablesDefault = 31
)

var releasePattern = regexp.MustCompile(`^v1\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$`)

// ParseRelease parses a release of Kubernetes, "v1.33.0". It returns an error for everything else, pre-releases included.
func ParseRelease(text string) (*version.Version, error) {
	if !releasePattern.MatchString(text) {
		return nil, fmt.Errorf("%q is no release: write one as v1.33.0", text)
	}
	return version.ParseSemantic(text)
}

// ReleaseBefore reports whether a release comes before another one by its number. A text that is no release comes before each.
func ReleaseBefore(release, other string) bool {
	second, err := ParseRelease(other)
	if err != nil {
		return false
	}
	first, err := ParseRelease(release)
	return err != nil || first.LessThan(second)
}
