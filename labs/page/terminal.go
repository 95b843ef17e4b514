package page

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/coder/websocket"
	"github.com/creack/pty"
)

// mostTyped bounds a message to a terminal; what is pasted may be long.
const mostTyped = 1 << 20

// terminal connects a page with a shell of its own, until one of them ends. Binary messages are what is typed and printed; a text
// message is the terminal's new size.
func (s *server) terminal(w http.ResponseWriter, r *http.Request) {
	command, err := s.Course.Shell(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	socket, err := websocket.Accept(w, r, nil) // which compares Origin with Host once more
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = socket.CloseNow() }() // the other side may have closed it
	socket.SetReadLimit(mostTyped)
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	command.Env = append(command.Env, "TERM=xterm-256color", "COLORTERM=")
	shell, err := pty.StartWithSize(command, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		_ = socket.Close(websocket.StatusInternalError, "the shell "+command.Path+" cannot be started") // the reason goes to the page
		return
	}
	defer func() {
		_ = shell.Close() // which hangs up: the shell and its foreground programs end
		_ = command.Process.Kill()
		_ = command.Wait() // its exit code is that of the last command
	}()
	go func() {
		defer stop()
		printed := make([]byte, 32<<10)
		for {
			n, err := shell.Read(printed)
			if n > 0 && socket.Write(ctx, websocket.MessageBinary, printed[:n]) != nil {
				return
			}
			if err != nil { // the shell has ended
				_ = socket.Close(websocket.StatusNormalClosure, "exit")
				return
			}
		}
	}()
	for {
		kind, data, err := socket.Read(ctx)
		if err != nil {
			return
		}
		if kind == websocket.MessageBinary {
			if _, err := shell.Write(data); err != nil {
				return
			}
			continue
		}
		var size pty.Winsize
		if json.Unmarshal(data, &size) == nil && size.Cols > 0 && size.Rows > 0 {
			_ = pty.Setsize(shell, &size) // the shell may just have ended
		}
	}
}
