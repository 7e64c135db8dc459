package db

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"mailbridge/pgp"
)

// certSeenEvery is how precisely the last sight of a certificate is kept: a page is not
// written for every message.
const certSeenEvery = 24 * time.Hour

// Cert gives a certificate by the fingerprint of its primary key, or ErrNotFound. That it is
// kept says nothing about whose it is.
func (tx *Tx) Cert(fpr pgp.Fingerprint) (*pgp.Cert, error) {
	cert, _, err := tx.cert(fpr)
	return cert, err
}

func (tx *Tx) cert(fpr pgp.Fingerprint) (*pgp.Cert, time.Time, error) {
	var raw []byte
	var seen int64
	err := tx.queryRow(`SELECT cert, last_seen FROM cert WHERE fpr = ?`, fpr).Scan(&raw, &seen)
	if err != nil {
		return nil, time.Time{}, err
	}
	cert, err := pgp.ParseCert(raw)
	if err != nil || cert.Fingerprint() != fpr {
		return nil, time.Time{}, fmt.Errorf("%w: certificate %s cannot be read", ErrCorrupt, fpr)
	}
	return cert, fromUnix(seen), nil
}

// Certs gives those of the certificates that are known, in the order asked for.
func (tx *Tx) Certs(fprs ...pgp.Fingerprint) ([]*pgp.Cert, error) {
	var certs []*pgp.Cert
	for _, fpr := range fprs {
		cert, err := tx.Cert(fpr)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		default:
			certs = append(certs, cert)
		}
	}
	return certs, nil
}

// MergeCert keeps a certificate, joined with the copy that is known, and gives the result.
func (tx *Tx) MergeCert(cert *pgp.Cert, at time.Time) (*pgp.Cert, error) {
	fpr := cert.Fingerprint()
	old, seen, err := tx.cert(fpr)
	if errors.Is(err, ErrNotFound) {
		_, err := tx.exec(`INSERT INTO cert (fpr, cert, first_seen, last_seen) VALUES (?, ?, ?, ?)`,
			fpr, cert.Bytes(), unix(at), unix(at))
		return cert, err
	}
	if err != nil {
		return nil, err
	}
	merged, err := pgp.Merge(old, cert)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(merged.Bytes(), old.Bytes()) && at.Sub(seen) < certSeenEvery {
		return merged, nil
	}
	_, err = tx.exec(`UPDATE cert SET cert = ?, last_seen = max(last_seen, ?) WHERE fpr = ?`,
		merged.Bytes(), unix(at), fpr)
	return merged, err
}
