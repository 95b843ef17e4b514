package report

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// probePage loads the page in a frame of the given width and writes what it measures there into an element.
// The page itself has no script: it is looked at from outside.
const probePage = `<!DOCTYPE html><iframe id="frame" src="page.html" style="width:%dpx;height:800px;border:0"></iframe><pre id="told"></pre>
<script>
frame.onload = () => { try {
  const d = frame.contentDocument, win = frame.contentWindow, out = {};
  const shown = e => win.getComputedStyle(e).display !== 'none';
  d.querySelectorAll('details').forEach(e => e.open = true);
  out.overflow = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  out.dark = win.matchMedia('(prefers-color-scheme: dark)').matches;
  const cell = d.querySelector('td.differ'), why = cell.querySelector('.why');
  out.hiddenFirst = !shown(why);
  cell.focus();
  const box = why.getBoundingClientRect();
  out.shownOnFocus = shown(why) && box.height > 50 && box.left >= 0 && box.right <= win.innerWidth && box.top >= 0 && box.bottom <= win.innerHeight + 1;
  cell.blur();
  out.hiddenAgain = !shown(why);
  out.filters = {};
  for (const f of d.querySelectorAll('input[name=show]')) {
    f.checked = true;
    out.filters[f.id] = [...d.querySelectorAll('.scenario')].filter(shown).length;
  }
  d.querySelector('#show-all').checked = true;
  out.behaviours = {};
  for (const f of d.querySelectorAll('input[name=b-show], #b-core')) {
    f.checked = true;
    out.behaviours[f.id] = [...d.querySelectorAll('.behaviours > li')].filter(shown).length;
    if (f.id != 'b-core') d.querySelector('#b-show-all').checked = true;
  }
  d.querySelector('#b-core').checked = false;
  const parse = c => c.match(/[\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(win.getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  out.contrast = {};
  for (const s of ['body', '.muted', '.why dt', 'a', 'td.reached', 'td.denied', 'td.differ', 'td.unsure', 'td.unprobed', '.badge.pass', '.badge.fail', '.badge.unsure', '.badge.skipped', '.legend .timeout']) {
    const e = d.querySelector(s), [x, y] = [light(parse(win.getComputedStyle(e).color)), light(behind(e))];
    out.contrast[s] = (Math.max(x, y) + .05) / (Math.min(x, y) + .05);
  }
  told.textContent = JSON.stringify(out);
} catch (e) { told.textContent = JSON.stringify({failed: String(e)}); } };
</script>`

// told is what probePage measures.
type told struct {
	Failed                                 string
	Overflow                               int
	Dark                                   bool
	HiddenFirst, ShownOnFocus, HiddenAgain bool
	Filters, Behaviours                    map[string]int
	Contrast                               map[string]float64
}

func TestPageInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser four times")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && browser == "" {
			browser = path
		}
	}
	if browser == "" {
		t.Skip("no Chromium here: apt-get install chromium")
	}
	for _, width := range []int{390, 1280} {
		for _, dark := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d columns, dark %t", width, dark), func(t *testing.T) {
				got := measured(t, browser, width, dark)
				if got.Failed != "" {
					t.Fatal(got.Failed)
				}
				if got.Dark != dark {
					t.Skipf("this browser does not let its colour scheme be set: dark is %t", got.Dark)
				}
				if got.Overflow > 0 {
					t.Errorf("the page is %d pixels wider than its window", got.Overflow)
				}
				if !got.HiddenFirst || !got.ShownOnFocus || !got.HiddenAgain {
					t.Errorf("a cell's reason: hidden at first %t, shown on focus %t, hidden again %t", got.HiddenFirst, got.ShownOnFocus, got.HiddenAgain)
				}
				for id, want := range map[string]int{"show-all": 6, "show-fail": 2, "show-unsure": 1, "show-pass": 2, "show-skipped": 1} {
					if got.Filters[id] != want {
						t.Errorf("filter %s shows %d scenarios, want %d", id, got.Filters[id], want)
					}
				}
				for id, want := range map[string]int{"b-show-all": 5, "b-show-fail": 1, "b-show-unsure": 1, "b-show-pass": 2, "b-show-skipped": 1, "b-core": 3} {
					if got.Behaviours[id] != want {
						t.Errorf("filter %s shows %d behaviours, want %d", id, got.Behaviours[id], want)
					}
				}
				for what, ratio := range got.Contrast {
					if ratio < 4.5 { // WCAG 2.2, 1.4.3
						t.Errorf("%s has a contrast of %.1f", what, ratio)
					}
				}
			})
		}
	}
}

func measured(t *testing.T, browser string, width int, dark bool) (got told) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"page.html": pageOf(t, conforming()), "probe.html": fmt.Sprintf(probePage, width)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--user-data-dir=" + filepath.Join(dir, "profile"), "--allow-file-access-from-files", "--virtual-time-budget=10000", "--window-size=1300,900", "--dump-dom"}
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	scheme := "--blink-settings=preferredColorScheme=1"
	if dark {
		scheme = "--blink-settings=preferredColorScheme=0"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dom, err := exec.CommandContext(ctx, browser, append(args, scheme, "file://"+filepath.Join(dir, "probe.html"))...).Output()
	_, text, found := strings.Cut(string(dom), `<pre id="told">`)
	text, _, _ = strings.Cut(text, "</pre>")
	if err != nil || !found || text == "" {
		t.Skipf("%s does not run here: error %v, %d bytes of answer", browser, err, len(dom))
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(text)), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return got
}
