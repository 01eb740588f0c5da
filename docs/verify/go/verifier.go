package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	leeway      = 30.0
	longestLife = 900.0
	mostUsed    = 200_000
)

// Operation is what a call asks for. Name: of the tool or prompt, or the resource's URI. Arguments: the JSON as it came.
type Operation struct {
	Method    string         `json:"method"`
	Name      *string        `json:"name"`
	Arguments jsontext.Value `json:"arguments"`
}

// Verified is what a token said that was good for its call. Actors: the immediate one first.
type Verified struct {
	Subject, ClientID, Scope, JTI, Txn string
	Actors                             []string
	Expires                            float64
	Claims                             map[string]any
}

// Refused is for a token that is bad (401), or good for another call (403). It quotes nothing of the token.
type Refused struct{ Reason, Message string }

func (r *Refused) Error() string { return r.Message }

// Status is that of HTTP.
func (r *Refused) Status() int {
	if slices.Contains([]string{"scope", "operation", "arguments"}, r.Reason) {
		return 403
	}
	return 401
}

// CannotTell is for what nobody can tell: 503, and never a pass.
type CannotTell struct{ Message string }

func (c *CannotTell) Error() string { return c.Message }

// Verifier checks a call token against the call that came with it, in the order of docs/verifying.md. Single use comes last:
// only a token that was good for this call is used up by it.
//
// RequiredClaims: what a token must say besides: path -> the values of which one will do, or nil for any. Unbound: the gateway
// has bind_arguments: false. Now: seconds since 1970.
type Verifier struct {
	Issuer, Audience string
	Keys             *Keys
	RequiredClaims   map[string][]any
	Unbound          bool
	Now              func() float64

	mutex sync.Mutex
	used  map[string]float64 // jti -> when it may be forgotten
}

// Verify's error is a *Refused or a *CannotTell.
func (v *Verifier) Verify(token string, operation Operation) (*Verified, error) {
	typ, claims, err := v.signed(token)
	if err != nil {
		return nil, err
	}
	if err := v.checkClaims(claims, typ); err != nil {
		return nil, err
	}
	actors, err := v.checkShape(claims)
	if err != nil {
		return nil, err
	}
	if err := v.checkOperation(claims, operation); err != nil {
		return nil, err
	}
	text := func(name string) string { return claims[name].(string) }
	expires := claims["exp"].(float64)
	verified := &Verified{text("sub"), text("client_id"), text("scope"), text("jti"), text("txn"), actors, expires, claims}
	if err := v.use(verified.JTI, verified.Expires+leeway); err != nil {
		return nil, err
	}
	return verified, nil
}

// signed checks form, key and signature.
func (v *Verifier) signed(token string) (typ *string, claims map[string]any, err error) {
	parts := strings.Split(token, ".")
	if len(token) > 8192 || len(parts) != 3 {
		return nil, nil, malformed("not three segments")
	}
	var raw [3][]byte
	for i, part := range parts {
		raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part)
		// The decoder passes over line breaks.
		if err != nil || part == "" || strings.ContainsAny(part, "\r\n") {
			return nil, nil, malformed("not canonical base64url")
		}
	}
	header, err := readObject(raw[0])
	if err != nil {
		return nil, nil, err
	}
	if claims, err = readObject(raw[1]); err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"crit", "b64", "zip", "enc", "jwk", "jku", "x5u"} {
		if _, there := header[name]; there {
			return nil, nil, malformed("a header that chooses a key or changes the meaning")
		}
	}
	alg, fine := header["alg"].(string)
	kid, kidFine := optional(header, "kid")
	typ, typFine := optional(header, "typ")
	if !fine || !kidFine || !typFine || (kid != nil && utf8.RuneCountInString(*kid) > 512) {
		return nil, nil, malformed("`alg`, `kid` or `typ` is not a string")
	}
	key, err := v.Keys.find(alg, kid)
	if err != nil {
		return nil, nil, err
	}
	if !key.verify([]byte(token[:strings.LastIndex(token, ".")]), raw[2]) {
		return nil, nil, &Refused{"signature", "the signature does not verify"}
	}
	return typ, claims, nil
}

