package host

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// reaper ends the process groups of plugins when this process has ended without doing so. The kernel's Pdeathsig ends
// the plugin itself, even a stopped one, but not what the plugin has started: those would live on and hold its sockets and
// files. It is a shell that waits for the end of a pipe; no group that is over is ever in its list.
type reaper struct {
	mu   sync.Mutex
	pipe *os.File // nil: there is no shell here
}

const reaperScript = `trap '' INT TERM HUP
groups=
while read -r what id; do
  case $what in
  +) groups="$groups $id" ;;
  -) kept=
     for g in $groups; do [ "$g" = "$id" ] || kept="$kept $g"; done
     groups=$kept ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g"; done`

// newReaper starts one. It is not a child of the node: a count of the node's children is the count of its plugins.
func newReaper() (*reaper, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return &reaper{}, err
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", `sh -c "$1" ordo-guardian <&3 3<&- >/dev/null 2>&1 &`, "sh", reaperScript)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.ExtraFiles = []*os.File{r}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		w.Close()
		return &reaper{}, fmt.Errorf("no reaper for the plugins' children: %w", err)
	}
	return &reaper{pipe: w}, nil
}

func (g *reaper) tell(what string, group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe != nil {
		_, _ = fmt.Fprintf(g.pipe, "%s %d\n", what, group)
	}
}

// close ends the reaper's shell; all process groups must have ended.
func (g *reaper) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe != nil {
		g.pipe.Close()
		g.pipe = nil
	}
}
