package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// passwordFlags say where a provider's password comes from. It never stands on the
// command line, where every process can read it.
type passwordFlags struct {
	PasswordFile    string `name:"password-file" placeholder:"FILE" xor:"password" help:"Read the provider's password from FILE, or from stdin with -."`
	PasswordCommand string `name:"password-command" placeholder:"COMMAND" xor:"password" help:"Run COMMAND by the shell and take its output."`
}

// maxPassword is far above what a provider takes; app passwords have 16 to 32 octets.
const maxPassword = 4096

// read gets the password from where the flags say, else from the terminal.
func (p passwordFlags) read(ctx context.Context, a *app, prompt string) (string, error) {
	switch {
	case p.PasswordFile != "":
		return secretFile(a, "password", p.PasswordFile)
	case p.PasswordCommand != "":
		return passwordByCommand(ctx, p.PasswordCommand, a.stderr)
	}
	return askSecret(a, "password", prompt, "use --password-file FILE, --password-file - (stdin) or --password-command COMMAND")
}

// secretFile reads a password or passphrase from a file, or from stdin with "-".
func secretFile(a *app, what, file string) (string, error) {
	if file == "-" {
		return a.input(func() (string, error) { return secretFrom(a.stdin, what, "stdin") })
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", refuse(exitNoInput, "no such %s file: %s", what, clean(file))
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	return secretFrom(f, what, file)
}

// secretFrom takes the first line.
func secretFrom(r io.Reader, what, name string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPassword+1))
	if err != nil {
		return "", refuse(exitNoInput, "the %s could not be read from %s: %v", what, name, err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	password := strings.TrimSuffix(string(line), "\r")
	switch {
	case password == "":
		return "", refuse(exitData, "the %s from %s is empty", what, name)
	case len(password) > maxPassword:
		return "", refuse(exitData, "the %s from %s is longer than %d octets", what, name, maxPassword)
	case strings.ContainsRune(password, 0):
		return "", refuse(exitData, "the %s from %s holds a NUL", what, name)
	}
	return password, nil
}

func passwordByCommand(ctx context.Context, command string, stderr io.Writer) (string, error) {
	shell, option := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, option = "cmd", "/C"
	}
	cmd := exec.CommandContext(ctx, shell, option, command)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return "", refuse(exitNoInput, "the password command failed: %v", err)
	}
	return secretFrom(bytes.NewReader(out), "password", "the password command")
}

// askSecret asks at the terminal; hint says what else there is.
func askSecret(a *app, what, prompt, hint string) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", refuse(exitUsage, "no terminal to ask for the %s\n%s", what, hint)
	}
	fd := int(f.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(a.stderr, prompt)
	secret, err := a.input(func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	fmt.Fprintln(a.stderr)
	if err != nil {
		_ = term.Restore(fd, state) // interrupted: the echo must come back
		return "", err
	}
	return secretFrom(strings.NewReader(secret), what, "the terminal")
}
