//go:build e2e

package suites_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"runtime/debug"

	"github.com/svclab/svclab/e2e/reach"
)

// claim waits until no other scenario in any process of the run has what a scenario must have for itself, or claims what it
// shares. Locks are taken in one order, so that no two wait for each other.
func claim(ctx context.Context, folder string, claims, shares []string) (release func() error, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	var held []*os.File
	release = func() error {
		var errs []error
		for _, file := range held {
			errs = append(errs, file.Close()) // which frees the lock
		}
		return errors.Join(errs...)
	}
	wanted := append(slices.Clone(claims), shares...)
	slices.Sort(wanted)
	for _, name := range slices.Compact(wanted) {
		how := syscall.LOCK_SH
		if slices.Contains(claims, name) {
			how = syscall.LOCK_EX
		}
		file, err := os.OpenFile(filepath.Join(folder, strings.ReplaceAll(name, "/", "-")), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("claim %s: %w", name, err), release())
		}
		held = append(held, file)
		for {
			err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errors.Join(fmt.Errorf("claim %s: %w", name, err), release())
			}
			select { // no event reports that another process released its lock
			case <-ctx.Done():
				return nil, errors.Join(fmt.Errorf("claim %s: %w", name, context.Cause(ctx)), release())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return release, nil
}

// Pass matches a verdict that is a pass, and prints what is wrong with one that is not.
func Pass() types.GomegaMatcher { return WithTransform(problems, BeEmpty()) }

// problems lists what keeps a verdict from being a pass; empty for one that is.
func problems(v reach.Verdict) []string {
	if v.Result == reach.Pass {
		return nil
	}
	var list []string
	for _, step := range v.Steps {
		if step.Result == reach.Pass || step.Result == reach.Skipped {
			continue
		}
		list = append(list, fmt.Sprintf("%s: %s: %s", step.Name, step.Result, step.Why))
	}
	if len(list) == 0 {
		list = append(list, string(v.Result))
	}
	return list
}

// version is the module's version as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
