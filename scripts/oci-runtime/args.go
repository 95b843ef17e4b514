//go:build linux

package main

import "strings"

// subcommand splits a runtime command line at its command. Global flags of runc that take a value are stepped over.
func subcommand(args []string) (command string, rest []string) {
	takesValue := map[string]bool{"--root": true, "--log": true, "--log-format": true, "--criu": true, "--rootless": true}
	for i := 0; i < len(args); i++ {
		switch {
		case takesValue[args[i]]:
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i], args[i+1:]
		}
	}
	return "", nil
}

// flagValue finds a flag's value in either form, "--flag value" and "--flag=value"; "" when it is not there.
func flagValue(args []string, names ...string) string {
	for i, arg := range args {
		for _, name := range names {
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
			if value, ok := strings.CutPrefix(arg, name+"="); ok {
				return value
			}
		}
	}
	return ""
}
