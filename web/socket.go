package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is what fits into sockaddr_un.sun_path of every system we run on:
// 108 octets on Linux, 104 on macOS and the BSDs, with the NUL at the end.
const maxSocketPath = 103

// listener removes the socket by its real name at the end.
type listener struct {
	net.Listener
	path string
	dir  *os.File
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	if rm := os.Remove(l.path); rm != nil && !errors.Is(rm, fs.ErrNotExist) && err == nil {
		err = rm
	}
	if l.dir != nil {
		l.dir.Close()
	}
	return err
}

// Listen makes the socket, mode 0600. What is left there of a bridge that was killed is
// removed: the caller holds the lock that says there is no other.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	name, dir, err := shorten(path)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		closeDir(dir)
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove by the shortened name
	own := &listener{Listener: l, path: path, dir: dir}
	if err := os.Chmod(path, 0o600); err != nil {
		own.Close()
		return nil, err
	}
	return own, nil
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	name, dir, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer closeDir(dir)
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "unix", name)
}

// shorten gives a name for path that fits into a socket address. A long path is reached
// through an open descriptor of its directory, where the system has such names (Linux).
func shorten(path string) (string, *os.File, error) {
	if len(path) <= maxSocketPath {
		return path, nil, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(name)); err != nil || len(name) > maxSocketPath {
		dir.Close()
		return "", nil, fmt.Errorf("the socket's path %s is longer than the %d octets this system allows; choose a shorter MAILBRIDGE_HOME", path, maxSocketPath)
	}
	return name, dir, nil
}

func closeDir(dir *os.File) {
	if dir != nil {
		dir.Close()
	}
}
