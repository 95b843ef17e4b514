// Command differential holds the oracle to the rules that kube-proxy itself writes: for each world, hand-made or random, it lets
// kube-proxy's proxiers of one or more releases write their rules for every node, IP family and proxy mode, follows a packet
// from each client to each target through these rules, and compares the outcome, the endpoints with their chances, the source
// addresses, session affinity and the answers of health checks with what the oracle predicts.
//
// It needs no cluster and no rights. scripts/test-oracle.sh builds the proxiers, as programs of their own, and runs it.
//
// What is not kube-proxy's is taken from the world's facts by both sides: who announces an address, what the pod network does
// with source addresses, what an endpoint listens on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/svclab/svclab/e2e/releases"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/manifests"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	agree, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "test-oracle:", err)
		os.Exit(2)
	case !agree:
		os.Exit(1)
	}
}

// settings are the command's flags.
type settings struct {
	programs [][2]string // release and program of the proxiers
	worlds   int
	seed     uint64
	only     int
	show     int
	modes    []string
	cases    []string // only these cases of manifests/releases, and no worlds
	json     string   // the file for their outcomes
}

func parse(args []string, progress io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("test-oracle", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&s.worlds, "worlds", 200, "how many random worlds, in addition to the hand-made ones")
	flags.Uint64Var(&s.seed, "seed", 1, "of the random worlds")
	flags.IntVar(&s.only, "world", -1, "compare this random world only")
	flags.IntVar(&s.show, "show", 3, "how many disagreements to print, each with its smallest world")
	s.modes = modes()
	flags.Func("cases", "only show these bugs of manifests/releases, or all, and compare no worlds", func(text string) error {
		s.cases = strings.Split(text, ",")
		return nil
	})
	flags.StringVar(&s.json, "json", "", "file to write the outcomes of the cases to")
	flags.Func("mode", "compare this proxy mode only", func(text string) error {
		if !slices.Contains(modes(), text) {
			return fmt.Errorf("use one of %s", strings.Join(modes(), ", "))
		}
		s.modes = []string{text}
		return nil
	})
	flags.Func("proxier", "RELEASE=PROGRAM: the proxiers of a Kubernetes release; once for each", func(text string) error {
		release, program, _ := strings.Cut(text, "=")
		if _, err := world.ParseRelease(release); err != nil {
			return err
		}
		s.programs = append(s.programs, [2]string{release, program})
		return nil
	})
	err := flags.Parse(args)
	if err == nil && (len(s.programs) == 0 || flags.NArg() > 0) {
		err = errors.New("no proxiers, or arguments that are no flags: run make test-oracle ARGS=--help")
	}
	return s, err
}

// switchMode is the mode of jobs that compare what a switch changes.
const switchMode = "switch"

// job is a world in one proxy mode, or in both.
type job struct {
	name, mode string
	world      func() world.World
	past       func() []objects // nil: the proxier starts with the world
}

func (j job) history(w world.World) []update {
	if j.past == nil {
		return nil
	}
	return updates(j.past(), w)
}

func (s settings) jobs() []job {
	var jobs []job
	for _, mode := range s.modes {
		random := func(i int) {
			made := func() world.World { return generate(s.seed, i) }
			jobs = append(jobs, job{fmt.Sprintf("%d of seed %d", i, s.seed), mode, made, nil},
				job{fmt.Sprintf("%d of seed %d after two others", i, s.seed), mode, made, func() []objects { return pastOf(s.seed, i) }})
		}
		if s.only >= 0 {
			random(s.only)
			continue
		}
		for _, shape := range shapes() {
			jobs = append(jobs, job{fmt.Sprintf("%q", shape.name), mode, shape.world, nil})
		}
		for i := range s.worlds {
			random(i)
		}
	}
	if len(s.modes) > 1 {
		for _, j := range jobs {
			if j.past == nil && j.mode == world.ModeNFTables {
				j.mode = switchMode
				jobs = append(jobs, j)
			}
		}
	}
	return jobs
}

func modes() []string { return []string{world.ModeNFTables, world.ModeIPTables} }

// found is a disagreement, and where it was.
type found struct {
	job job
	disagreement
}

// result is what was found of one release.
type result struct {
	tallies map[string]map[int]tally // by mode and IP family
	found   []found                  // of each rule the first ones
	rules   map[string]int
	excused map[string]int
	refused map[string]int // worlds whose rules nft would refuse, by mode and why
	// switched is what a switch of the mode changes.
	switched switched
}

