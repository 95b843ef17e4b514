//go:build !linux

package main

import (
	"errors"
	"runtime"
)

func startTracer(uint8) (tracer, error) {
	return nil, errors.New("packets can be traced on Linux only, this is " + runtime.GOOS)
}
