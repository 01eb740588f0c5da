package weather;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import weather.Verifier.Verified;

/**
 * An MCP server that takes nothing but calls that the gateway countersigned, in both eras of MCP.
 *
 * <pre>
 * java -jar weather.jar --port 9000 --issuer https://gateway.example.com --audience https://weather.example.com/mcp
 * java -jar weather.jar vectors < vectors.jsonl
 * </pre>
 */
public final class Main {
    private static final String MODERN = "2026-07-28";
    private static final String LEGACY = "2025-11-25";
    private static final String VERSION = "io.modelcontextprotocol/protocolVersion";

    private Main() {}

    public static void main(String[] arguments) throws IOException, Strict.NotStrict {
        if (arguments.length == 1 && arguments[0].equals("vectors")) {
            Vectors.run();
            return;
        }
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            options.put(arguments[i], arguments[i + 1]);
        }
        if (!options.keySet().containsAll(java.util.Set.of("--port", "--issuer", "--audience"))) {
            System.err.println("usage: weather.jar --port PORT --issuer ISSUER --audience AUDIENCE");
            System.exit(2);
        }
        String issuer = options.get("--issuer");
        Verifier verifier = new Verifier(issuer, options.get("--audience"), Keys.of(issuer));
        int port = Integer.parseInt(options.get("--port"));
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/mcp", new Guard(verifier, Main::serve));
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
        System.out.println("listening on http://127.0.0.1:" + port);
    }

    /** What the message asks for was verified; this is the server itself. */
    private static void serve(HttpExchange exchange, ObjectNode message, Verified verified) throws IOException {
        if (message == null) { // no stream of its own, and no sessions
            Guard.send(exchange, 405, null);
        } else if (!message.has("method") || !message.has("id")) { // an answer, or a notification
            Guard.send(exchange, 202, null);
        } else {
            boolean modern = MODERN.equals(message.path("params").path("_meta").path(VERSION).textValue());
            ObjectNode answer = Strict.JSON.createObjectNode().put("jsonrpc", "2.0");
            answer.set("id", message.get("id"));
            ObjectNode result = answer.putObject("result");
            int code = fill(result, message.get("method").textValue(), message.path("params"), modern, verified);
            if (code != 0) {
                answer.remove("result");
                answer.putObject("error").put("code", code).put("message", code == -32601 ? "no such method" : "no such tool");
            }
            Guard.send(exchange, code == -32601 && modern ? 404 : 200, answer);
        }
    }

    /** Writes the result of a method; a code of JSON-RPC where there is none, else 0. */
    private static int fill(ObjectNode result, String method, JsonNode params, boolean modern, Verified verified) {
        if (modern) {
            result.put("resultType", "complete");
            ObjectNode info = result.putObject("_meta").putObject("io.modelcontextprotocol/serverInfo");
            info.put("name", "weather").put("version", "1.0.0");
        }
        if (modern && (method.equals("tools/list") || method.equals("server/discover"))) {
            result.put("ttlMs", 0).put("cacheScope", "private");
        }
        switch (method + (modern ? "" : " of a session")) {
            case "server/discover" -> {
                result.putArray("supportedVersions").add(MODERN).add(LEGACY);
                result.putObject("capabilities").putObject("tools");
            }
            case "initialize of a session" -> {
                result.put("protocolVersion", LEGACY).putObject("capabilities").putObject("tools");
                result.putObject("serverInfo").put("name", "weather").put("version", "1.0.0");
            }
            case "ping of a session" -> { }
            case "tools/list", "tools/list of a session" -> {
                ObjectNode tool = result.putArray("tools").addObject().put("name", "get_weather");
                ObjectNode schema = tool.put("description", "The weather in a city.").putObject("inputSchema");
                schema.put("type", "object").putArray("required").add("city");
                schema.putObject("properties").putObject("city").put("type", "string");
            }
            case "tools/call", "tools/call of a session" -> {
                if (!params.get("name").textValue().equals("get_weather")) {
                    return -32602;
                }
                String city = params.path("arguments").path("city").textValue();
                System.out.println("get_weather was called for " + verified.subject());
                String text = city == null ? "`city` is missing" : city + " for " + verified.subject();
                result.putArray("content").addObject().put("type", "text").put("text", text);
                result.put("isError", city == null);
            }
            default -> {
                return -32601;
            }
        }
        return 0;
    }
}
