package pgp

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// BenchmarkMessage signs and encrypts to two, and opens and verifies.
func BenchmarkMessage(b *testing.B) {
	alice, bob := newTestKey(b, "alice@example.org"), newTestKey(b, "bob@example.org")
	for _, size := range []int{5 << 10, 1 << 20, 25 << 20} {
		payload := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		o := EncryptOptions{Signer: alice, To: []*Cert{alice.Cert(), bob.Cert()}, Now: now}
		message, err := Encrypt(payload, o)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encrypt/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encrypt(payload, o); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("open/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(message, OpenOptions{Keys: []*Key{bob}, Certs: offering(alice.Cert()), Now: now}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSecrets tries secrets on a message that none opens.
func BenchmarkSecrets(b *testing.B) {
	message, err := EncryptSymmetric([]byte(hello), "secret", SymmetricOptions{Now: now})
	if err != nil {
		b.Fatal(err)
	}
	secrets := make([]string, 1000)
	for i := range secrets {
		secrets[i] = fmt.Sprintf("securejoin/0123456789ABCDEF0123456789ABCDEF01234567/%024d", i)
	}
	for b.Loop() {
		if _, err := OpenSymmetric(message, slices.Values(secrets), OpenOptions{}); err == nil {
			b.Fatal("opened")
		}
	}
}
