package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	fresh    = 5 * time.Minute
	stale    = time.Hour
	coolDown = 30 * time.Second
)

var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"Ed25519": 0, "EdDSA": 0,
}

var curves = map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

// key is one that can verify, with the algorithm that it says it is for: the token has no word in that.
type key struct {
	kid, alg string
	public   any
}

// Keys are the gateway's: fetched when the first token comes, kept for five minutes, and fetched once more for a kid that is not
// there, at most every 30 seconds. However many calls wait, one fetch runs. While keys cannot be had, old ones serve for an hour.
type Keys struct {
	load                             func() ([]byte, error)
	mutex                            sync.Mutex
	keys                             []key
	fetchedAt, failedAt, refetchedAt time.Time // failedAt: of the last fetch, if it failed
	flight                           chan struct{}
}

// KeysOf are those under the issuer's well-known address: https, or http on this machine.
func KeysOf(issuer string) (*Keys, error) {
	address, err := url.Parse(strings.TrimSuffix(issuer, "/") + "/.well-known/jwks.json")
	if err != nil {
		return nil, err
	}
	loopback := address.Hostname() == "localhost" || net.ParseIP(address.Hostname()).IsLoopback()
	if address.Scheme != "https" && !(address.Scheme == "http" && loopback) {
		return nil, errors.New("the issuer must be an https address, or http on this machine")
	}
	client := &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Keys{load: func() ([]byte, error) {
		answer, err := client.Get(address.String())
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %d", answer.StatusCode)
		}
		return io.ReadAll(io.LimitReader(answer.Body, 1<<18))
	}}, nil
}

// find gives the key of a kid, or without one the only key for the algorithm. Its error is a *Refused or a *CannotTell.
func (k *Keys) find(alg string, kid *string) (*key, error) {
	if _, known := hashes[alg]; !known {
		return nil, &Refused{"algorithm", "not an algorithm that is taken here"}
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	fetched := k.mustFetch()
	if fetched {
		k.fetch()
	}
	found := k.look(alg, kid)
	if found == nil && !fetched && k.mayRefetch() {
		k.fetch()
		found = k.look(alg, kid)
	}
	switch {
	case k.age() >= fresh+stale:
		return nil, &CannotTell{"the gateway's keys cannot be had"}
	case found == nil && !k.failedAt.IsZero():
		return nil, &CannotTell{"an unknown key, and the gateway's keys cannot be had"}
	case found == nil:
		return nil, &Refused{"key_unknown", "no key has the token's kid"}
	case same(found.alg) != same(alg):
		return nil, &Refused{"algorithm", "the key is not for the token's algorithm"}
	}
	return found, nil
}

func (k *Keys) look(alg string, kid *string) (found *key) {
	for i := range k.keys {
		one := &k.keys[i]
		if (kid != nil && one.kid == *kid) || (kid == nil && same(one.alg) == same(alg)) {
			if found != nil {
				return nil // two keys of one kid: neither is named by it
			}
			found = one
		}
	}
	return found
}

func (k *Keys) age() time.Duration { return time.Since(k.fetchedAt) }

func (k *Keys) mustFetch() bool {
	if k.age() < fresh {
		return false
	}
	pause := time.Second
	if k.age() < fresh+stale {
		pause = coolDown
	}
	return k.flight != nil || time.Since(k.failedAt) >= pause
}

func (k *Keys) mayRefetch() bool {
	if k.flight == nil && time.Since(k.refetchedAt) < coolDown {
		return false
	}
	if k.flight == nil {
		k.refetchedAt = time.Now()
	}
	return true
}

// fetch waits for the fetch that is under way, or for a new one. The mutex is held before and after, and not meanwhile.
func (k *Keys) fetch() {
	flight := k.flight
	if flight == nil {
		flight = make(chan struct{})
		k.flight = flight
		go func() {
			keys, err := readKeys(k.load)
			k.mutex.Lock()
			defer k.mutex.Unlock()
			if err == nil {
				k.keys, k.fetchedAt, k.failedAt = keys, time.Now(), time.Time{}
			} else {
				k.failedAt = time.Now()
				log.Printf("the gateway's keys could not be fetched: %v", err)
			}
			k.flight = nil
			close(flight)
		}()
	}
	k.mutex.Unlock()
	<-flight
	k.mutex.Lock()
}

// readKeys gives the keys that can verify. What is not for that, or should never have been published, costs the others nothing.
func readKeys(load func() ([]byte, error)) ([]key, error) {
	text, err := load()
	if err != nil {
		return nil, err
	}
	var document struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if checkStrictly(text, 16, 10_000) != nil || json.Unmarshal(text, &document) != nil {
		return nil, errors.New("not a JWKS")
	}
	var keys []key
	for _, entry := range document.Keys {
		var jwk jose.JSONWebKey // reads the numbers, and refuses those that are no key
		err := jwk.UnmarshalJSON(entry)
		if err != nil || !jwk.IsPublic() || (jwk.Use != "" && jwk.Use != "sig") || !fits(jwk.Algorithm, jwk.Key) {
			log.Print("a key of the gateway was dropped: none that can verify here")
			continue
		}
		keys = append(keys, key{jwk.KeyID, jwk.Algorithm, jwk.Key})
	}
	if len(keys) == 0 {
		return nil, errors.New("no usable key")
	}
	return keys, nil
}

func fits(alg string, public any) bool {
	switch public := public.(type) {
	case *rsa.PublicKey:
		rsas := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		return slices.Contains(rsas, alg) && public.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return curves[alg] == public.Curve.Params().Name
	case ed25519.PublicKey:
		return same(alg) == "Ed25519"
	}
	return false
}

// verify checks a raw JWS signature (RFC 7518 section 3): ECDSA at full length, RSASSA-PSS with a salt as long as the hash.
func (k *key) verify(signed, signature []byte) bool {
	if public, ok := k.public.(ed25519.PublicKey); ok {
		return ed25519.Verify(public, signed, signature)
	}
	hash := hashes[k.alg].New()
	hash.Write(signed)
	digest := hash.Sum(nil)
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(k.alg, "PS") {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.VerifyPSS(public, hashes[k.alg], digest, signature, options) == nil
		}
		return rsa.VerifyPKCS1v15(public, hashes[k.alg], digest, signature) == nil
	case *ecdsa.PublicKey:
		length := (public.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*length {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:length]), new(big.Int).SetBytes(signature[length:])
		return ecdsa.Verify(public, digest, r, s)
	}
	return false
}

// same gives RFC 9864's name for RFC 8037's: they are of one algorithm.
func same(alg string) string {
	if alg == "EdDSA" {
		return "Ed25519"
	}
	return alg
}
