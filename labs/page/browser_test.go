//go:build e2e

package page

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	protocol "github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdp "github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/svclab/svclab/labs/class"
	"github.com/svclab/svclab/labs/progress"
)

// learned is svclab learn --web with a new learner, and a browser that has opened its page.
type learned struct {
	*testing.T
	ctx context.Context
	url string
	axe string // the source of axe-core
	// join are the URL and the code of a class.
	join []string

	mu      sync.Mutex
	strange []string // what the browser complained about, and requests to others
}

// setting is an environment variable that make test-page sets.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run make test-page", name)
	}
	return value
}

func begin(t *testing.T) *learned {
	t.Helper()
	l := opened(t, "learn", "--web", "--lang", "en", "--yes")
	l.do("see the exercise", chromedp.WaitVisible(chromedp.CSS("#h-task")))
	return l
}

// opened runs svclab, and opens the page whose address it prints.
func opened(t *testing.T, args ...string) *learned {
	t.Helper()
	axe, err := os.ReadFile(setting(t, "AXE"))
	if err != nil {
		t.Fatal(err)
	}
	l := &learned{T: t, axe: string(axe)}
	svclab := exec.CommandContext(t.Context(), setting(t, "SVCLAB"), args...)
	svclab.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir(), "SHELL=/bin/sh", "PS1=$ ")
	svclab.Cancel = func() error { return svclab.Process.Signal(syscall.SIGTERM) }
	svclab.WaitDelay = 20 * time.Second
	out, err := svclab.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	svclab.Stderr = os.Stderr
	if err := svclab.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for l.url == "" && lines.Scan() {
		_, l.url, _ = strings.Cut(lines.Text(), "browser: ")
		if _, join, found := strings.Cut(lines.Text(), "svclab learn join "); found {
			l.join = strings.Fields(join)
		}
	}
	if l.url == "" {
		t.Fatalf("svclab printed no address: %v", svclab.Wait())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	t.Cleanup(func() { _ = svclab.Process.Signal(syscall.SIGTERM); _ = svclab.Wait() })

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.WindowSize(1280, 900))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocated, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	tab, stop := chromedp.NewContext(allocated)
	t.Cleanup(stop)
	l.ctx = tab
	own, _, _ := strings.Cut(strings.TrimPrefix(l.url, "http://"), "/")
	err = chromedp.Listen(tab, func(event any) {
		switch e := event.(type) {
		case *cdp.EventJavascriptDialogOpening:
			go func() {
				_ = chromedp.Do(tab, command(cdp.HandleJavaScriptDialog, cdp.HandleJavaScriptDialogParams{Accept: true}))
			}()
		case *log.EventEntryAdded:
			l.complain(fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
		case *cdpruntime.EventExceptionThrown:
			l.complain(fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, "http://"+own+"/") {
				l.complain("a request to " + u)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(tab); err != nil { // starts the browser, which lives as long as this context
		t.Fatal(err)
	}
	l.do("open the page", command(network.Enable, network.EnableParams{}), command(log.Enable, protocol.Empty{}), chromedp.Navigate(l.url), chromedp.WaitVisible(chromedp.CSS("h1")))
	return l
}

// command sends a command of the DevTools protocol.
func command[P, R any](c protocol.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := protocol.Call(ctx, target, c, params)
		return err
	})
}

// click clicks on what a CSS selector selects.
func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

// script runs JavaScript, whose result does not matter.
func script(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](text+"; true")(ctx, target)
		return err
	})
}

// value is what a JavaScript expression is.
func value[T any](l *learned, expression string, options ...chromedp.EvaluateOption) T {
	l.Helper()
	got, err := chromedp.Run(l.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		l.Fatalf("%s: %v", expression, err)
	}
	return got
}

func (l *learned) complain(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strange = append(l.strange, text)
}

// do runs actions in the browser, each within a minute and a half: an exercise is set up meanwhile.
func (l *learned) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, 90*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		l.fail(what, err)
	}
}

