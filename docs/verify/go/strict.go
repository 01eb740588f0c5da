package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// checkStrictly says whether one JSON text is one that every reader understands alike: UTF-8 without half surrogates, no member
// twice (however it is escaped), no number beyond all doubles, no more nesting than depth and no more members and elements
// than members. encoding/json would keep the last of two members.
func checkStrictly(text []byte, depth, members int) error {
	decoder := jsontext.NewDecoder(bytes.NewReader(text))
	for seen := 0; ; {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) && seen > 0 {
			return nil
		} else if err != nil {
			return errors.New("not JSON, a member twice, or not UTF-8") // the error of the library quotes the text
		}
		kind, length := decoder.StackIndex(decoder.StackDepth())
		switch token.Kind() {
		case '}', ']':
			continue
		case '{', '[':
			if decoder.StackDepth() > depth {
				return fmt.Errorf("nested deeper than %d", depth)
			}
		case '0':
			if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
				return errors.New("a number that no double can hold")
			}
		case '"':
			if kind == '{' && length%2 == 1 {
				continue // the name of a member
			}
		}
		if seen++; seen > members+1 { // the value itself is no member
			return fmt.Errorf("more than %d members", members)
		}
	}
}

// canonical is the form of RFC 8785. It has none for an integer in digits alone that a double may not hold.
func canonical(text jsontext.Value) ([]byte, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if token.Kind() != '0' || bytes.ContainsAny([]byte(token.String()), ".eE") {
			continue
		}
		if whole, err := strconv.ParseInt(token.String(), 10, 64); err != nil || whole >= 1<<53 || whole <= -1<<53 {
			return nil, errors.New("an integer that not every reader has")
		}
	}
	form := text.Clone()
	err := form.Canonicalize()
	return form, err
}
