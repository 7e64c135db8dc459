package provider

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// fetched is one message as FETCH found it. Data never changes, flags is replaced and
// never changed, so both are safe outside the locks.
type fetched struct {
	seq   uint32
	uid   imap.UID
	flags []imap.Flag
	date  time.Time
	data  []byte
	seen  bool // \Seen was set by this FETCH
}

func (s *session) Fetch(w *imapserver.FetchWriter, numSet imap.NumSet, options *imap.FetchOptions) error {
	return s.do("FETCH", fetchKind(options), func() error {
		for _, f := range s.collect(numSet, options) {
			if err := f.write(w, options); err != nil {
				return err
			}
		}
		return nil
	})
}

// fetchKind tells what of the messages is asked for: Command.Arg of FETCH.
func fetchKind(options *imap.FetchOptions) string {
	kind := ""
	for _, section := range options.BodySection {
		if section.Specifier != imap.PartSpecifierHeader || len(section.Part) > 0 {
			return "body"
		}
		kind = "header"
	}
	return kind
}

// collect finds the messages, and marks them as seen where the client reads the body
// (RFC 3501, section 6.4.5).
func (s *session) collect(numSet imap.NumSet, options *imap.FetchOptions) []fetched {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provider.mu.Lock()
	defer s.provider.mu.Unlock()
	reads := slices.ContainsFunc(options.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek }) && !s.view.readOnly
	rows := s.view.resolve(numSet)
	list := make([]fetched, 0, len(rows))
	for _, r := range rows {
		f := fetched{seq: r.seq, uid: r.uid, date: r.date, data: r.data}
		if reads && !r.gone && !hasFlag(r.flags, imap.FlagSeen) {
			s.view.box.setFlags(r.message, append(slices.Clone(r.flags), imap.FlagSeen))
			f.seen = true
		}
		f.flags = r.flags
		if f.seen || options.Flags {
			r.known = r.change
		}
		list = append(list, f)
	}
	return list
}

func (f *fetched) write(fw *imapserver.FetchWriter, options *imap.FetchOptions) error {
	w := fw.CreateMessage(f.seq)
	if options.UID {
		w.WriteUID(f.uid)
	}
	if options.Flags || f.seen {
		w.WriteFlags(f.flags)
	}
	if options.InternalDate {
		w.WriteInternalDate(f.date)
	}
	if options.RFC822Size {
		w.WriteRFC822Size(int64(len(f.data)))
	}
	if options.Envelope {
		w.WriteEnvelope(envelope(f.data))
	}
	if options.BodyStructure != nil {
		w.WriteBodyStructure(bodyStructure(f.data))
	}
	for _, item := range options.BodySection {
		if err := writeSection(w, item, section(f.data, item)); err != nil {
			return err
		}
	}
	return w.Close()
}

func writeSection(w *imapserver.FetchResponseWriter, item *imap.FetchItemBodySection, b []byte) error {
	lit := w.WriteBodySection(item, int64(len(b)))
	if _, err := lit.Write(b); err != nil {
		return err
	}
	return lit.Close()
}

// section cuts a section out of a message, byte for byte. Sections of parts are
// go-imap's work.
func section(data []byte, item *imap.FetchItemBodySection) []byte {
	if len(item.Part) > 0 {
		return imapserver.ExtractBodySection(bytes.NewReader(data), item)
	}
	header, body := splitHeader(data)
	switch {
	case item.Specifier == imap.PartSpecifierNone:
		return partial(data, item.Partial)
	case item.Specifier == imap.PartSpecifierText:
		return partial(body, item.Partial)
	case len(item.HeaderFields) > 0:
		return partial(selectFields(header, item.HeaderFields, true), item.Partial)
	case len(item.HeaderFieldsNot) > 0:
		return partial(selectFields(header, item.HeaderFieldsNot, false), item.Partial)
	default:
		return partial(header, item.Partial)
	}
}

// partial cuts <offset.size> (RFC 3501, section 6.4.5).
func partial(b []byte, p *imap.SectionPartial) []byte {
	if p == nil {
		return b
	}
	if p.Offset < 0 || p.Offset >= int64(len(b)) {
		return nil
	}
	b = b[p.Offset:]
	return b[:min(max(p.Size, 0), int64(len(b)))]
}

// splitHeader cuts after the first empty line, whatever its line end. A message without
// one is all header.
func splitHeader(data []byte) (header, body []byte) {
	for i := 0; i < len(data); {
		end := bytes.IndexByte(data[i:], '\n')
		if end < 0 {
			break
		}
		line := data[i : i+end]
		i += end + 1
		if len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			return data[:i], data[i:]
		}
	}
	return data, nil
}

// selectFields keeps the fields with (or without) one of the names, as they are, and
// ends with the empty line that RFC 3501, section 6.4.5 asks for.
func selectFields(header []byte, names []string, with bool) []byte {
	var out []byte
	keep := false
	for line := range bytes.Lines(header) {
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			name = bytes.TrimRight(name, " \t\r\n")
			keep = with == slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, string(name)) })
		}
		if keep {
			out = append(out, line...)
		}
	}
	return append(out, "\r\n"...)
}

// bodyStructure falls back to one part of plain text.
func bodyStructure(data []byte) (bs imap.BodyStructure) {
	defer func() {
		// QUIRK: go-imap panics on a multipart without parts.
		if recover() != nil {
			bs = plainStructure(data)
		}
	}()
	bs = imapserver.ExtractBodyStructure(bytes.NewReader(data))
	if multi, ok := bs.(*imap.BodyStructureMultiPart); ok && len(multi.Children) == 0 || bs == nil {
		return plainStructure(data)
	}
	return bs
}

func plainStructure(data []byte) imap.BodyStructure {
	_, body := splitHeader(data)
	return &imap.BodyStructureSinglePart{
		Type: "text", Subtype: "plain", Encoding: "7bit", Size: uint32(len(body)),
		Text:     &imap.BodyStructureText{NumLines: int64(bytes.Count(body, []byte("\n")))},
		Extended: &imap.BodyStructureSinglePartExt{},
	}
}