// fail ends the test, and says what the page shows.
func (l *learned) fail(what string, err error) {
	l.Helper()
	l.picture("failed")
	l.Fatalf("%s: %v; the browser says %v; the page shows\n%s", what, err, l.strange, value[string](l, "document.body.innerText"))
}

// until waits until a JavaScript expression is true. (The page's policy forbids the functions that chromedp.Poll would make.)
func (l *learned) until(what, expression string) {
	l.Helper()
	for began := time.Now(); !value[bool](l, "Boolean("+expression+")"); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 3*time.Minute {
			l.fail(what, errors.New("it did not come so"))
		}
	}
}

// says waits until an element has a text.
func (l *learned) says(selector, text string) {
	l.Helper()
	l.until(selector+" says "+text, fmt.Sprintf("document.querySelector(%q)?.textContent.includes(%q)", selector, text))
}

// inWindow fails unless the top of an element is in the window, without scrolling.
func (l *learned) inWindow(selector string) {
	l.Helper()
	if !value[bool](l, fmt.Sprintf(`(top => top >= 0 && top < innerHeight)(document.querySelector(%q).getBoundingClientRect().top)`, selector)) {
		l.Errorf("%s is not in the window", selector)
	}
}

// picture saves a picture of the whole page, to be looked at.
func (l *learned) picture(name string) {
	folder := filepath.Join(os.Getenv("SVCLAB_OUTPUT"), "page")
	png, err := chromedp.Run(l.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		l.Errorf("picture %s: %v", name, err)
		return
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644); err != nil {
		l.Fatal(err)
	}
}

// types types a command line into the terminal.
func (l *learned) types(line string) {
	l.Helper()
	l.do("type "+line, click("#terminal .xterm-screen"), chromedp.KeyEvent(line+"\r"))
}

// accessible runs axe-core, in both colour schemes, in both languages, wide and as wide as a phone.
func (l *learned) accessible(name string) {
	l.Helper()
	for _, language := range []string{"en", "zh"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 390} {
				at := fmt.Sprintf("%s-%s-%s-%d", name, language, scheme, width)
				l.do(at, chromedp.EmulateViewport(width, 844), command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
					click(`[data-language=`+language+`]`), chromedp.Sleep(time.Second), script(l.axe))
				found := value[string](l, `axe.run().then(r => JSON.stringify(r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)])))`, chromedp.EvalAwaitPromise)
				wide := value[bool](l, `document.documentElement.scrollWidth > innerWidth`)
				if found != "[]" {
					l.Errorf("%s: axe found %s", at, found)
				}
				if wide {
					l.Errorf("%s: the page is wider than its window", at)
				}
				l.picture(at)
			}
		}
	}
	l.do("back", chromedp.EmulateViewport(1280, 900), click(`[data-language=en]`))
}

