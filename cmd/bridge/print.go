package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printJSON prints a value on one line.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false) // links keep their &
	return e.Encode(v)
}

// say prints a line for the person.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }

// tell prints a line that does not belong to the answer.
func (a *app) tell(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// answer ends a command: what it found, as JSON or as print shows it to the person.
func (a *app) answer(json bool, found any, err error, print func()) error {
	switch {
	case err != nil:
		return err
	case json:
		return a.printJSON(found)
	}
	print()
	return nil
}

// done ends a command that changed something: the new state as JSON, or a sentence.
func (a *app) done(json bool, state any, err error, format string, args ...any) error {
	return a.answer(json, state, err, func() { a.say(format, args...) })
}

// columns prints rows in columns. Every cell may come from outside.
func columns(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = clean(cell)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	t.Flush()
}

// when prints a time for the person, "never" for none.
func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// groups prints a fingerprint as people compare it: in groups of four.
func groups(fingerprint string) string {
	var b strings.Builder
	for i, r := range fingerprint {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// quoted is a name that somebody chose, between quotation marks.
func quoted(name string) string { return `"` + clean(name) + `"` }
