package pgp

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
)

// skeskBody writes a session key packet with the library.
func skeskBody(t testing.TB, secret string, cipher packet.CipherFunction) []byte {
	t.Helper()
	sessionKey := make([]byte, cipher.KeySize())
	rand.Read(sessionKey)
	var out bytes.Buffer
	err := packet.SerializeSymmetricKeyEncryptedAEADReuseKey(&out, sessionKey, []byte(secret), true, &packet.Config{
		DefaultCipher: cipher,
		AEADConfig:    &packet.AEADConfig{DefaultMode: packet.AEADModeOCB},
		S2KConfig:     &s2k.Config{S2KMode: s2k.SaltedS2K, PassphraseIsHighEntropy: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := nextPacket(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return p.body
}

// TestTrialAgreesWithTheLibrary: the sieve lets pass what the library opens, and nothing else, for
// every size of key and every shift of the nonce.
func TestTrialAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	for _, cipher := range []packet.CipherFunction{packet.CipherAES128, packet.CipherAES256} {
		for n := range 130 {
			secret := fmt.Sprintf("%s%d", strings.Repeat("secret ", n), n)
			body := skeskBody(t, secret, cipher)
			sieve := newTrial(body)
			if sieve == nil || !sieve.fits(secret) {
				t.Fatalf("cipher %d: the right secret does not fit % x", cipher, body)
			}
			if sieve.fits(secret+"x") || sieve.fits(secret[1:]) || sieve.fits("") {
				t.Fatalf("a wrong secret fits % x", body)
			}
			for i := range body {
				if i == 1 || i == 4 { // counts, which say nothing new
					continue
				}
				other := bytes.Clone(body)
				other[i] ^= 1 << (n % 8)
				if sieve := newTrial(other); sieve != nil && sieve.fits(secret) {
					t.Fatalf("octet %d changed, and it fits: % x", i, other)
				}
			}
		}
	}
}

// TestTrialForms: what the sieve does not know is left to the library.
func TestTrialForms(t *testing.T) {
	t.Parallel()
	odd := skeskBody(t, "secret", packet.CipherAES192) // no whole number of blocks
	if newTrial(odd) != nil || newTrial(nil) != nil || newTrial(odd[:20]) != nil {
		t.Error("claims to know it")
	}
	m, err := EncryptSymmetric([]byte("text"), "secret", SymmetricOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseMessage(m)
	if err != nil {
		t.Fatal(err)
	}
	if newTrial(c.esks[0].body) == nil {
		t.Error("does not know what we write ourselves")
	}
}

// TestFirstFitting: of several secrets that fit the first one is found, however many processors
// share the search, and in a form that is left to the library as well.
func TestFirstFitting(t *testing.T) {
	t.Parallel()
	for _, cipher := range []packet.CipherFunction{packet.CipherAES128, packet.CipherAES192} {
		body := skeskBody(t, "secret", cipher)
		skesk, err := parseSKESK(rawPacket{tagSKESK, body})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, trialBlock, trialBlock + 1, 10 * trialBlock} {
			secrets := make([]string, n)
			if got, _ := firstFitting(body, skesk, slices.Values(secrets)); got != -1 {
				t.Errorf("of %d wrong ones %d fits", n, got)
			}
			for _, want := range []int{n - 1, n / 2, 0} {
				if want < 0 || want >= n {
					continue
				}
				secrets[want] = "secret"
				if got, secret := firstFitting(body, skesk, slices.Values(secrets)); got != want || secret != "secret" {
					t.Errorf("of %d, %d fits, not %d", n, want, got)
				}
			}
		}
	}
}

func BenchmarkWrongSecret(b *testing.B) {
	sieve := newTrial(skeskBody(b, "secret", packet.CipherAES128))
	b.ReportAllocs()
	for b.Loop() {
		if sieve.fits("securejoin/0123456789ABCDEF0123456789ABCDEF01234567/abcdefghijklmnopqrstuvwx") {
			b.Fatal("fits")
		}
	}
}
