package main

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// dirs are the directories of one bridge. MAILBRIDGE_HOME puts all of them under one;
// without it they are where the XDG base directory specification, macOS or Windows
// have them.
type dirs struct {
	config, data, state, cache, run string
}

const appName = "mailbridge"

func findDirs(getenv func(string) string) (dirs, error) {
	if home := getenv("MAILBRIDGE_HOME"); home != "" {
		home, err := filepath.Abs(home)
		if err != nil {
			return dirs{}, err
		}
		at := func(name string) string { return filepath.Join(home, name) }
		return dirs{config: home, data: at("data"), state: at("state"), cache: at("cache"), run: at("run")}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return dirs{}, refuse(exitConfig, "no home directory: set HOME or MAILBRIDGE_HOME")
	}
	switch runtime.GOOS {
	case "darwin":
		base := filepath.Join(home, "Library", "Application Support", appName)
		return dirs{config: base, data: filepath.Join(base, "data"), state: filepath.Join(base, "state"),
			cache: filepath.Join(home, "Library", "Caches", appName), run: filepath.Join(base, "run")}, nil
	case "windows":
		local := filepath.Join(getenv("LOCALAPPDATA"), appName)
		return dirs{config: filepath.Join(getenv("APPDATA"), appName), data: filepath.Join(local, "data"),
			state: filepath.Join(local, "state"), cache: filepath.Join(local, "cache"), run: filepath.Join(local, "run")}, nil
	}
	return xdgDirs(getenv, home), nil
}

// xdgDirs follows the XDG base directory specification: a relative path in one of the
// variables is ignored.
func xdgDirs(getenv func(string) string, home string) dirs {
	base := func(variable, otherwise string) string {
		if dir := getenv(variable); filepath.IsAbs(dir) {
			return filepath.Join(dir, appName)
		}
		return filepath.Join(home, otherwise, appName)
	}
	d := dirs{
		config: base("XDG_CONFIG_HOME", ".config"),
		data:   base("XDG_DATA_HOME", ".local/share"),
		state:  base("XDG_STATE_HOME", ".local/state"),
		cache:  base("XDG_CACHE_HOME", ".cache"),
	}
	d.run = filepath.Join(d.state, "run")
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		d.run = filepath.Join(dir, appName)
	}
	return d
}

func (d dirs) configFile() string    { return filepath.Join(d.config, "config.toml") }
func (d dirs) accounts() string      { return filepath.Join(d.data, "accounts") }
func (d dirs) masterKeyFile() string { return filepath.Join(d.data, "master.key") }
func (d dirs) certFile() string      { return filepath.Join(d.data, "tls", "cert.pem") }
func (d dirs) certKeyFile() string   { return filepath.Join(d.data, "tls", "key.pem") }
func (d dirs) lockFile() string      { return filepath.Join(d.state, "lock") }
func (d dirs) queueFile() string     { return filepath.Join(d.state, "queue") } // locked by those who wait for the lock
func (d dirs) socket() string        { return filepath.Join(d.run, "bridge.sock") }

// socketNote names the running service's socket: a command may run with another
// XDG_RUNTIME_DIR than the service (cron, ssh), but never with another state directory.
func (d dirs) socketNote() string { return filepath.Join(d.state, "socket") }

// account gives an account's own directory. An address may hold any character, so its
// name is escaped.
func (d dirs) account(address string) string {
	return filepath.Join(d.accounts(), url.PathEscape(address))
}

// newPrefix marks the directory of an account that is being added.
const newPrefix = ".new-"

// addresses lists the accounts there are.
func (d dirs) addresses() ([]string, error) {
	entries, err := os.ReadDir(d.accounts())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		address, err := url.PathUnescape(e.Name())
		if err == nil && e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, address)
		}
	}
	slices.Sort(list)
	return list, nil
}

// make creates the directories that hold something, and closes those of ours that
// somebody else may enter. MAILBRIDGE_HOME itself is left as it is if it exists: it may
// be a directory that others use, too.
func (d dirs) make() error {
	own := []string{d.data, d.accounts(), filepath.Dir(d.certFile()), d.state, d.run}
	for _, dir := range own {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			if err := os.Chmod(dir, 0o700); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep removes what an `account add` that was killed left behind. Only who holds the
// lock may call it.
func (d dirs) sweep() error {
	left, err := filepath.Glob(filepath.Join(d.accounts(), newPrefix+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// writeFile puts a file in place as a whole or not at all, mode 0600, and durably: what
// it holds (a key) must not be lost with the power once something depends on it.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir durable. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
