package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// leaf is the certificate the local servers show: self-signed, for localhost,
// 127.0.0.1 and ::1, and no CA, so that a client that trusts it trusts nothing else.
type leaf struct {
	cert *tls.Certificate
	file string // PEM
}

const (
	// leafValidity is what Apple's systems accept at most for a certificate that the
	// user has trusted by hand: 825 days.
	leafValidity = 825 * 24 * time.Hour
	// leafRenewal is when it is made anew, before it ends.
	leafRenewal = 60 * 24 * time.Hour
)

// openLeaf loads the certificate; it makes it where there is none, and makes it anew,
// with the same key, where it ends soon. Who calls it holds the lock.
func (d dirs) openLeaf(now time.Time) (*leaf, error) {
	key, err := d.leafKey()
	if err != nil {
		return nil, err
	}
	der, err := d.leafCert(key, now)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &leaf{file: d.certFile(), cert: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}}, nil
}

func (d dirs) leafKey() (*ecdsa.PrivateKey, error) {
	b, err := os.ReadFile(d.certKeyFile())
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, writeFile(d.certKeyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return nil, err
	}
	damaged := refuse(exitData, "the key of the local certificate is damaged: %s\nremove it, then clients must trust a new certificate", d.certKeyFile())
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, damaged
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, damaged
	}
	return key, nil
}

func (d dirs) leafCert(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	if b, err := os.ReadFile(d.certFile()); err == nil {
		if block, _ := pem.Decode(b); block != nil && usable(block.Bytes, key, now) {
			return block.Bytes, nil
		}
	}
	der, err := newLeafCert(key, now)
	if err != nil {
		return nil, err
	}
	return der, writeFile(d.certFile(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// usable says whether a certificate is for the key and lasts long enough.
func usable(der []byte, key *ecdsa.PrivateKey, now time.Time) bool {
	cert, err := x509.ParseCertificate(der)
	return err == nil && key.PublicKey.Equal(cert.PublicKey) && now.Add(leafRenewal).Before(cert.NotAfter)
}

func newLeafCert(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // positive, at most 20 octets (RFC 5280, section 4.1.2.2)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "localhost", Organization: []string{"mailbridge on this computer"}},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             now.Add(-time.Hour), // for clocks that are a little off
		NotAfter:              now.Add(leafValidity - time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // CA:FALSE
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// tlsConfig is for the local servers. TLS 1.2 is the least that RFC 8996 leaves.
func (l *leaf) tlsConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*l.cert}, MinVersion: tls.VersionTLS12}
}

// fingerprint is the SHA-256 of the certificate, as mail clients show it but without
// separators.
func (l *leaf) fingerprint() string {
	return fmt.Sprintf("%X", sha256.Sum256(l.cert.Certificate[0]))
}
