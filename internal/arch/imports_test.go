// Package arch holds the test that keeps the layers of DESIGN.md.
package arch

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "mailbridge/"

// may lists, for every package of the module, which others it may import. It is the
// table of DESIGN.md, section "Packages".
var may = map[string][]string{
	"message":           {},
	"mailbox":           {},
	"pgp":               {"message"},
	"headers":           {"message"},
	"autocrypt":         {"message", "pgp"},
	"securejoin":        {"message", "pgp"},
	"db":                {"mailbox", "autocrypt", "securejoin", "pgp"},
	"upstream":          {"mailbox"},
	"mirror":            {"mailbox", "db", "upstream"},
	"account":           {"message", "mailbox", "pgp", "headers", "autocrypt", "securejoin", "db", "upstream", "mirror"},
	"imapproxy":         {"mailbox", "message"},
	"smtpproxy":         {},
	"web":               {},
	"internal/provider": {},
	"internal/vectors":  {},
	"internal/peers":    {},
	"internal/arch":     {},
}

// everything marks the packages that wire the others together.
var everything = []string{"cmd/bridge", "internal/world", "internal/bench", "internal/interop"}

// only lists, for each library that a single layer owns, the packages that may import it.
var only = map[string][]string{
	"github.com/ProtonMail/go-crypto":           {"pgp", "internal/bench"},
	"github.com/emersion/go-imap/v2/imapclient": {"upstream"},
	"github.com/emersion/go-imap/v2/imapserver": {"imapproxy", "internal/provider"},
	"github.com/mattn/go-sqlite3":               {"db"},
	"database/sql":                              {"db"},
	"github.com/emersion/go-smtp":               {"smtpproxy", "upstream", "internal/provider"},
	"github.com/emersion/go-message":            {"message"},
	"golang.org/x/crypto/chacha20poly1305":      {"db"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := may[name]
		free := slices.Contains(everything, name)
		if !known && !free {
			t.Errorf("%s is not in the table of packages", name)
			continue
		}
		for _, imported := range p.Imports {
			if own, ok := strings.CutPrefix(imported, module); ok && !free && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s: the edge is not in the table", name, own)
			}
			for library, owners := range only {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !slices.Contains(owners, name) {
					t.Errorf("%s imports %s: only %v may", name, imported, owners)
				}
			}
		}
	}
}
