package provider

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

func (s *session) Search(kind imapserver.NumKind, criteria *imap.SearchCriteria, options *imap.SearchOptions) (data *imap.SearchData, err error) {
	err = s.do("SEARCH", "", func() error {
		data = found(kind, s.candidates(), func(r candidate) bool { return r.matches(criteria) })
		return nil
	})
	return data, err
}

// candidate is a message in a search, with its view's number sets filled in.
type candidate struct {
	fetched
	view *view
}

// candidates copies the view's rows, so that reading bodies happens outside the locks.
func (s *session) candidates() []candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provider.mu.Lock()
	defer s.provider.mu.Unlock()
	frozen := &view{rows: make([]*row, 0, len(s.view.rows))}
	var list []candidate
	for i, r := range s.view.rows {
		frozen.rows = append(frozen.rows, &row{message: r.message})
		if !r.gone {
			list = append(list, candidate{fetched{seq: uint32(i + 1), uid: r.uid, flags: r.flags, date: r.date, data: r.data}, frozen})
		}
	}
	return list
}

func found(kind imapserver.NumKind, list []candidate, match func(candidate) bool) *imap.SearchData {
	var seqs imap.SeqSet
	var uids imap.UIDSet
	data := &imap.SearchData{}
	for _, c := range list {
		if !match(c) {
			continue
		}
		n := c.seq
		if kind == imapserver.NumKindUID {
			n = uint32(c.uid)
		}
		seqs.AddNum(c.seq)
		uids.AddNum(c.uid)
		data.Count++
		data.Max = n
		if data.Min == 0 {
			data.Min = n
		}
	}
	data.All = seqs
	if kind == imapserver.NumKindUID {
		data.All = uids
	}
	return data
}

// matches decides all keys of RFC 3501, section 6.4.4 that go-imap parses.
func (c *candidate) matches(k *imap.SearchCriteria) bool {
	return c.inSets(k) && c.hasFlags(k) && c.inDates(k) && c.inSizes(k) && c.hasText(k) && c.combined(k)
}

func (c *candidate) inSets(k *imap.SearchCriteria) bool {
	for _, set := range k.SeqNum {
		if !c.view.contains(set)(c.seq, c.uid) {
			return false
		}
	}
	for _, set := range k.UID {
		if !c.view.contains(set)(c.seq, c.uid) {
			return false
		}
	}
	return true
}

func (c *candidate) hasFlags(k *imap.SearchCriteria) bool {
	for _, f := range k.Flag {
		if !hasFlag(c.flags, f) {
			return false
		}
	}
	return !slices.ContainsFunc(k.NotFlag, func(f imap.Flag) bool { return hasFlag(c.flags, f) })
}

func (c *candidate) inDates(k *imap.SearchCriteria) bool {
	if !within(c.date, k.Since, k.Before) {
		return false
	}
	if k.SentSince.IsZero() && k.SentBefore.IsZero() {
		return true
	}
	for _, value := range headerValues(c.data, "Date") {
		if date, err := mail.ParseDate(value); err == nil {
			return within(date, k.SentSince, k.SentBefore)
		}
	}
	return false
}

// within compares days and disregards time and zone, as all date keys do.
func within(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}

func (c *candidate) inSizes(k *imap.SearchCriteria) bool {
	size := int64(len(c.data))
	return (k.Larger == 0 || size > k.Larger) && (k.Smaller == 0 || size < k.Smaller)
}

func (c *candidate) combined(k *imap.SearchCriteria) bool {
	for i := range k.Not {
		if c.matches(&k.Not[i]) {
			return false
		}
	}
	for i := range k.Or {
		if !c.matches(&k.Or[i][0]) && !c.matches(&k.Or[i][1]) {
			return false
		}
	}
	return true
}

func (c *candidate) hasText(k *imap.SearchCriteria) bool {
	for _, h := range k.Header {
		values := headerValues(c.data, h.Key)
		if !slices.ContainsFunc(values, func(v string) bool { return containsFold(v, h.Value) }) {
			return false
		}
	}
	if len(k.Body)+len(k.Text) == 0 {
		return true
	}
	header, body := searchable(c.data)
	for _, text := range k.Body {
		if !containsFold(body, text) {
			return false
		}
	}
	for _, text := range k.Text {
		if !containsFold(header, text) && !containsFold(body, text) {
			return false
		}
	}
	return true
}

func containsFold(s, sub string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(sub))
}

// headerValues gives the unfolded, decoded values of a field.
func headerValues(data []byte, name string) []string {
	values := fieldValues(data, name)
	for i, v := range values {
		values[i] = decodeWords(v)
	}
	return values
}

// fieldValues gives the unfolded values of a field.
func fieldValues(data []byte, name string) []string {
	header, _ := splitHeader(data)
	var values []string
	for field := range strings.Lines(unfold(string(selectFields(header, []string{name}, true)))) {
		if _, value, ok := strings.Cut(field, ":"); ok {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// fieldValue gives the first value of a field, or "".
func fieldValue(data []byte, name string) string {
	if values := fieldValues(data, name); len(values) > 0 {
		return values[0]
	}
	return ""
}

func unfold(s string) string {
	return strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t", "\n ", " ", "\n\t", "\t").Replace(s)
}

func decodeWords(s string) string {
	if text, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		return text
	}
	return s
}

// searchable gives the decoded header, and the body as it is and decoded.
func searchable(data []byte) (header, body string) {
	rawHeader, rawBody := splitHeader(data)
	var text strings.Builder
	text.Write(rawBody)
	decodeText(&text, data, maxSearchDepth)
	return decodeWords(unfold(string(rawHeader))), text.String()
}

// maxSearchDepth is how deep SEARCH looks into multiparts.
const maxSearchDepth = 10

// decodeText appends the decoded text parts of an entity. What is damaged is left out:
// it is searched as it is anyway.
func decodeText(text *strings.Builder, entity []byte, depth int) {
	_, body := splitHeader(entity)
	mediaType, params, _ := mime.ParseMediaType(fieldValue(entity, "Content-Type"))
	switch {
	case depth > 0 && strings.HasPrefix(mediaType, "multipart/") && params["boundary"] != "":
		for part := range strings.SplitSeq(string(body), "--"+params["boundary"]) {
			part = strings.TrimPrefix(strings.TrimPrefix(part, "\r"), "\n")
			decodeText(text, []byte(part), depth-1)
		}
	case mediaType == "" || strings.HasPrefix(mediaType, "text/"):
		text.WriteByte('\n')
		decoded := decodeTransfer(fieldValue(entity, "Content-Transfer-Encoding"), body)
		if strings.EqualFold(params["charset"], "iso-8859-1") {
			decoded = latin1(decoded)
		}
		text.Write(decoded)
	}
}

func decodeTransfer(encoding string, body []byte) []byte {
	r := io.Reader(bytes.NewReader(body))
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	default:
		return nil // it is there already
	}
	decoded, _ := io.ReadAll(r)
	return decoded
}

// latin1 makes UTF-8 of ISO 8859-1, whose characters have the same numbers.
func latin1(b []byte) []byte {
	var out []byte
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}