func (v *Verifier) checkClaims(claims map[string]any, typ *string) error {
	if claims["iss"] != v.Issuer {
		return &Refused{"issuer", "`iss` is not this gateway"}
	}
	if typ == nil || strings.TrimPrefix(strings.ToLower(*typ), "application/") != "at+jwt" {
		return &Refused{"typ", "`typ` is not at+jwt"}
	}
	if _, there := claims["events"]; there {
		return &Refused{"typ", "a security event, not an access token"}
	}
	if claims["aud"] != v.Audience {
		return &Refused{"audience", "`aud` is not this server, as one string"}
	}
	if err := v.checkTimes(claims); err != nil {
		return err
	}
	if subject, fine := claims["sub"].(string); !fine || !isName(subject) || strings.ContainsFunc(subject, unseen) {
		return &Refused{"subject", "`sub` is not a string of 1 to 255 visible characters"}
	}
	if _, there := claims["cnf"]; there {
		return &Refused{"confirmation", "the token is bound to a key and came without the proof"}
	}
	return nil
}

func (v *Verifier) checkTimes(claims map[string]any) error {
	var times [3]float64
	for i, name := range []string{"exp", "nbf", "iat"} {
		value, there := claims[name]
		seconds, fine := value.(float64)
		if !there && name != "exp" {
			seconds = math.NaN() // no comparison with it is true
		} else if !fine || seconds < 0 || seconds > 253402300799 {
			return &Refused{"time", "`" + name + "` is not a number of seconds"}
		}
		times[i] = seconds
	}
	exp, nbf, iat := times[0], times[1], times[2]
	now := v.Now()
	switch {
	case nbf > exp || iat > exp || math.IsNaN(iat) || exp-iat > longestLife:
		return &Refused{"lifetime", "it lives too long, or contradicts itself"}
	case now >= exp+leeway:
		return &Refused{"expired", "the token is over"}
	case now < nbf-leeway || now < iat-leeway:
		return &Refused{"not_yet_valid", "`nbf` or `iat` is in the future"}
	}
	return nil
}

// checkShape is about what every call token has besides, and what this server asks for. It gives the actors.
func (v *Verifier) checkShape(claims map[string]any) (actors []string, err error) {
	for _, name := range []string{"client_id", "jti", "txn"} {
		if value, fine := claims[name].(string); !fine || !isName(value) {
			return nil, &Refused{"claim", "`" + name + "` is not a string of 1 to 255 characters"}
		}
	}
	if _, fine := claims["scope"].(string); !fine {
		return nil, &Refused{"scope", "`scope` is not a string"}
	}
	for act := claims["act"]; actors == nil || act != nil; {
		actor, _ := act.(map[string]any)
		name, there := actor["sub"]
		if !there {
			name = actor["client_id"]
		}
		if text, fine := name.(string); !fine || text == "" || len(actors) == 4 {
			return nil, &Refused{"actor", "`act` is not a chain of 1 to 4 actors with a name"}
		} else {
			actors = append(actors, text)
		}
		act = actor["act"]
	}
	for path, allowed := range v.RequiredClaims {
		said, isList := at(claims, path).([]any)
		if !isList {
			said = []any{at(claims, path)}
		}
		fits := func(one any) bool {
			return slices.ContainsFunc(allowed, func(other any) bool { return equal(one, other) })
		}
		if isNothing(at(claims, path)) || (allowed != nil && !slices.ContainsFunc(said, fits)) {
			return nil, &Refused{"claim", "`" + path + "` is missing, or not what this server asks for"}
		}
	}
	return actors, nil
}

