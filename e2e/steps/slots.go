package steps

import (
	"fmt"
	"regexp"
	"strings"
)

// nodeName is how manifests name the nodes of the lab's own cluster, so that a reader can use them with
// kubectl as they are.
var nodeName = regexp.MustCompile(`^svclab-((?:control-plane|worker)[0-9]*)$`)

// renamed puts the actual node's name where value, a manifest or a part of one, names a node of the lab's own
// cluster by its slot. Only whole strings are names. The value given is not changed.
func renamed(value any, slots map[string]string) (any, error) {
	switch v := value.(type) {
	case string:
		match := nodeName.FindStringSubmatch(v)
		if match == nil {
			return v, nil
		}
		name, found := slots[match[1]]
		if !found {
			return nil, fmt.Errorf("node %s: this cluster has no node in slot %s", v, match[1])
		}
		return name, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			changed, err := renamed(inner, slots)
			if err != nil {
				return nil, err
			}
			out[key] = changed
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			changed, err := renamed(inner, slots)
			if err != nil {
				return nil, err
			}
			out[i] = changed
		}
		return out, nil
	default:
		return v, nil
	}
}

// renamedText is renamed for one string. A name may also stand after "=", as in spec.nodeName=svclab-worker.
func renamedText(text string, slots map[string]string) (string, error) {
	at := strings.LastIndex(text, "=") + 1
	value, err := renamed(text[at:], slots)
	if err != nil {
		return "", err
	}
	return text[:at] + value.(string), nil
}
