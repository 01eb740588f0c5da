// An MCP server that takes nothing but calls that the gateway countersigned. On the official SDK, in both eras of MCP.
//
//	weather --port 9000 --issuer https://gateway.example.com --audience https://weather.example.com/mcp
//	weather vectors < vectors.jsonl
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type weather struct {
	City string `json:"city"`
}

func weatherServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "weather", Version: "1.0.0"}, nil)
	schema := json.RawMessage(`{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}`)
	tool := &mcp.Tool{Name: "get_weather", Description: "The weather in a city.", InputSchema: schema}
	mcp.AddTool(server, tool, func(
		_ context.Context, request *mcp.CallToolRequest, asked weather,
	) (*mcp.CallToolResult, any, error) {
		verified := request.Extra.TokenInfo.Extra["verified"].(*Verified)
		log.Printf("get_weather was called for %s", verified.Subject)
		text := &mcp.TextContent{Text: asked.City + " for " + verified.Subject}
		return &mcp.CallToolResult{Content: []mcp.Content{text}}, nil, nil
	})
	return server
}

// tokenInfo tells the SDK who calls: what Guard verified.
func tokenInfo(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
	verified := VerifiedOf(ctx)
	return &auth.TokenInfo{
		Scopes:     []string{verified.Scope},
		UserID:     verified.Subject,
		Expiration: time.Unix(int64(verified.Expires+leeway)+1, 0),
		Extra:      map[string]any{"verified": verified},
	}, nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "vectors" {
		if err := runVectors(); err != nil {
			log.Fatal(err)
		}
		return
	}
	port := flag.Int("port", 9000, "where to listen, on this machine")
	issuer := flag.String("issuer", "", "the gateway's issuer")
	audience := flag.String("audience", "", "this server's url, as the gateway has it")
	flag.Parse()
	keys, err := KeysOf(*issuer)
	if err != nil || *audience == "" {
		log.Fatalf("--issuer and --audience are needed: %v", err)
	}
	verifier := &Verifier{Issuer: *issuer, Audience: *audience, Keys: keys, Now: now}
	server := weatherServer()
	serve := func(*http.Request) *mcp.Server { return server }
	handler := mcp.NewStreamableHTTPHandler(serve, &mcp.StreamableHTTPOptions{Stateless: true})
	guarded := Guard(verifier, auth.RequireBearerToken(tokenInfo, nil)(handler))
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", listener.Addr())
	log.Fatal((&http.Server{Handler: guarded, ReadHeaderTimeout: 10 * time.Second}).Serve(listener))
}
