package imapproxy

import (
	"maps"
	"slices"
	"strings"

	"mailbridge/message"
)

// structure writes a BODYSTRUCTURE, or a BODY, which lacks the extension data (RFC 3501,
// section 7.4.2). Package message bounds the depth.
func (r *response) structure(p *message.Part, extended bool) {
	if p.IsMultipart() {
		r.multipart(p, extended)
	} else {
		r.singlePart(p, extended)
	}
}

func (r *response) multipart(p *message.Part, extended bool) {
	r.text("(")
	for _, child := range p.Children {
		r.structure(child, extended)
	}
	if len(p.Children) == 0 {
		// The grammar wants at least one part.
		r.singlePart(&message.Part{MediaType: "text/plain"}, extended)
	}
	_, subtype := splitType(p.MediaType)
	r.text(" ")
	r.string(subtype)
	if extended {
		r.text(" ")
		r.params(p.Params)
		r.extension(p)
	}
	r.text(")")
}

func (r *response) singlePart(p *message.Part, extended bool) {
	kind, subtype := splitType(p.MediaType)
	if p.MediaType == "message/rfc822" && p.Message == nil {
		// Encoded or nested too deeply: without an envelope it cannot go under its name.
		kind, subtype = "application", "octet-stream"
	}
	r.text("(")
	r.string(kind)
	r.text(" ")
	r.string(subtype)
	r.text(" ")
	r.params(p.Params)
	r.text(" ")
	r.nstring(p.Header.Get("Content-ID"))
	r.text(" ")
	r.nstring(p.Header.Get("Content-Description"))
	r.text(" ")
	r.string(encodingOf(p))
	r.text(" ")
	r.number(int64(p.End - p.BodyStart))
	if p.Message != nil {
		r.text(" ")
		r.envelope(message.ParseEnvelope(p.Message.Header))
		r.text(" ")
		r.structure(p.Message, extended)
	}
	if p.Message != nil || kind == "text" {
		r.text(" ")
		r.number(int64(p.Lines))
	}
	if extended {
		r.text(" NIL") // MD5
		r.extension(p)
	}
	r.text(")")
}

// extension writes disposition, language and location.
func (r *response) extension(p *message.Part) {
	r.text(" ")
	if p.Disposition == "" {
		r.text("NIL")
	} else {
		r.text("(")
		r.string(p.Disposition)
		r.text(" ")
		r.params(p.DispositionParams)
		r.text(")")
	}
	r.text(" ")
	r.languages(p.Header.Get("Content-Language"))
	r.text(" ")
	r.nstring(p.Header.Get("Content-Location"))
}

func (r *response) languages(value string) {
	tags := strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
	switch len(tags) {
	case 0:
		r.text("NIL")
	case 1:
		r.string(tags[0])
	default:
		r.text("(")
		for i, tag := range tags {
			if i > 0 {
				r.text(" ")
			}
			r.string(tag)
		}
		r.text(")")
	}
}

// params writes parameters in the order of their names, so that a structure never
// changes. Values beyond ASCII go as encoded words, which clients expect here.
func (r *response) params(params map[string]string) {
	if len(params) == 0 {
		r.text("NIL")
		return
	}
	r.text("(")
	for i, name := range slices.Sorted(maps.Keys(params)) {
		if i > 0 {
			r.text(" ")
		}
		r.string(name)
		r.text(" ")
		r.string(message.EncodeWord(params[name]))
	}
	r.text(")")
}

func splitType(mediaType string) (kind, subtype string) {
	kind, subtype, _ = strings.Cut(mediaType, "/")
	return kind, subtype
}

func encodingOf(p *message.Part) string {
	if p.Encoding == "" {
		return "7bit"
	}
	return p.Encoding
}