func run(ctx context.Context, args []string, out, progress io.Writer) (agree bool, err error) {
	s, err := parse(args, progress)
	if err != nil {
		return false, err
	}
	cases, err := releases.LoadRules(manifests.FS())
	if err != nil {
		return false, err
	}
	if cases, err = chosen(cases, s.cases); err != nil {
		return false, err
	}
	agree = true
	var outcomes []releases.Outcome
	needed := map[string]bool{}
	for _, program := range s.programs {
		began := time.Now()
		if s.only < 0 {
			of, asKnown, err := s.showCases(ctx, program, cases, out)
			if err != nil {
				return false, err
			}
			outcomes, agree = append(outcomes, of...), agree && asKnown
		}
		if s.cases != nil {
			continue
		}
		r, err := s.release(ctx, program[0], program[1], progress)
		if err != nil {
			return false, err
		}
		for id := range r.excused {
			needed[id] = true
		}
		for _, mode := range s.modes {
			for _, family := range []int{4, 6} {
				t := r.tallies[mode][family]
				fmt.Fprintf(out, "Kubernetes %s  %-8s  IPv%d  %9d cells: %.4f %% agree, %d differ, %d by an exception\n", program[0], mode, family, t.cells,
					100*float64(t.cells-t.differ-t.excused)/float64(max(t.cells, 1)), t.differ, t.excused)
				agree = agree && t.differ == 0
			}
		}
		agree = s.printSwitch(out, fmt.Sprintf("Kubernetes %s  from iptables to nftables mode", program[0]), r.switched) && agree
		fmt.Fprintf(progress, "test-oracle: Kubernetes %s: %d worlds in %.1f s\n", program[0], len(s.jobs())/len(s.modes), time.Since(began).Seconds())
		for why, n := range r.refused {
			fmt.Fprintf(out, "%d worlds, %s\n", n, why)
			agree = false
		}
		if err := s.print(ctx, program, r, out); err != nil {
			return false, err
		}
	}
	for i := 1; s.cases == nil && len(s.modes) > 1 && i < len(s.programs); i++ {
		for _, mode := range s.modes {
			sw, err := s.between(ctx, [2][2]string{s.programs[i-1], s.programs[i]}, mode)
			if err != nil {
				return false, err
			}
			agree = s.printSwitch(out, fmt.Sprintf("Kubernetes %s to %s, %s mode", s.programs[i-1][0], s.programs[i][0], mode), sw) && agree
		}
	}
	if s.json != "" {
		if err := save(s.json, outcomes); err != nil {
			return false, err
		}
	}
	if s.cases != nil {
		return agree, nil
	}
	for _, e := range exceptions() {
		switch used := needed[e.id]; {
		case used:
			fmt.Fprintf(out, "exception %s: %s (%s)\n", e.id, e.reason, e.source)
		case s.only < 0 && len(s.modes) == len(modes()) && slices.ContainsFunc(s.programs, func(p [2]string) bool { return e.of(p[0]) }):
			fmt.Fprintf(out, "exception %s is not needed any more: remove it\n", e.id)
			agree = false
		}
	}
	if agree {
		fmt.Fprintln(out, "the oracle agrees with kube-proxy")
	}
	return agree, nil
}

// printSwitch says what a switch changes, and whether all of it was predicted.
func (s settings) printSwitch(out io.Writer, what string, sw switched) (agree bool) {
	fmt.Fprintf(out, "%s and back, %d Services: %d of %d cells change (IPv4 %d, IPv6 %d): %d missed, %d invented, %d by an exception\n",
		what, sw.services, sw.changed, sw.cells, sw.families[4], sw.families[6], sw.missed, sw.invented, sw.excused)
	for _, line := range sw.first[:min(len(sw.first), s.show)] {
		fmt.Fprintln(out, "  "+line)
	}
	return sw.missed+sw.invented == 0
}