// A learner who has nothing but the page solves exercise 01, and sees the cluster change meanwhile.
func TestPageSolvesAnExercise(t *testing.T) {
	l := begin(t)
	l.says("#h-task", "Exercise 01")
	l.inWindow("#shell")
	l.says("#terminal", "$")
	l.accessible("start")
	l.types("kubectl get deployment")
	l.says("#terminal", "my-app")
	l.do("check", click(`[data-verb=check]`))
	l.says("#result", "Not yet:")
	l.do("hint", click(`[data-verb=hint]`))
	l.says("#result", "Hint 1 of 3")

	l.types("kubectl expose deployment my-app --name=my-service --port=80 --target-port=8080")
	l.says("#services", "my-service")
	l.until("the Service is reached", `document.querySelectorAll('#cells td.reached').length > 2`)
	l.do("check", click(`[data-verb=check]`))
	l.says("#result", "Passed:")
	l.says("#result", "What happened")
	l.says("#summary", "1 of ")
	l.accessible("passed")

	l.inTime()
	l.do("send a request", chromedp.SetValue(chromedp.CSS("#from"), "pod/worker"), click("#send"))
	l.says("#hops", "sends")
	l.says("#walked", "as predicted")
	l.until("every hop is as predicted", `!document.querySelector('#hops .differs') && document.querySelectorAll('#hops .same').length > 3`)
	l.picture("walk")

	l.do("leave the terminal by the keyboard", click("#terminal .xterm-screen"), chromedp.KeyEvent(kb.F6))
	if where := value[string](l, "document.activeElement.id"); where != "main" {
		t.Errorf("F6 leaves the terminal for %q", where)
	}
	l.types("svclab learn next --lang en | tail -n 1; exit")
	l.says("#h-task", "Exercise 02")
	l.says("#shell-note", "has ended")

	l.do("choose another exercise", click("#exercises summary"), click("#list li:nth-child(6) button"))
	l.says("#h-task", "Exercise 06")
	l.until("it is set up", `!document.querySelector('[data-verb=next]').disabled`)
	l.do("go to the next exercise", click("[data-verb=next]"))
	l.says("#h-task", "Exercise 07")
	l.says("#reach-note", "when you have answered")
	l.until("it is set up", `!document.querySelector('[data-verb=check]').disabled`)
	l.inWindow("#h-task")
	l.do("check without answers", click("[data-verb=check]"))
	l.until("the first question has the focus", `document.activeElement === document.querySelector('#questions input')`)
	l.accessible("questions")
	l.nothingStrange()
}

// Somebody watches a namespace whose pods run other apps than the lab's: here the cluster's DNS, over TCP and UDP.
func TestPageWatchesANamespace(t *testing.T) {
	l := opened(t, "watch", "--web", "-n", "kube-system", "--lang", "en")
	l.says("#services", "kube-dns")
	l.says("#reach-note", "Of another app")
	l.until("every cell is probed", `document.querySelectorAll('#cells td[data-to]:not([class=""]):not([data-seen])').length === 0 && document.querySelectorAll('#cells td[data-seen]').length > 40`)
	if same := value[int](l, `(names => names.length - new Set(names).size)([...document.querySelectorAll('#cells th[scope=row]')].map(th => th.textContent))`); same > 0 {
		t.Errorf("%d rows look like another one", same)
	}
	for outcome, text := range map[string]string{":53/TCP": "connected", ":9153/TCP": "wrong answer"} {
		cell := fmt.Sprintf(`[data-from="pod/worker"][data-to="kube-dns clusterIP%s"]`, outcome)
		l.says(cell, text)
		if class := value[string](l, fmt.Sprintf(`document.querySelector(%q).className`, cell)); !slices.Equal(strings.Fields(strings.ReplaceAll(class, "fresh", "")), []string{"denied"}) {
			t.Errorf("%s looks %s", cell, class)
		}
	}
	if dashed := value[int](l, `[...document.querySelectorAll('#cells td.moving')].filter(td => td.textContent === 'not probed').length`); dashed > 0 {
		t.Errorf("%d cells are not probed, and not as predicted", dashed)
	}
	l.do("choose a cell", click(`[data-from="pod/worker"][data-to="kube-dns clusterIP:53/TCP"]`))
	l.says("#cell", "timed out: connected, but no answer came")
	l.do("send a request", click("#send"))
	l.says("#walked", "as predicted")
	l.accessible("watch")
	l.nothingStrange()
}

// nothingStrange fails if the browser complained about something.
func (l *learned) nothingStrange() {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if strange := slices.Compact(l.strange); len(strange) > 0 {
		l.Errorf("the browser says %s", strings.Join(strange, "\n"))
	}
}

