//go:build linux

package peers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const postfixMaster = "/usr/lib/postfix/sbin/master"

type command struct {
	dir  string
	env  []string
	args []string
}

// daemon is a process that leads a group of its own. The group ends with stop, and also
// when this process is killed: a watcher then sees the end of its input.
type daemon struct {
	cmd    *exec.Cmd
	leash  io.Closer
	done   chan struct{}
	result error
	once   sync.Once
}

func startDaemon(c command, logFile string) (*daemon, error) {
	if err := adopt(); err != nil {
		return nil, err
	}
	// A file and not a pipe: the daemons' children would keep that open.
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.Env = append(os.Environ(), c.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, done: make(chan struct{})}
	go func() {
		d.result = cmd.Wait()
		close(d.done)
	}()
	if d.leash, err = watchGroup(cmd.Process.Pid); err != nil {
		d.leash = io.NopCloser(nil)
		d.stop()
		return nil, err
	}
	return d, nil
}

// watchGroup starts a process that kills the group once its standard input ends.
func watchGroup(pgid int) (io.Closer, error) {
	watcher := exec.Command("/bin/sh", "-c", `read x; kill -KILL -- "-$1" 2>/dev/null`, "sh", strconv.Itoa(pgid))
	watcher.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leash, err := watcher.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := watcher.Start(); err != nil {
		return nil, err
	}
	go func() { _ = watcher.Wait() }()
	return leash, nil
}

// ended says why the daemon does not run any more; nil while it does.
func (d *daemon) ended() error {
	select {
	case <-d.done:
		return fmt.Errorf("%s ended: %v", d.cmd.Path, d.result)
	default:
		return nil
	}
}

// goodbye is how long the daemons may take to end. Both would take seconds to do it
// politely; what they would still write is thrown away or survives a kill, as it must.
const goodbye = 300 * time.Millisecond

func (d *daemon) stop() {
	d.once.Do(func() {
		group := -d.cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(goodbye):
		}
		// The group's children may outlive its leader.
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-d.done
		_ = d.leash.Close()
		reap(group)
	})
}

// reap collects the daemon's orphans, so that no zombies are left where the machine's
// first process does not do it, as in many containers.
func reap(group int) {
	for {
		_, err := syscall.Wait4(group, nil, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return // ECHILD: there are no more
		}
	}
}

// adopt makes orphans below this process its children.
var adopt = sync.OnceValue(func() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
})
