package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// The master key wraps the data key of every account. It comes from a systemd
// credential, or from a key file. Missing, denied and corrupt are different states, and
// none of them ever makes a new key while there is an account that needs the old one.

const (
	// credentialName is the systemd credential that holds the key
	// (LoadCredential=, LoadCredentialEncrypted=).
	credentialName = "mailbridge-master-key"
	masterKeySize  = 32
	// maxMasterKeyFile is more than the base64 of the key and a line end.
	maxMasterKeyFile = 256
)

// masterKey finds the key.
func (d dirs) masterKey(context.Context) ([masterKeySize]byte, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		key, err := readMasterKey(filepath.Join(dir, credentialName), false)
		if !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
	}
	key, err := readMasterKey(d.masterKeyFile(), true)
	if errors.Is(err, fs.ErrNotExist) {
		return key, refuse(exitDenied, "the master key is missing: %s\nput the file back, or run the bridge with its systemd credential %s; nothing was changed", d.masterKeyFile(), credentialName)
	}
	return key, err
}

// ensureMasterKey makes a key file for the first account. Who calls it holds the lock.
func (d dirs) ensureMasterKey(ctx context.Context) error {
	_, missing := d.masterKey(ctx)
	if missing == nil {
		return nil
	}
	if _, err := os.Lstat(d.masterKeyFile()); !errors.Is(err, fs.ErrNotExist) {
		return missing // denied or corrupt
	}
	if there, err := d.addresses(); err != nil || len(there) > 0 {
		return errors.Join(missing, err)
	}
	key := make([]byte, masterKeySize)
	rand.Read(key) // never fails (crypto/rand)
	return writeFile(d.masterKeyFile(), append(base64.StdEncoding.AppendEncode(nil, key), '\n'))
}

// readMasterKey reads a key file: 32 octets in base64. private says that others must
// not be able to read it; systemd sets the mode of its credentials itself.
func readMasterKey(path string, private bool) (key [masterKeySize]byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return key, refuse(exitDenied, "the master key cannot be read: %s: permission denied", path)
	}
	if err != nil {
		return key, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return key, err
	}
	if private && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return key, refuse(exitDenied, "other users may read the master key %s\nchmod 600 %s", path, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxMasterKeyFile))
	if err != nil {
		return key, err
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(b)))
	if err != nil || len(raw) != masterKeySize {
		return key, refuse(exitData, "the master key is damaged: %s\nput the file back from a backup; nothing was changed", path)
	}
	copy(key[:], raw)
	return key, nil
}
