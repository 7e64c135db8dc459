package pgp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// trial finds out whether a secret opens a session key packet of version 6, in a quarter of the
// time that the library takes: who has sent the message decides how often this is asked in vain,
// once for every open invite. It is a sieve and no more. The secret that passes is given to the
// library, which derives and checks everything again.
type trial struct {
	salt      []byte
	keySize   int
	info      []byte
	nonce     []byte
	encrypted []byte // the session key, then the tag

	// Scratch.
	salted                       []byte
	padded                       [sha256.BlockSize + sha256.Size]byte
	lStar, offset, sum, x, check [aes.BlockSize]byte
}

// trialBlock is how many secrets a processor takes at a time, which is less than a millisecond.
const trialBlock = 256

// firstFitting gives the first secret that opens a session key packet, and its index, or -1. Many
// of them are shared out among the processors while the next ones are read: other mail waits
// behind this one.
func firstFitting(body []byte, skesk *packet.SymmetricKeyEncrypted, secrets iter.Seq[string]) (int, string) {
	s := search{body: body, skesk: skesk, blocks: make(chan block), index: -1}
	var workers sync.WaitGroup
	from := 0
	for list := range blocks(secrets) {
		if from < runtime.GOMAXPROCS(0)*trialBlock {
			workers.Go(s.work)
		}
		s.blocks <- block{from, list}
		if from += len(list); from >= maxSecrets || s.found.Load() {
			break
		}
	}
	close(s.blocks)
	workers.Wait()
	return s.index, s.secret
}

// blocks cuts what comes one by one into lists of trialBlock.
func blocks(secrets iter.Seq[string]) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		list := make([]string, 0, trialBlock)
		for secret := range secrets {
			if list = append(list, secret); len(list) < trialBlock {
				continue
			}
			if !yield(list) {
				return
			}
			list = make([]string, 0, trialBlock)
		}
		if len(list) > 0 {
			yield(list)
		}
	}
}

// block are secrets and the index of the first of them.
type block struct {
	from    int
	secrets []string
}

// search is shared by those who try.
type search struct {
	body   []byte
	skesk  *packet.SymmetricKeyEncrypted
	blocks chan block
	found  atomic.Bool

	mu     sync.Mutex
	index  int // of the first secret that fits, as far as is known
	secret string
}

// work tries block after block. Each that was begun is tried, so that the first secret is found
// even if a later one is found earlier.
func (s *search) work() {
	fits := s.fits()
	for b := range s.blocks {
		if i := slices.IndexFunc(b.secrets, fits); i >= 0 {
			s.hit(b.from+i, b.secrets[i])
		}
	}
}

// fits gives the sieve, or the library's check, which is authenticated, too: no other secret fits.
func (s *search) fits() func(secret string) bool {
	if t := newTrial(s.body); t != nil {
		return t.fits
	}
	return func(secret string) bool {
		_, _, err := s.skesk.Decrypt([]byte(secret))
		return err == nil
	}
}

func (s *search) hit(index int, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index < 0 || index < s.index {
		s.index, s.secret = index, secret
	}
	s.found.Store(true)
}

// Layout of the packet's body (RFC 9580, section 5.3.2): version, count, cipher, mode, count, type and hash
// of the string-to-key function, its salt, the nonce, the encrypted session key.
const (
	trialSalt   = 7
	trialNonce  = trialSalt + 8
	trialKey    = trialNonce + 15
	hashSHA256  = 8
	hkdfCounter = 1
)

// newTrial reads the packet. It is nil for a form that is allowed but that nobody writes.
func newTrial(body []byte) *trial {
	f := skeskForm(body)
	keySize := packet.CipherFunction(f.cipher).KeySize()
	length := len(body) - trialKey
	if f.version != 6 || f.s2k != s2kSalted || f.hash != hashSHA256 || f.mode != byte(packet.AEADModeOCB) ||
		keySize > sha256.Size || length < 2*aes.BlockSize || length%aes.BlockSize != 0 {
		return nil
	}
	return &trial{
		salt:    body[trialSalt:trialNonce],
		keySize: keySize,
		// RFC 9580, section 5.3.2: the packet's tag, version, cipher and mode are HKDF's info and
		// the additional data; HKDF counts its blocks behind them.
		info:      []byte{0xc0 | tagSKESK, f.version, f.cipher, f.mode, hkdfCounter},
		nonce:     body[trialNonce:trialKey],
		encrypted: body[trialKey:],
	}
}

// fits reports whether a secret opens the packet.
func (t *trial) fits(secret string) bool {
	block, err := aes.NewCipher(t.key(secret))
	if err != nil {
		return false // not with a size of AES's
	}
	return t.opens(block)
}

