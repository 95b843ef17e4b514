//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestSpecFile(t *testing.T) {
	for _, tc := range []struct {
		name      string
		args      []string
		file      string
		isProcess bool
	}{
		{"docker's create", []string{"--root", "/run/x", "--log", "/b/log.json", "--log-format", "json", "create", "--bundle", "/b", "--pid-file", "/b/init.pid", "ID"}, "/b/config.json", false},
		{"create with =", []string{"--root=/run/x", "create", "--bundle=/b", "ID"}, "/b/config.json", false},
		{"create in the working directory", []string{"create", "ID"}, "config.json", false},
		{"containerd's exec", []string{"--root", "/r", "exec", "--process", "/tmp/p1", "--detach", "ID"}, "/tmp/p1", true},
		{"a root named create", []string{"--root", "create", "kill", "ID", "9"}, "", false},
		{"state", []string{"state", "ID"}, "", false},
		{"version", []string{"--version"}, "", false},
	} {
		file, isProcess := specFile(tc.args)
		if file != tc.file || isProcess != tc.isProcess {
			t.Errorf("%s: got %q, %v, want %q, %v", tc.name, file, isProcess, tc.file, tc.isProcess)
		}
	}
}

func TestParseBounding(t *testing.T) {
	got, err := parseBounding("CapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000000\n")
	if err != nil || got != 0x1fffeffffff {
		t.Fatalf("got %x, %v", got, err)
	}
	if (hostLimits{bounding: got}).has(sysResource) {
		t.Error("CAP_SYS_RESOURCE is missing from this set, but was found")
	}
	if _, err := parseBounding("Name:\tx\n"); err == nil {
		t.Error("a status without CapBnd was accepted")
	}
}

const config = `{"ociVersion":"1.0.2","process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE","CAP_FROM_THE_FUTURE"],"ambient":["CAP_SYS_RESOURCE"]},
"oomScoreAdj":-999,"rlimits":[{"type":"RLIMIT_NOFILE","hard":18446744073709551615,"soft":1024}]},"linux":{"resources":{"devices":[{"major":4611686018427387905}]}}}`

func TestRewrite(t *testing.T) {
	without := hostLimits{bounding: 0x1fffeffffff, oomScore: 0, hard: func(int) (uint64, bool) { return 20000, true }}
	with := without
	with.bounding = 0x1ffffffffff
	for _, tc := range []struct {
		name string
		host hostLimits
		want string
	}{
		{"no CAP_SYS_RESOURCE", without, `{"ociVersion":"1.0.2","process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_FROM_THE_FUTURE"],"ambient":[]},
"oomScoreAdj":0,"rlimits":[{"type":"RLIMIT_NOFILE","hard":20000,"soft":1024}]},"linux":{"resources":{"devices":[{"major":4611686018427387905}]}}}`},
		{"an unlimited host changes nothing", with, config},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.json")
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := rewrite(file, false, tc.host); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(decode(t, got), decode(t, []byte(tc.want))) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestRewriteRefusesWhatIsNoJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(file, false, hostLimits{}); err == nil {
		t.Error("half a file was accepted")
	}
}

// decode keeps numbers as they are written, so that a rounded one is seen.
func decode(t *testing.T, data []byte) map[string]json.RawMessage {
	t.Helper()
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(out, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}
