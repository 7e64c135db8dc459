package upstream

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func (f *filter) tagged(tag string, line []byte) error {
	sc := scanner{line}
	switch word := sc.word(); word {
	case "OK", "NO", "BAD":
		return f.condition(tag, word, sc.s)
	default:
		return fmt.Errorf("%w: unknown status", errProtocol)
	}
}

// condition hands on a status response with a response code that imapclient can read.
func (f *filter) condition(tag, status string, rest []byte) error {
	rest = bytes.TrimLeft(rest, " ")
	code, text := cutCode(rest)
	if status == "BYE" {
		f.collect(func(got *answers) { got.bye = cleanText(text) })
	}
	out := tag + " " + status
	if code = f.code(code); code != "" {
		out += " [" + code + "]"
	}
	// A bracket at the beginning would be read as another code.
	if text := strings.TrimLeft(cleanText(text), "[ "); text != "" {
		out += " " + text
	}
	f.emit("%s", out)
	return nil
}

// cutCode separates the response code from the text. A bracket within quotes or
// parentheses does not end it.
func cutCode(rest []byte) (code string, text []byte) {
	if len(rest) == 0 || rest[0] != '[' {
		return "", rest
	}
	depth, quoted := 0, false
	for i, c := range rest {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ']' && depth <= 0:
			return string(rest[1:i]), rest[i+1:]
		}
	}
	return "", rest
}

// code gives a response code as imapclient can read it, or nothing.
func (f *filter) code(code string) string {
	sc := scanner{[]byte(code)}
	word := sc.word()
	switch word {
	case "CAPABILITY":
		return strings.TrimSpace("CAPABILITY " + f.capabilities(sc.s))
	case "PERMANENTFLAGS":
		sc.space()
		list, _ := sc.list()
		return "PERMANENTFLAGS (" + strings.Join(cleanFlags(list), " ") + ")"
	case "UIDNEXT", "UIDVALIDITY":
		n, ok := sc.number(32)
		if !ok {
			return ""
		}
		return fmt.Sprintf("%s %d", word, n)
	case "HIGHESTMODSEQ":
		n, ok := sc.number(64) // QUIRK: Zoho says -1
		if !ok {
			return ""
		}
		return fmt.Sprintf("%s %d", word, n)
	case "APPENDUID":
		f.appendUID(sc)
		return ""
	case "COPYUID":
		f.copyUID(sc)
		return ""
	case "UIDNOTSTICKY":
		f.collect(func(got *answers) { got.notSticky = true })
		return ""
	}
	if !isAtom(word) {
		return ""
	}
	return word
}

func (f *filter) appendUID(sc scanner) {
	validity, ok1 := sc.number(32)
	uid, ok2 := sc.number(32)
	if ok1 && ok2 {
		f.collect(func(got *answers) { got.uidValidity, got.uid = uint32(validity), uint32(uid) })
	}
}

func (f *filter) copyUID(sc scanner) {
	validity, ok := sc.number(32)
	sc.space()
	source, ok1 := expandSet(string(sc.atom()))
	sc.space()
	dest, ok2 := expandSet(string(sc.atom()))
	// QUIRK: Outlook.com sends empty sets.
	if ok && ok1 && ok2 && len(source) == len(dest) {
		f.collect(func(got *answers) {
			got.copied = append(got.copied, copied{uint32(validity), source, dest})
		})
	}
}

// capabilities gives those that imapclient may act on. IMAP4rev2 and UTF8=ACCEPT would make
// it write UTF-8 names without ENABLE, which RFC 9051, appendix A forbids where IMAP4rev1 is
// offered too.
func (f *filter) capabilities(list []byte) string {
	words := strings.Fields(strings.ToUpper(string(list)))
	rev1 := slices.Contains(words, "IMAP4REV1")
	f.mu.Lock()
	f.utf8 = !rev1 && slices.Contains(words, "IMAP4REV2")
	f.mu.Unlock()
	words = slices.DeleteFunc(words, func(w string) bool {
		return !isAtom(w) || strings.HasPrefix(w, "UTF8=") || rev1 && w == "IMAP4REV2"
	})
	// imapclient compares these two with their small letters.
	return strings.NewReplacer("IMAP4REV1", "IMAP4rev1", "IMAP4REV2", "IMAP4rev2").Replace(strings.Join(words, " "))
}

