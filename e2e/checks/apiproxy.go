package checks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/wait"
)

// apiProxyArgs are those of the check api-proxy: a port of a Service of the scenario, or of the node of a slot.
type apiProxyArgs struct {
	Service string `json:"service"`
	Node    string `json:"node"`
	Port    uint16 `json:"port"`
	Path    string `json:"path"`
	// Status is the HTTP status that the answer must have, Body are texts that it must contain.
	Status int              `json:"status"`
	Body   scenario.Strings `json:"body"`
}

// apiProxy requests a path through the API server's proxy to a Service or a node, until the answer is as wanted or follows has
// passed: what answers watches the objects too.
func apiProxy(ctx context.Context, env Env, args apiProxyArgs) ([]string, error) {
	path, err := args.path(env)
	if err != nil {
		return nil, err
	}
	for bound := time.Now().Add(follows); ; {
		var status int
		// a proxied answer may say "retry after"; each answer is judged by itself
		body, err := env.Client.CoreV1().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json, */*").MaxRetries(0).Do(ctx).StatusCode(&status).Raw()
		if status == 0 {
			return nil, fmt.Errorf("get %s: %w", path, err)
		}
		line := fmt.Sprintf("%s: %d %s: %.300q", path, status, http.StatusText(status), body)
		switch mismatch := args.mismatch(status, string(body)); {
		case mismatch == "":
			return []string{line}, nil
		case time.Now().After(bound) || wait.Sleep(ctx, reprobe) != nil:
			return []string{line}, reach.Failf("%s; it answered %s", mismatch, line)
		}
	}
}

func (a apiProxyArgs) mismatch(status int, body string) string {
	if status != a.Status {
		return fmt.Sprintf("want status %d", a.Status)
	}
	for _, text := range a.Body {
		if !strings.Contains(body, text) {
			return fmt.Sprintf("want %q in the body", text)
		}
	}
	return ""
}

// path is where the API server proxies what the arguments name.
func (a apiProxyArgs) path(env Env) (string, error) {
	if (a.Service == "") == (a.Node == "") || a.Port == 0 || a.Status == 0 {
		return "", errors.New("want service or node, port and status")
	}
	port := strconv.Itoa(int(a.Port))
	if a.Service != "" {
		_, err := serviceArgs{a.Service}.find(env)
		return "/api/v1/namespaces/" + env.Namespace + "/services/" + a.Service + ":" + port + "/proxy" + a.Path, err
	}
	name, found := env.World.Facts.Slots[a.Node]
	if !found {
		return "", fmt.Errorf("there is no node %q", a.Node)
	}
	return "/api/v1/nodes/" + name + ":" + port + "/proxy" + a.Path, nil
}
