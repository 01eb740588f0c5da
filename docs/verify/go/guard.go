package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const longestBody = 4 << 20

// noCall is an answer in place of the server's.
type noCall struct {
	status, code    int
	reason, message string
	challenge       string
}

var (
	bearer = regexp.MustCompile(`^(?i:bearer) ([\w.~+/=-]+)$`)
	// The member of params that names what is acted on.
	namedBy = map[string]string{
		"tools/call": "name", "prompts/get": "name",
		"resources/read": "uri", "resources/subscribe": "uri", "resources/unsubscribe": "uri",
	}
	referredBy = map[string]string{"ref/prompt": "name", "ref/resource": "uri"}
	// Until the signature holds all refusals look the same.
	sayNothing = []string{"malformed", "algorithm", "key_unknown", "signature", "issuer"}
)

type verifiedKey struct{}

// VerifiedOf is who calls: for what runs behind Guard.
func VerifiedOf(ctx context.Context) *Verified { return ctx.Value(verifiedKey{}).(*Verified) }

// Guard lets a message through to an MCP server if the call token in its header was made for it, whatever its method.
func Guard(verifier *Verifier, server http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		var id jsontext.Value
		token, refused := bearerToken(request)
		var operation Operation
		if refused == nil {
			operation, id, refused = operationOf(writer, request)
		}
		var verified *Verified
		if refused == nil {
			var err error
			if verified, err = verifier.Verify(token, operation); err != nil {
				refused = refusalOf(err, operation)
			}
		}
		if refused != nil {
			refused.answer(writer, id)
			return
		}
		server.ServeHTTP(writer, request.WithContext(context.WithValue(request.Context(), verifiedKey{}, verified)))
	})
}

func bearerToken(request *http.Request) (string, *noCall) {
	values := request.Header.Values("Authorization")
	if len(values) > 1 {
		return "", &noCall{400, 40001, "ambiguous_credentials", "more than one Authorization header", ""}
	}
	if len(values) == 1 {
		if match := bearer.FindStringSubmatch(values[0]); match != nil {
			return match[1], nil
		}
	}
	return "", &noCall{401, 40101, "credential_missing", "no call token: send it as a bearer token", "Bearer"}
}

// operationOf reads the body, which can be read once more after, and gives what it asks for.
func operationOf(writer http.ResponseWriter, request *http.Request) (Operation, jsontext.Value, *noCall) {
	switch request.Method {
	case http.MethodGet:
		return Operation{Method: "io.counterseal/stream"}, nil, nil
	case http.MethodDelete:
		return Operation{Method: "io.counterseal/end-session"}, nil, nil
	case http.MethodPost:
	default:
		writer.Header().Set("Allow", "POST, GET, DELETE")
		return Operation{}, nil, &noCall{405, 40501, "http_method_refused", "use POST, GET or DELETE", ""}
	}
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, longestBody))
	if err != nil {
		return Operation{}, nil, &noCall{413, 41301, "too_large", "the body is too long, or was cut off", ""}
	}
	if err := checkStrictly(body, 64, 100_000); err != nil {
		return Operation{}, nil, &noCall{400, -32700, "parse_error", "the body is not strict JSON: " + err.Error(), ""}
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	operation, id, err := read(body)
	if err != nil {
		return operation, id, &noCall{400, -32600, "invalid_request", err.Error(), ""}
	}
	return operation, id, nil
}

// read says what a message asks for. Who serves it must read it the same way, so what has two readings asks for nothing.
func read(body []byte) (operation Operation, id jsontext.Value, err error) {
	message := membersOf(body)
	if message == nil {
		return operation, nil, errors.New("the body is not one JSON object")
	}
	id = message["id"]
	answers := message["result"] != nil || message["error"] != nil
	if message["method"] == nil && answers {
		return Operation{Method: "io.counterseal/reply"}, id, nil
	}
	method := textOf(message["method"])
	if method == nil || answers {
		return operation, id, errors.New("expected `method` as a string, and no `result`")
	}
	operation.Method = *method
	params := map[string]jsontext.Value{}
	if given, there := message["params"]; there {
		if params = membersOf(given); params == nil {
			return operation, id, errors.New("expected `params` as an object")
		}
	}
	holder, member := params, namedBy[*method]
	if *method == "completion/complete" {
		holder = membersOf(params["ref"])
		if kind := textOf(holder["type"]); kind != nil {
			member = referredBy[*kind]
		}
		if member == "" {
			return operation, id, errors.New("expected `params.ref` as a reference to a prompt or resource")
		}
	}
	if member != "" {
		if operation.Name = textOf(holder[member]); operation.Name == nil {
			return operation, id, errors.New("expected `" + member + "` as a string")
		}
	}
	if *method == "tools/call" || *method == "prompts/get" {
		operation.Arguments = params["arguments"]
		if operation.Arguments != nil && operation.Arguments.Kind() != '{' {
			return operation, id, errors.New("expected `params.arguments` as an object")
		}
	}
	return operation, id, nil
}

// membersOf gives the members of an object, by their exact names; nil for what is none.
func membersOf(text []byte) (members map[string]jsontext.Value) {
	if jsontext.Value(text).Kind() != '{' || json.Unmarshal(text, &members) != nil {
		return nil
	}
	return members
}

func textOf(value jsontext.Value) (text *string) {
	if value.Kind() != '"' || json.Unmarshal(value, &text) != nil {
		return nil
	}
	return text
}

func refusalOf(err error, operation Operation) *noCall {
	var refused *Refused
	if !errors.As(err, &refused) {
		log.Printf("a call could not be verified: %v", err)
		return &noCall{503, 50350, "unavailable", "the call token cannot be verified now", ""}
	}
	log.Printf("a call was refused: %s: %s", refused.Reason, refused.Message)
	status := refused.Status()
	challenge := `Bearer error="invalid_token"`
	if status == 403 {
		challenge = `Bearer error="insufficient_scope"`
		if scope := ScopeOf(operation); len(scope) <= 512 {
			challenge += `, scope="` + scope + `"`
		}
	}
	if slices.Contains(sayNothing, refused.Reason) {
		return &noCall{status, status*100 + 50, "invalid_token", "the call token is not valid here", challenge}
	}
	return &noCall{status, status*100 + 50, refused.Reason, refused.Message, challenge}
}

// answer: id is that of the message, which stands in the error if it is a string or a number.
func (n *noCall) answer(writer http.ResponseWriter, id jsontext.Value) {
	if kind := id.Kind(); kind != '"' && kind != '0' {
		id = jsontext.Value("null")
	}
	header := writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	if n.challenge != "" {
		header.Set("WWW-Authenticate", n.challenge)
	}
	if n.status == 503 {
		header.Set("Retry-After", "5")
	}
	writer.WriteHeader(n.status)
	problem := map[string]any{"code": n.code, "message": n.message, "data": map[string]any{"reason": n.reason}}
	_ = json.MarshalWrite(writer, map[string]any{"jsonrpc": "2.0", "id": id, "error": problem})
}