// mailboxName gives a name as imapclient can decode it.
func (f *filter) mailboxName(raw string) (string, bool) {
	if strings.EqualFold(raw, "INBOX") {
		return "INBOX", true
	}
	if _, ok := decodeUTF7(raw); ok {
		return raw, raw != ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.utf8 && utf8.ValidString(raw) {
		return encodeUTF7(raw), true
	}
	return "", false
}

// list hands on a LIST response. A mailbox whose name cannot be said back to the server
// (not modified UTF-7) is left out.
func (f *filter) list(sc scanner) {
	sc.space()
	attrs, ok := sc.list()
	if !ok {
		return
	}
	sc.space()
	nil3 := bytes.HasPrefix(bytes.ToUpper(sc.s), []byte("NIL"))
	delim, ok := sc.str()
	if !ok {
		return
	}
	written := "NIL"
	if !nil3 && len(delim) == 1 && delim >= " " && delim <= "~" {
		written = quote(delim)
	}
	raw, ok := restOrQuoted(&sc)
	if !ok {
		return
	}
	name, ok := f.mailboxName(raw)
	if !ok {
		return
	}
	var clean []string
	for _, a := range cleanFlags(attrs) {
		if strings.HasPrefix(a, `\`) && a != `\*` {
			clean = append(clean, a)
		}
	}
	f.emit("* LIST (%s) %s %s", strings.Join(clean, " "), written, quote(name))
}

// restOrQuoted takes a mailbox name: quoted, or an atom. QUIRK: Exchange sends names with
// spaces unquoted, so an atom at the end of the line goes to its end unless a list follows.
func restOrQuoted(sc *scanner) (string, bool) {
	sc.space()
	if q, ok := sc.quoted(); ok {
		return string(q), true
	}
	raw, _, _ := bytes.Cut(sc.s, []byte(" ("))
	return string(bytes.TrimRight(raw, " ")), len(raw) > 0
}

// status hands on a STATUS response with the numbers that are numbers.
func (f *filter) status(sc scanner) {
	raw, ok := restOrQuoted(&sc)
	if i := bytes.LastIndexByte(sc.s, '('); i >= 0 {
		sc.s = sc.s[i:]
	}
	name, ok2 := f.mailboxName(raw)
	items, ok3 := sc.list()
	if !ok || !ok2 || !ok3 {
		return
	}
	var clean []string
	words := strings.Fields(strings.ToUpper(string(items)))
	for i := 0; i+1 < len(words); i += 2 {
		bits := 32
		switch words[i] {
		case "MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN":
		case "HIGHESTMODSEQ":
			bits = 63
		default:
			continue
		}
		if _, err := strconv.ParseUint(words[i+1], 10, bits); err == nil {
			clean = append(clean, words[i], words[i+1])
		}
	}
	f.emit("* STATUS %s (%s)", quote(name), strings.Join(clean, " "))
}

func (f *filter) search(sc scanner) {
	var found []uint32
	for {
		n, ok := sc.number(32)
		if !ok {
			break
		}
		found = append(found, uint32(n))
	}
	f.addFound(found)
}

func (f *filter) esearch(sc scanner) {
	sc.space()
	sc.list() // the tag; there is one command at a time
	for !sc.end() {
		switch word := sc.word(); {
		case word == "ALL":
			sc.space()
			found, _ := expandSet(string(sc.atom()))
			f.addFound(found)
		case word == "" && !sc.end():
			sc.s = sc.s[1:] // a list or a string: no answer to what we ask
		}
	}
}

func (f *filter) addFound(found []uint32) {
	f.collect(func(got *answers) {
		if len(got.found)+len(found) <= maxUIDs {
			got.found = append(got.found, found...)
		}
	})
}

// namespace notes the first personal namespace (RFC 2342).
func (f *filter) namespace(sc scanner) {
	sc.space()
	personal, ok := sc.list()
	if !ok {
		return
	}
	inner := scanner{personal}
	first, ok := inner.list()
	if !ok {
		return
	}
	sc = scanner{first}
	raw, ok1 := sc.str()
	delim, ok2 := sc.str()
	prefix, ok3 := decodeUTF7(raw)
	if !ok1 || !ok2 || !ok3 {
		return
	}
	r, _ := utf8.DecodeRuneInString(delim)
	if delim == "" {
		r = 0
	}
	f.collect(func(got *answers) { got.prefix, got.delim = prefix, r })
}