// release compares all worlds with the proxiers of one Kubernetes release, on all processors.
func (s settings) release(ctx context.Context, release, program string, progress io.Writer) (result, error) {
	var (
		r    = result{tallies: map[string]map[int]tally{}, rules: map[string]int{}, excused: map[string]int{}, refused: map[string]int{}}
		jobs = s.jobs()
		mu   sync.Mutex
		done int
		said = time.Now()
	)
	did := func() { // with mu
		if done++; time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Fprintf(progress, "test-oracle: Kubernetes %s: %d of %d\n", release, done, len(jobs))
		}
	}
	err := parallel(ctx, len(jobs), func(ctx context.Context, next <-chan int) error {
		p, err := startProxiers(ctx, release, program)
		if err != nil {
			return err
		}
		for i := range next {
			w := jobs[i].world()
			if jobs[i].mode == switchMode {
				found, err := jobs[i].switched(w, [2]side{{p, world.ModeIPTables}, {p, world.ModeNFTables}})
				if err != nil {
					return err
				}
				mu.Lock()
				r.switched.add(found)
				did()
				mu.Unlock()
				continue
			}
			var here []disagreement
			tallies, err := p.compare(w, jobs[i].mode, func(_ *cluster, d disagreement) { here = append(here, d) }, jobs[i].history(w)...)
			var refused refusal
			if err != nil && !errors.As(err, &refused) {
				return fmt.Errorf("world %s, %s mode: %w", jobs[i].name, jobs[i].mode, err)
			}
			mu.Lock()
			if refused != "" {
				r.refused[jobs[i].mode+": "+string(refused)]++
			}
			r.add(jobs[i], tallies, here)
			did()
			mu.Unlock()
		}
		return p.stop()
	})
	return r, err
}

// between compares what changes between two releases in one mode, for the worlds in which the modes are compared.
func (s settings) between(ctx context.Context, programs [2][2]string, mode string) (switched, error) {
	var (
		sum  switched
		mu   sync.Mutex
		jobs = slices.DeleteFunc(s.jobs(), func(j job) bool { return j.mode != switchMode })
	)
	err := parallel(ctx, len(jobs), func(ctx context.Context, next <-chan int) error {
		var sides [2]side
		for i, program := range programs {
			p, err := startProxiers(ctx, program[0], program[1])
			if err != nil {
				return err
			}
			sides[i] = side{p, mode}
		}
		for i := range next {
			found, err := jobs[i].switched(jobs[i].world(), sides)
			if err != nil {
				return err
			}
			mu.Lock()
			sum.add(found)
			mu.Unlock()
		}
		return errors.Join(sides[0].stop(), sides[1].stop())
	})
	return sum, err
}

// switched is compareSwitch for the world of a job.
func (j job) switched(w world.World, sides [2]side) (switched, error) {
	if w.Facts.Detection == world.DetectUnknown { // the proxiers know what the facts do not say, so both sides are vague
		return switched{}, nil
	}
	found, err := compareSwitch(w, sides)
	if refused := refusal(""); errors.As(err, &refused) { // counted in its own mode
		return switched{}, nil
	}
	if err != nil {
		return switched{}, fmt.Errorf("world %s, from %s to %s: %w", j.name, sides[0].text(), sides[1].text(), err)
	}
	for i := range found.first {
		found.first[i] = "world " + j.name + ": " + found.first[i]
	}
	return found, nil
}

// parallel hands the numbers below n to workers on all processors. The first error ends all.
func parallel(ctx context.Context, n int, worker func(context.Context, <-chan int) error) error {
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.NumCPU() {
		group.Go(func() error { return worker(ctx, next) })
	}
	return group.Wait()
}

func (r *result) add(j job, tallies map[int]tally, here []disagreement) {
	if r.tallies[j.mode] == nil {
		r.tallies[j.mode] = map[int]tally{}
	}
	for family, t := range tallies {
		sum := r.tallies[j.mode][family]
		sum.cells, sum.differ, sum.excused = sum.cells+t.cells, sum.differ+t.differ, sum.excused+t.excused
		r.tallies[j.mode][family] = sum
	}
	for _, d := range here {
		if d.exception != nil {
			r.excused[d.exception.id]++
			continue
		}
		key := j.mode + " " + d.prediction.Rule
		if r.rules[key]++; r.rules[key] == 1 {
			r.found = append(r.found, found{j, d})
		}
	}
}

// print prints some disagreements with their smallest worlds, and says how many there are of each rule.
func (s settings) print(ctx context.Context, program [2]string, r result, out io.Writer) error {
	if len(r.found) == 0 {
		return nil
	}
	p, err := startProxiers(ctx, program[0], program[1])
	if err != nil {
		return err
	}
	for i, f := range r.found {
		if i < s.show {
			fmt.Fprintf(out, "\nworld %s, %d cells by rule %s\n", f.job.name, r.rules[f.job.mode+" "+f.prediction.Rule], f.prediction.Rule)
			if err := p.print(out, f.job, f.disagreement); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "world %s, %s mode, %d cells by rule %s: %s to %s: %s\n", f.job.name, f.job.mode, r.rules[f.job.mode+" "+f.prediction.Rule], f.prediction.Rule,
			f.vantage.Name, f.target.Name(), f.how)
	}
	return p.stop()
}
