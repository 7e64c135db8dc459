package upstream

import (
	"bytes"
	"strconv"
	"strings"
)

// scanner walks over one line of a response. It is looser than the grammar, since servers
// are: an atom ends only at a space, a parenthesis or a quote.
type scanner struct{ s []byte }

func (sc *scanner) space() {
	sc.s = bytes.TrimLeft(sc.s, " \t")
}

func (sc *scanner) end() bool { return len(sc.s) == 0 }

func (sc *scanner) take(c byte) bool {
	if len(sc.s) == 0 || sc.s[0] != c {
		return false
	}
	sc.s = sc.s[1:]
	return true
}

// word takes an atom in capitals; case never counts in what it is used for.
func (sc *scanner) word() string {
	sc.space()
	return strings.ToUpper(string(sc.atom()))
}

func (sc *scanner) atom() []byte {
	i := bytes.IndexAny(sc.s, " ()\"")
	if i < 0 {
		i = len(sc.s)
	}
	atom := sc.s[:i]
	sc.s = sc.s[i:]
	return atom
}

// item takes the name of a FETCH item, a section in brackets included.
func (sc *scanner) item() string {
	sc.space()
	i := bytes.IndexAny(sc.s, "[ ()\"{")
	if i < 0 || sc.s[i] != '[' {
		return sc.word()
	}
	quoted := false
	for end := i; end < len(sc.s); end++ {
		switch c := sc.s[end]; {
		case c == '"':
			quoted = !quoted
		case c == ']' && !quoted:
			name := string(sc.s[:end+1])
			sc.s = sc.s[end+1:]
			sc.atom() // <origin octet>
			return strings.ToUpper(name)
		}
	}
	return sc.word()
}

// quoted takes a quoted string and gives its content.
func (sc *scanner) quoted() ([]byte, bool) {
	if len(sc.s) == 0 || sc.s[0] != '"' {
		return nil, false
	}
	var out []byte
	for i := 1; i < len(sc.s); i++ {
		switch c := sc.s[i]; {
		case c == '"':
			sc.s = sc.s[i+1:]
			return out, true
		case c == '\\' && i+1 < len(sc.s):
			i++
			out = append(out, sc.s[i])
		default:
			out = append(out, c)
		}
	}
	return nil, false
}

// str takes a quoted string or an atom; NIL is empty.
func (sc *scanner) str() (string, bool) {
	sc.space()
	if q, ok := sc.quoted(); ok {
		return string(q), true
	}
	atom := sc.atom()
	if strings.EqualFold(string(atom), "NIL") {
		return "", true
	}
	return string(atom), len(atom) > 0
}

// list takes a parenthesised list and gives what is between the parentheses. It is false
// when the line ends before the list does.
func (sc *scanner) list() ([]byte, bool) {
	depth, quoted := 0, false
	for i := 0; i < len(sc.s); i++ {
		switch c := sc.s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
			if depth == 0 {
				in := sc.s[1:i]
				sc.s = sc.s[i+1:]
				return in, true
			}
		}
		if depth == 0 && !quoted {
			return nil, false // it does not begin with a parenthesis
		}
	}
	return nil, false
}

// number takes an unsigned number.
func (sc *scanner) number(bits int) (uint64, bool) {
	sc.space()
	n, err := strconv.ParseUint(string(sc.atom()), 10, bits)
	return n, err == nil
}

// literalAtEnd finds a literal's announcement at the end of a line.
func literalAtEnd(line []byte) (before []byte, size int64, ok bool) {
	if len(line) == 0 || line[len(line)-1] != '}' {
		return line, 0, false
	}
	i := bytes.LastIndexByte(line, '{')
	if i < 0 {
		return line, 0, false
	}
	size, err := strconv.ParseInt(strings.TrimSuffix(string(line[i+1:len(line)-1]), "+"), 10, 64)
	if err != nil || size < 0 {
		return line, 0, false
	}
	return bytes.TrimSuffix(line[:i], []byte("~")), size, true
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// isAtom reports whether s may stand as an atom, as imapclient reads it.
func isAtom(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// cleanFlags gives the flags of a list that can be written as flags.
func cleanFlags(list []byte) []string {
	var flags []string
	for _, f := range strings.Fields(string(list)) {
		if f == `\*` || isAtom(strings.TrimPrefix(f, `\`)) {
			flags = append(flags, f)
		}
	}
	return flags
}

// cleanText makes a human text safe to hand on: one line, no control characters.
func cleanText(text []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "?")))
}
