package reach

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Counts prints how many answers each backend gave, sorted by name.
func Counts(byBackend map[string]int) string {
	if len(byBackend) == 0 {
		return "no backend"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(byBackend)) {
		parts = append(parts, fmt.Sprintf("%s (%d)", name, byBackend[name]))
	}
	return strings.Join(parts, ", ")
}
