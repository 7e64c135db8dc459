package securejoin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPure: the package has no way to a clock, a network, a disk or randomness but its arguments.
func TestPure(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"bytes", "cmp", "crypto/subtle", "encoding/base64", "encoding/hex", "encoding/json", "errors", "fmt", "io",
		"log/slog", // for LogValue, which keeps secrets out of logs
		"maps", "net/url", "slices", "strconv", "strings", "time", "unicode", "unicode/utf8", "mailbridge/message", "mailbridge/pgp",
	}
	// What of these packages asks the machine.
	impure := map[string][]string{
		"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "LoadLocation", "Local"},
		"slog": {"Default", "Info", "Warn", "Error", "Debug", "Log"},
		"pgp":  {"Generate", "Encrypt", "EncryptSymmetric"}, // draw random keys
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, path) || i.Name != nil {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && slices.Contains(impure[x.Name], s.Sel.Name) {
					t.Errorf("%s uses %s.%s", name, x.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
}
