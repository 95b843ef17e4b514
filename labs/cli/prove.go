package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/fuzz"
	"github.com/svclab/svclab/e2e/migrate"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/labs/cli/console"
)

// migrateFolder is the folder of the report of a proof, in the output folder; ownServices are the Services of one that names no others.
const (
	migrateFolder = "migrate"
	ownServices   = "migrate/services.yaml"
)

// builtInServices are those of svclab.
func (a *app) builtInServices() (source, error) {
	text, err := fs.ReadFile(a.Manifests, ownServices)
	if err != nil {
		return source{}, fmt.Errorf("read svclab's own Services: %w", err)
	}
	return readServices("manifests/"+ownServices, bytes.NewReader(text))
}

// proveMigration switches the lab's cluster from one mode to the other and back, with the Services of a world.
func (a *app) proveMigration(ctx context.Context, w world.World, from, to world.Facts, f migrateFlags) (err error) {
	began := time.Now()
	lab, described, err := a.lab(ctx)
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		err = errors.Join(err, lab.Close(clean)) // restores the cluster's own kube-proxy
	}()
	facts, err := lab.Facts(ctx)
	if err != nil {
		return err
	}
	var families []corev1.IPFamily
	for _, r := range facts.ServiceCIDRs {
		families = append(families, world.FamilyOf(r.Addr()))
	}
	s := fuzz.Switch{From: from.ProxyMode, To: to.ProxyMode, StandIns: fuzz.NewStandIns(w, migrate.Between(w, from, to), families)}
	if facts.ProxyMode != s.From {
		_, _ = fmt.Fprintf(a.Err, "migrate: every node of %s to %s mode first\n", lab.Name(), s.From) // progress
		if err := lab.UseProxy(ctx, lab.Proxy(), s.From); err != nil {
			return err
		}
	}
	if f.services+f.kubeconfig != "" {
		nodes, err := lab.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("read the nodes of %s: %w", lab.Name(), err)
		}
		settings, notes := fuzz.LikeProxies(w, from, to, facts, nodes.Items)
		s.StandIns.Notes = append(s.StandIns.Notes, notes...)
		if settings != nil {
			_, _ = fmt.Fprintf(a.Err, "migrate: %s\n", notes[0]) // progress
			if err := lab.UseProxySettings(ctx, settings); err != nil {
				return err
			}
		}
	}
	settings := fuzz.Defaults()
	settings.Seed, settings.Log = 1, a.Err
	outcome, failed := fuzz.Prove(ctx, lab, probe.New(lab.Cluster, probe.WithGuard(lab.Guard()), probe.WithConcurrency(fuzzLanes)), settings, s)
	if failed != nil && len(outcome.Verdicts) == 0 {
		return failed
	}
	described.ProxyMode = s.From + " to " + s.To
	run := report.Run{Tool: "svclab", Version: version(), Started: began, Elapsed: time.Since(began), Cluster: described,
		Plan: report.PlanFor(outcome.Planned, outcome.Verdicts), Verdicts: outcome.Verdicts}
	style := a.ReportStyle(f.verbose, f.plain)
	err = errors.Join(report.WriteAll(filepath.Join(a.Config.Output, migrateFolder), run), fuzz.ProofText(a.Out, outcome, s, style), failed)
	if err != nil {
		return err
	}
	return console.Judged(outcome.Result())
}
