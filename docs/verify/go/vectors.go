package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type presented struct {
	Call  Operation `json:"call"`
	Token string    `json:"token"`
}

// runVectors runs test vectors, one JSON object a line of standard input, through the very same verifier. It prints
// `ID accept`, `ID refuse REASON` or `ID cannot_tell` for each.
func runVectors() error {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil
		}
		var vector struct {
			presented `json:",inline"`
			ID        string         `json:"id"`
			Issuer    string         `json:"issuer"`
			Audience  string         `json:"audience"`
			Now       float64        `json:"now"`
			JWKS      jsontext.Value `json:"jwks"`
			After     []presented    `json:"after"`
			Options   struct {
				RequiredClaims   map[string][]any `json:"required_claims"`
				RequireArguments *bool            `json:"require_arguments"`
			} `json:"options"`
		}
		if err := json.Unmarshal(line, &vector); err != nil {
			return err
		}
		verifier := &Verifier{
			Issuer:         vector.Issuer,
			Audience:       vector.Audience,
			Keys:           &Keys{load: func() ([]byte, error) { return vector.JWKS, nil }},
			RequiredClaims: vector.Options.RequiredClaims,
			Unbound:        vector.Options.RequireArguments != nil && !*vector.Options.RequireArguments,
			Now:            func() float64 { return vector.Now },
		}
		for _, before := range vector.After {
			outcome(verifier, before)
		}
		fmt.Println(vector.ID, outcome(verifier, vector.presented))
	}
}

func outcome(verifier *Verifier, one presented) string {
	_, err := verifier.Verify(one.Token, one.Call)
	var refused *Refused
	switch {
	case err == nil:
		return "accept"
	case errors.As(err, &refused):
		return "refuse " + refused.Reason
	}
	return "cannot_tell"
}