// key derives the key from a secret: the salted string-to-key function (RFC 9580, section 3.7.1.2),
// then HKDF without a salt (RFC 5869). The hash is as long as the longest key.
func (t *trial) key(secret string) []byte {
	t.salted = append(append(t.salted[:0], t.salt...), secret...)
	stretched := sha256.Sum256(t.salted)
	var none [sha256.Size]byte
	extracted := t.hmac(none, stretched[:t.keySize])
	expanded := t.hmac(extracted, t.info)
	return expanded[:t.keySize]
}

// hmac is RFC 2104 with SHA-256, a key of its size and a message that is not longer, without
// anything on the heap.
func (t *trial) hmac(key [sha256.Size]byte, msg []byte) [sha256.Size]byte {
	inner := t.hashPadded(&key, &innerPad, msg)
	return t.hashPadded(&key, &outerPad, inner[:])
}

var innerPad, outerPad = filled(0x36), filled(0x5c)

func filled(with byte) (block [sha256.BlockSize]byte) {
	for i := range block {
		block[i] = with
	}
	return block
}

func (t *trial) hashPadded(key *[sha256.Size]byte, pad *[sha256.BlockSize]byte, msg []byte) [sha256.Size]byte {
	copy(t.padded[:], pad[:])
	subtle.XORBytes(t.padded[:], key[:], pad[:])
	n := copy(t.padded[sha256.BlockSize:], msg)
	return sha256.Sum256(t.padded[:sha256.BlockSize+n])
}

// opens checks the tag as OCB does (RFC 7253, section 4.3), for whole blocks, a tag of one block, and
// additional data that is shorter than one.
func (t *trial) opens(block cipher.Block) bool {
	t.lStar = [aes.BlockSize]byte{}
	block.Encrypt(t.lStar[:], t.lStar[:])
	lDollar := double(t.lStar)
	t.firstOffset(block)
	t.sum = [aes.BlockSize]byte{}
	tag := len(t.encrypted) - aes.BlockSize
	for i, n := 0, 1; i < tag; i, n = i+aes.BlockSize, n+1 {
		l := double(lDollar)
		for m := n; m&1 == 0; m >>= 1 {
			l = double(l)
		}
		xor(&t.offset, &t.offset, l[:])
		xor(&t.x, &t.offset, t.encrypted[i:])
		block.Decrypt(t.x[:], t.x[:])
		xor(&t.x, &t.x, t.offset[:])
		xor(&t.sum, &t.sum, t.x[:])
	}
	xor(&t.sum, &t.sum, t.offset[:])
	xor(&t.sum, &t.sum, lDollar[:])
	block.Encrypt(t.sum[:], t.sum[:])
	xor(&t.sum, &t.sum, t.hash(block))
	return subtle.ConstantTimeCompare(t.sum[:], t.encrypted[tag:]) == 1
}

// firstOffset is Offset_0 of section 4.2: the encrypted nonce, stretched and shifted.
func (t *trial) firstOffset(block cipher.Block) {
	t.x = [aes.BlockSize]byte{}
	t.x[0] = 1 // the tag's length, of which 128 is written as 0, and a bit in front of the nonce
	copy(t.x[1:], t.nonce)
	bottom := t.x[15] & 63
	t.x[15] &^= 63
	block.Encrypt(t.x[:], t.x[:])
	high, low := binary.BigEndian.Uint64(t.x[:8]), binary.BigEndian.Uint64(t.x[8:])
	more := high ^ (high<<8 | low>>56)
	binary.BigEndian.PutUint64(t.offset[:8], high<<bottom|low>>(64-bottom))
	binary.BigEndian.PutUint64(t.offset[8:], low<<bottom|more>>(64-bottom))
}

// hash is HASH(K,A) of section 4.1.
func (t *trial) hash(block cipher.Block) []byte {
	t.check = [aes.BlockSize]byte{}
	n := copy(t.check[:], t.info[:len(t.info)-1])
	t.check[n] = 0x80
	xor(&t.check, &t.check, t.lStar[:])
	block.Encrypt(t.check[:], t.check[:])
	return t.check[:]
}

// double multiplies by x in GF(2^128) (RFC 7253, section 2).
func double(b [aes.BlockSize]byte) (out [aes.BlockSize]byte) {
	high, low := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(out[:8], high<<1|low>>63)
	binary.BigEndian.PutUint64(out[8:], low<<1^(high>>63)*0x87)
	return out
}

func xor(out, a *[aes.BlockSize]byte, b []byte) { subtle.XORBytes(out[:], a[:], b[:aes.BlockSize]) }
