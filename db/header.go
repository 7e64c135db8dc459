package db

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
)

// maxHeader bounds what is unpacked. It is above what the provider's connection lets through,
// so that only a damaged file can meet it.
const maxHeader = 16 << 20

// headerWords primes the compression with what most header blocks share. It is part of the
// file format: a change needs a new version byte.
const headerWords = "Return-Path: <Delivered-To: Received: from by with ESMTPS id for <; " +
	"Mon, Tue, Wed, Thu, Fri, Sat, Sun,  Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec 2025 2026 +0000 (UTC)\r\n" +
	"Authentication-Results: dkim=pass spf=pass dmarc=pass ARC-Seal: i=1; a=rsa-sha256; " +
	"DKIM-Signature: v=1; c=relaxed/relaxed; d=; s=; h=from:to:subject:date; bh=; b=\r\n" +
	"X-Mailer: User-Agent: List-Unsubscribe: List-Id: Reply-To: References: <In-Reply-To: <\r\n" +
	"Content-Transfer-Encoding: quoted-printable\r\nContent-Type: multipart/alternative; boundary=\"" +
	"text/plain; charset=\"utf-8\"\r\nMIME-Version: 1.0\r\nMessage-ID: <Subject: Re: =?UTF-8?Q?Date: From: \"To: \"Cc: "

const headerVersion = 1

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriterDict(nil, flate.BestSpeed, []byte(headerWords))
	if err != nil {
		panic(err) // only an unknown level
	}
	return w
}}

// compress packs a header block; nil stays nil.
func compress(header []byte) []byte {
	if header == nil {
		return nil
	}
	out := bytes.NewBuffer([]byte{headerVersion})
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(out)
	// A bytes.Buffer does not fail.
	w.Write(header)
	w.Close()
	return out.Bytes()
}

func decompress(packed []byte) ([]byte, error) {
	if len(packed) == 0 || packed[0] != headerVersion {
		return nil, fmt.Errorf("%w: header block", ErrCorrupt)
	}
	r := flate.NewReaderDict(bytes.NewReader(packed[1:]), []byte(headerWords))
	header, err := io.ReadAll(io.LimitReader(r, maxHeader))
	if err != nil {
		return nil, fmt.Errorf("%w: header block", ErrCorrupt)
	}
	return header, nil
}
