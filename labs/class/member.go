package class

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/svclab/svclab/labs/progress"
)

// File is the name of the file of a membership in the state folder.
const File = "class.json"

// sendWithin bounds how long a learner's command waits for the teacher's machine.
const sendWithin = 2 * time.Second

// Member is a learner's membership in a class, as it is stored on the learner's machine.
type Member struct {
	URL  string `json:"url"`
	Code string `json:"code"`
	ID   string `json:"id"`
}

// NewMember returns a membership with an ID of its own. It is not stored yet.
func NewMember(address, code string) (Member, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Member{}, fmt.Errorf("%q is no address of a class; your teacher's svclab learn class --serve prints it, such as http://192.168.1.10:8090", address)
	}
	code, err = ParseCode(code)
	return Member{URL: "http://" + u.Host, Code: code, ID: rand.Text()}, err
}

// Load returns the membership that is stored in a folder. joined reports whether there is one.
func Load(folder string) (m Member, joined bool, err error) {
	data, err := os.ReadFile(filepath.Join(folder, File))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && !idPattern.MatchString(m.ID) {
		err = errors.New("it has no ID")
	}
	if err != nil {
		return m, false, fmt.Errorf("read your class in %s: %w; leave it: svclab learn leave", filepath.Join(folder, File), err)
	}
	return m, true, nil
}

// Save stores a membership, readable only by its owner.
func (m Member) Save(folder string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = progress.Replace(filepath.Join(folder, File), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("store your class: %w", err)
	}
	return nil
}

// Forget removes the membership that is stored in a folder, if there is one.
func Forget(folder string) error {
	if err := os.Remove(filepath.Join(folder, File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget your class: %w", err)
	}
	return nil
}

// Send sends what a learner did. All of it is sent each time, so nothing is lost if one of them fails.
func (m Member) Send(ctx context.Context, p progress.Progress) error {
	return m.request(ctx, http.MethodPost, report(m.ID, p, time.Now()))
}

// Leave has the teacher's machine forget the learner.
func (m Member) Leave(ctx context.Context) error {
	return m.request(ctx, http.MethodDelete, report(m.ID, progress.Progress{}, time.Now()))
}

// ErrRefused is the error of a class that answers and does not accept a report.
var ErrRefused = errors.New("the class refuses it")

// request sends a report to the teacher's machine, directly: a proxy is for the way out of the network. A redirection is not
// followed: it would lead the report elsewhere.
func (m Member) request(ctx context.Context, method string, r Report) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write a report for the class: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, method, m.URL+place, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send to the class: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+m.Code)
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("no answer")
		}
		return fmt.Errorf("send to the class at %s: %w", m.URL, err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if answer.StatusCode != http.StatusNoContent {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 500)) // a part is as good
		return fmt.Errorf("send to the class at %s: %w: %s %s", m.URL, ErrRefused, answer.Status, strings.TrimSpace(string(why)))
	}
	return nil
}
