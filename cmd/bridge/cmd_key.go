package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"mailbridge/account"
)

type keyCmds struct {
	Show   keyShowCmd   `cmd:"" help:"Print the account's public key, armored."`
	Import keyImportCmd `cmd:"" help:"Use a key that you have already, such as the one Delta Chat has exported."`
	Export keyExportCmd `cmd:"" help:"Print the account's key, armored, and nothing else."`
}

type keyShowCmd struct{ jsonFlag }

func (c *keyShowCmd) Run(a *app) error {
	key, err := ask[account.OwnKey](a, "key.show", func(of accountArgs) any { return of })
	return a.done(c.JSON, key, err, "%s\n%s\n\n%s", clean(key.Address), groups(string(key.Fingerprint)), armorText(key.Armored))
}

// armorText is armor with the line ends of a text file.
func armorText(armored string) string {
	return strings.TrimSpace(strings.ReplaceAll(armored, "\r\n", "\n"))
}

type keyExportCmd struct {
	Secret bool `name:"secret" help:"The secret key, too. Who has it can read your mail."`
	jsonFlag
}

func (c *keyExportCmd) Run(a *app) error {
	key, err := act[account.OwnKey](a, "key.export", func(of accountArgs) any { return exportArgs{of, c.Secret} })
	if err != nil {
		return err
	}
	if c.Secret {
		a.tell("This is your secret key, without a passphrase: who has it can read and sign your mail. Keep it where nobody else can read it.")
	}
	if c.JSON {
		return a.printJSON(key)
	}
	_, err = io.WriteString(a.stdout, armorText(key.Armored)+"\n")
	return err
}

type keyImportCmd struct {
	File           string `arg:"" help:"The key file; - reads it from stdin."`
	PassphraseFile string `name:"passphrase-file" placeholder:"FILE" help:"Read the key's passphrase, if it has one, from FILE, or from stdin with -."`
	jsonFlag
}

// maxKey is far above a key with the certifications of a hundred people.
const maxKey = 512 << 10

func (c *keyImportCmd) Run(a *app) error {
	if c.File == "-" && c.PassphraseFile == "-" {
		return refuse(exitUsage, "the key and its passphrase cannot both come from stdin")
	}
	armored, err := c.read(a)
	if err != nil {
		return err
	}
	var passphrase string
	if c.PassphraseFile != "" {
		if passphrase, err = secretFile(a, "passphrase", c.PassphraseFile); err != nil {
			return err
		}
	}
	imported, err := c.send(a, armored, passphrase)
	if err == nil && imported.Locked {
		if passphrase, err = askSecret(a, "passphrase", "Passphrase of the key: ", "use --passphrase-file FILE"); err == nil {
			imported, err = c.send(a, armored, passphrase)
		}
	}
	switch {
	case err != nil:
		return err
	case c.JSON:
		return a.printJSON(imported.Key)
	}
	a.say("%s uses this key from now on: %s", clean(imported.Key.Address), groups(string(imported.Key.Fingerprint)))
	a.say("Invites that you made with another key are revoked. Old mail can still be read.")
	return nil
}

func (c *keyImportCmd) send(a *app, armored []byte, passphrase string) (importReply, error) {
	return act[importReply](a, "key.import", func(of accountArgs) any { return importArgs{of, armored, []byte(passphrase)} })
}

// read gives the key's file.
func (c *keyImportCmd) read(a *app) ([]byte, error) {
	r := a.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, refuse(exitNoInput, "there is no key file %s", clean(c.File))
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	text, err := a.input(func() (string, error) {
		b, err := io.ReadAll(io.LimitReader(r, maxKey+1))
		return string(b), err
	})
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKey:
		return nil, refuse(exitData, "%s is too long for a key", clean(c.File))
	}
	return []byte(text), nil
}