func (v *Verifier) checkOperation(claims map[string]any, operation Operation) error {
	if claims["scope"] != ScopeOf(operation) {
		return &Refused{"scope", "the token's scope is for another operation"}
	}
	details, _ := claims["authorization_details"].([]any)
	if len(details) != 1 {
		return &Refused{"operation", "`authorization_details` is not a list of one object"}
	}
	bound, _ := details[0].(map[string]any)
	expected := map[string]any{"type": "mcp_call", "locations": []any{v.Audience}, "actions": []any{operation.Method}}
	if operation.Name != nil {
		expected["identifier"] = *operation.Name
	}
	digest, isBound := bound["arguments_digest"]
	if isBound {
		expected["arguments_digest"] = digest
	}
	if !equal(bound, expected) {
		return &Refused{"operation", "the token is for another method, name or server"}
	}
	hasArguments := operation.Method == "tools/call" || operation.Method == "prompts/get"
	switch {
	case !hasArguments && isBound:
		return &Refused{"arguments", "the token binds arguments, and this method has none"}
	case !hasArguments || (!isBound && v.Unbound):
		return nil
	case !isBound:
		return &Refused{"arguments", "the token does not bind the arguments"}
	}
	arguments := operation.Arguments
	if arguments == nil {
		arguments = jsontext.Value("{}")
	}
	form, err := canonical(arguments)
	if err != nil {
		return &Refused{"arguments", "the arguments have no canonical form"}
	}
	hash := sha256.Sum256(form)
	if digest != "sha-256:"+base64.RawURLEncoding.EncodeToString(hash[:]) {
		return &Refused{"arguments", "the token is for other arguments"}
	}
	return nil
}

// use remembers in this process alone: several that serve one audience need a store to share. Full, it forgets no living
// token.
func (v *Verifier) use(jti string, until float64) error {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if _, used := v.used[jti]; used {
		return &Refused{"replayed", "the token was used before"}
	}
	if len(v.used) >= mostUsed {
		now := v.Now()
		for jti, end := range v.used {
			if end <= now {
				delete(v.used, jti)
			}
		}
		if len(v.used) >= mostUsed {
			return &CannotTell{"the memory of used tokens is full"}
		}
	}
	if v.used == nil {
		v.used = map[string]float64{}
	}
	v.used[jti] = until
	return nil
}

// ScopeOf is the scope for a call. A tool's name is percent-encoded, all but letters, digits and -._~, so no two share one.
func ScopeOf(operation Operation) string {
	if operation.Method == "tools/call" && operation.Name != nil {
		return "mcp:tools/call:" + encode(*operation.Name)
	}
	return "mcp:" + strings.ReplaceAll(encode(operation.Method), "%2F", "/")
}

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func encode(text string) string {
	var encoded strings.Builder
	for _, one := range []byte(text) {
		if strings.IndexByte(unreserved, one) >= 0 {
			encoded.WriteByte(one)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", one)
		}
	}
	return encoded.String()
}

func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }

func malformed(what string) error { return &Refused{"malformed", "not a compact JWS: " + what} }

func readObject(text []byte) (object map[string]any, err error) {
	if checkStrictly(text, 16, 256) != nil || json.Unmarshal(text, &object) != nil || object == nil {
		return nil, malformed("header or payload is not a strict JSON object")
	}
	return object, nil
}

// optional gives a member that may be missing, but has to be a string.
func optional(object map[string]any, name string) (*string, bool) {
	value, there := object[name]
	if !there {
		return nil, true
	}
	text, fine := value.(string)
	return &text, fine
}

func isName(text string) bool { return text != "" && utf8.RuneCountInString(text) <= 255 }

func unseen(one rune) bool {
	return unicode.In(one, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Zl, unicode.Zp)
}

// at gives what is under a path with dots, or under a name that is an address.
func at(claims map[string]any, path string) any {
	steps := strings.Split(path, ".")
	if strings.Contains(path, "://") {
		steps = []string{path}
	}
	var held any = claims
	for _, step := range steps {
		object, _ := held.(map[string]any)
		held = object[step]
	}
	return held
}

func isNothing(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == ""
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	}
	return false
}

// equal compares JSON values by their text, in which a map has one order.
func equal(one, other any) bool {
	first, err := json.Marshal(one, json.Deterministic(true))
	second, otherErr := json.Marshal(other, json.Deterministic(true))
	return err == nil && otherErr == nil && bytes.Equal(first, second)
}