// A teacher sees who is where, and a learner's name is only text. It needs no cluster.
func TestPageOfAClass(t *testing.T) {
	l := opened(t, "learn", "class", "--serve", "--lang", "en")
	l.says("#nobody", "No learner has joined yet.")
	l.says("#join", l.join[0]+" "+l.join[1])
	began := time.Now().Add(-12 * time.Minute)
	learner := func(name, exercise, misconception string, passed time.Time) (class.Member, progress.Progress) {
		t.Helper()
		m, err := class.NewMember(l.join[0], l.join[1])
		if err != nil {
			t.Fatal(err)
		}
		p := progress.Progress{Learner: name, Current: exercise, Exercises: map[string]progress.Exercise{"01": {Started: began, Passed: began},
			exercise: {Started: began, Checked: time.Now(), Passed: passed, Hints: 2, Shows: misconception}}}
		if err := m.Send(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return m, p
	}
	const evil = `<img src=x onerror="document.title='x'">`
	ann, anns := learner("Ann", "04", "endpoints-mean-working", time.Time{})
	learner("王小明", "04", "endpoints-mean-working", time.Time{})
	learner(evil, "13", "", time.Now())
	l.until("three are there", `document.querySelectorAll('#rows tr').length === 3`)
	l.says("#rows", evil)
	l.says("#rows", "12 min")
	l.says("#stuck summary", "endpoints-mean-working")
	l.do("read about it", click("#stuck summary"))
	l.says("#stuck details[open] div", "A Service with endpoints need not work.")
	l.accessible("class")
	l.says("#rows", "not yet")

	anns.Change("04", func(e *progress.Exercise) { e.Passed, e.Shows = time.Now(), "" })
	if err := ann.Send(t.Context(), anns); err != nil {
		t.Fatal(err)
	}
	l.says("#changes", "Ann: 04 Endpoints, and every connection is refused, passed")
	l.until("what was opened stays open", `document.querySelectorAll('#stuck details[open]').length === 1`)
	if err := ann.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.until("Ann is gone", `document.querySelectorAll('#rows tr').length === 2`)
	l.nothingStrange()
}

// inTime changes a port of the Service, and measures when the page shows that, and a probe of the new port. On a busy machine one of
// several times must be within the bound.
func (l *learned) inTime() {
	l.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(setting(l.T, "SVCLAB_OUTPUT"), "kubeconfig"))
	if err != nil {
		l.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		l.Fatal(err)
	}
	patch := func(port int) {
		l.Helper()
		if _, err := client.CoreV1().Services("learn-01").Patch(l.ctx, "my-service", types.JSONPatchType,
			fmt.Appendf(nil, `[{"op": "replace", "path": "/spec/ports/0/port", "value": %d}]`, port), metav1.PatchOptions{}); err != nil {
			l.Fatal(err)
		}
	}
	const bound, tries = 300, 8
	shown, probed := int64(math.MaxInt64), int64(math.MaxInt64)
	for port := 81; port < 81+tries && (shown > bound || probed > bound); port++ {
		l.do("watch the page", script(fmt.Sprintf(`
			window.at = {};
			window.watcher?.disconnect();
			window.watcher = new MutationObserver(() => {
				const now = Date.now();
				if (!at.shown && document.querySelector('#services').textContent.includes('port %[1]d ')) at.shown = now;
				for (const td of document.querySelectorAll('#cells td[data-to*=":%[1]d/"][data-seen]')) if (!at.seen) { at.seen = now; at.probed = Number(td.dataset.seen); }
			});
			watcher.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true})`, port)))
		patch(port)
		changed := time.Now().UnixMilli()
		l.until("the page shows a probe of the new port", "at.shown > 0 && at.seen > 0")
		at := value[struct{ Shown, Seen, Probed int64 }](l, "at")
		l.Logf("a change was shown %d ms after the API server had accepted it, a probe %d ms after it began", at.Shown-changed, at.Seen-at.Probed)
		shown, probed = min(shown, at.Shown-changed), min(probed, at.Seen-at.Probed)
	}
	patch(80)
	if shown > bound || probed > bound {
		l.Errorf("that is more than %d ms each time", bound)
	}
}
