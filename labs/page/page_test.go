package page

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fakeCourse records what the page has it do.
type fakeCourse struct{ did []Action }

func (f *fakeCourse) View() (View, error) { return View{}, nil }
func (f *fakeCourse) State(language string) (State, error) {
	return State{Summary: "1 of 2 in " + language}, nil
}
func (f *fakeCourse) Do(_ context.Context, a Action) (string, error) {
	f.did = append(f.did, a)
	if a.Verb == "fail" {
		return "<p>so far</p>", errors.New("no such verb")
	}
	return "<p>done</p>", nil
}
func (f *fakeCourse) Stamp() string { return "" }
func (f *fakeCourse) Shell(ctx context.Context) (*exec.Cmd, error) {
	c := exec.CommandContext(ctx, "/bin/sh")
	c.Env = []string{"PATH=/bin:/usr/bin", "PS1=$ "}
	return c, nil
}

// served is a page with a fake course, and its address.
func served(t *testing.T) (*server, *fakeCourse, string) {
	t.Helper()
	course := &fakeCourse{}
	web := httptest.NewUnstartedServer(nil)
	s, err := newServer(Options{Course: course, Language: "en"}, web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	web.Config.Handler = s
	web.Start()
	t.Cleanup(web.Close)
	return s, course, web.URL + "/" + s.token + "/"
}

// Only the page itself, opened with its token on this machine, gets an answer.
func TestOthersAreRefused(t *testing.T) {
	s, course, _ := served(t)
	_, port, _ := strings.Cut(s.host, ":")
	own := map[string]string{"Origin": "http://" + s.host, "Content-Type": "application/json"}
	with := func(key, value string) map[string]string {
		all := map[string]string{}
		for k, v := range own {
			all[k] = v
		}
		all[key] = value
		return all
	}
	for name, tc := range map[string]struct {
		method, path, host string
		header             map[string]string
		want               int
	}{
		"the page":                  {"GET", "/" + s.token + "/", s.host, nil, 200},
		"by the name localhost":     {"GET", "/" + s.token + "/main.js", "localhost:" + port, nil, 200},
		"a verb":                    {"POST", "/" + s.token + "/do", s.host, own, 200},
		"no token":                  {"GET", "/", s.host, nil, 404},
		"a part of the token":       {"GET", "/" + s.token[:20] + "/", s.host, nil, 404},
		"another token":             {"GET", "/" + strings.Repeat("A", len(s.token)) + "/main.js", s.host, nil, 404},
		"a token as a parameter":    {"GET", "/main.js?token=" + s.token, s.host, nil, 404},
		"a name that leads here":    {"GET", "/" + s.token + "/", "evil.example:" + port, nil, 403},
		"another port's name":       {"GET", "/" + s.token + "/", "127.0.0.1:1", nil, 403},
		"no port":                   {"GET", "/" + s.token + "/", "127.0.0.1", nil, 403},
		"another page's verb":       {"POST", "/" + s.token + "/do", s.host, with("Origin", "http://evil.example"), 403},
		"a page of another port":    {"POST", "/" + s.token + "/do", s.host, with("Origin", "http://127.0.0.1:1"), 403},
		"a sandboxed page's verb":   {"POST", "/" + s.token + "/do", s.host, with("Origin", "null"), 403},
		"a verb without origin":     {"POST", "/" + s.token + "/do", s.host, map[string]string{"Content-Type": "application/json"}, 403},
		"another site's frame":      {"GET", "/" + s.token + "/", s.host, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"a socket without origin":   {"GET", "/" + s.token + "/terminal", s.host, map[string]string{"Upgrade": "websocket"}, 403},
		"a socket of another page":  {"GET", "/" + s.token + "/terminal", s.host, map[string]string{"Upgrade": "websocket", "Origin": "http://evil.example"}, 403},
		"a form":                    {"POST", "/" + s.token + "/do", s.host, with("Content-Type", "text/plain"), 415},
		"a verb by GET":             {"GET", "/" + s.token + "/do", s.host, nil, 404},
		"the folder above":          {"GET", "/" + s.token + "/../page.go", s.host, nil, 404},
		"the folder above, encoded": {"GET", "/" + s.token + "/%2e%2e/page.go", s.host, nil, 404},
		"a folder":                  {"GET", "/" + s.token + "/bundle/", s.host, nil, 404},
		"an absolute path":          {"GET", "/" + s.token + "//etc/passwd", s.host, nil, 404},
		"the folder of the files":   {"GET", "/" + s.token + "/assets/main.js", s.host, nil, 404},
	} {
		body := strings.NewReader(`{"verb": "check", "language": "en"}`)
		r := httptest.NewRequest(tc.method, tc.path, body)
		r.Host = tc.host
		for key, value := range tc.header {
			r.Header.Set(key, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%s: %d, want %d", name, w.Code, tc.want)
		}
		if w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name, w.Header())
		}
	}
	if len(course.did) != 1 {
		t.Errorf("the course did %v", course.did)
	}
}

// The policy allows no inline script or style, and no file asks for one or for another server.
func TestThePageLoadsOnlyItsOwnFiles(t *testing.T) {
	for _, forbidden := range []string{"unsafe", "http", "*", "data:", "blob:"} {
		if strings.Contains(policy, forbidden) {
			t.Errorf("the policy has %s", forbidden)
		}
	}
	forbidden := regexp.MustCompile(`<style|<script>|\sstyle=|\son[a-z]+=|https?://|@import|\burl\(|eval\(|new Function`)
	allowed := regexp.MustCompile(`http://www\.w3\.org/2000/svg`)
	err := fs.WalkDir(assets, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(name, "/bundle/") { // what is bundled is tried in a browser
			return err
		}
		data, err := fs.ReadFile(assets, name)
		if found := forbidden.FindString(allowed.ReplaceAllString(string(data), "")); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the page names is there: files, and words in both languages.
func TestThePageIsWhole(t *testing.T) {
	files, err := loadFiles()
	if err != nil {
		t.Fatal(err)
	}
	words := string(files["words.js"].data)
	named := regexp.MustCompile(`(?:href|src)="([^"]+)"|from '\./([^']+)'`)
	said := regexp.MustCompile(`data-(?:t|label)="([^"]+)"|\bt\('([a-zA-Z]+)'\)`)
	for name, f := range files {
		if strings.HasPrefix(name, "bundle/") {
			continue
		}
		for _, m := range named.FindAllStringSubmatch(string(f.data), -1) {
			if file := m[1] + m[2]; !strings.HasPrefix(file, "#") && files[path.Clean(file)].data == nil {
				t.Errorf("%s names %s, which is not there", name, file)
			}
		}
		for _, m := range said.FindAllStringSubmatch(string(f.data), -1) {
			if word := m[1] + m[2]; !strings.Contains(words, "\n  "+word+": [") {
				t.Errorf("%s says %q, which words.js does not have in both languages", name, word)
			}
		}
	}
}

func post(t *testing.T, url, body string) said {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "http://"+r.URL.Host)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	var out said
	if err != nil || answer.StatusCode == 200 && json.Unmarshal(text, &out) != nil {
		t.Fatalf("%s, %v", text, err)
	}
	if answer.StatusCode != 200 {
		out.Error = answer.Status
	}
	return out
}

func TestVerbs(t *testing.T) {
	_, course, url := served(t)
	if got := post(t, url+"do", `{"verb": "check", "language": "zh", "answers": ["a=b"]}`); got.HTML != "<p>done</p>" || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if got := post(t, url+"do", `{"verb": "fail"}`); got.HTML != "<p>so far</p>" || got.Error != "no such verb" {
		t.Errorf("%+v", got)
	}
	if len(course.did) != 2 || course.did[0].Language != "zh" || course.did[0].Answers[0] != "a=b" {
		t.Errorf("%+v", course.did)
	}
	for _, body := range []string{`{"verb": 1}`, `{"command": "rm"}`, `[]`, ``, `{"verb": "` + strings.Repeat("x", mostBody) + `"}`} {
		if got := post(t, url+"do", body); !strings.HasPrefix(got.Error, "400") {
			t.Errorf("%.20s: %+v", body, got)
		}
	}
	if got := post(t, url+"walk", `{"from": "pod/worker", "to": "x"}`); got.Error == "" {
		t.Errorf("a walk where nothing is shown: %+v", got)
	}
}

func TestTerminal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no terminal on Windows: see hello.Terminal")
	}
	_, _, url := served(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dial := func(origin string) (*websocket.Conn, error) {
		socket, _, err := websocket.Dial(ctx, strings.Replace(url, "http:", "ws:", 1)+"terminal", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		return socket, err
	}
	if _, err := dial("http://evil.example"); err == nil {
		t.Fatal("another page got a shell")
	}
	origin, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	socket, err := dial("http://" + origin)
	if err != nil {
		t.Fatal(err)
	}
	for kind, text := range map[websocket.MessageType]string{websocket.MessageText: `{"Cols": 91, "Rows": 33}`, websocket.MessageBinary: "sleep 0.2; stty size; echo $((40+2))$TERM; exit\r"} {
		if err := socket.Write(ctx, kind, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var printed bytes.Buffer
	for {
		_, data, err := socket.Read(ctx)
		if err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) || closed.Reason != "exit" {
				t.Errorf("it ended by %v", err)
			}
			break
		}
		printed.Write(data)
	}
	if text := printed.String(); !strings.Contains(text, "33 91") || !strings.Contains(text, "42xterm-256color") {
		t.Errorf("the shell printed %q", text)
	}
}
