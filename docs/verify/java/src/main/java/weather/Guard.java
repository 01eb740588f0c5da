package weather;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import java.io.IOException;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import weather.Verifier.Operation;
import weather.Verifier.Verified;

/** Lets a message through to an MCP server if the call token in its header was made for it, whatever its method. */
final class Guard implements HttpHandler {
    private static final System.Logger LOG = System.getLogger("weather");
    private static final int LONGEST_BODY = 4 * 1024 * 1024;
    private static final Pattern BEARER = Pattern.compile("(?i:bearer) ([A-Za-z0-9._~+/=-]+)");
    private static final Map<String, String> NAMED_BY = Map.of("tools/call", "name", "prompts/get", "name",
            "resources/read", "uri", "resources/subscribe", "uri", "resources/unsubscribe", "uri");
    private static final Map<String, String> REFERRED_BY = Map.of("ref/prompt", "name", "ref/resource", "uri");
    private static final Set<String> WITH_ARGUMENTS = Set.of("tools/call", "prompts/get");
    /** Until the signature holds all refusals look the same. */
    private static final Set<String> SAY_NOTHING = Set.of("malformed", "algorithm", "key_unknown", "signature", "issuer");

    /** What is guarded. message: null for a GET or DELETE. It answers by `Guard.send`. */
    interface Server {
        void serve(HttpExchange exchange, ObjectNode message, Verified verified) throws IOException;
    }

    /** An answer in place of the server's. challenge: null for none. */
    private static final class NoCall extends Exception {
        final int status;
        final int code;
        final String reason;
        final String challenge;

        NoCall(int status, int code, String reason, String message, String challenge) {
            super(message);
            this.status = status;
            this.code = code;
            this.reason = reason;
            this.challenge = challenge;
        }
    }

    private final Verifier verifier;
    private final Server server;

    Guard(Verifier verifier, Server server) {
        this.verifier = verifier;
        this.server = server;
    }

    @Override
    public void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            ObjectNode message = null;
            Operation operation = null;
            Verified verified;
            try {
                String token = bearerToken(exchange);
                if (exchange.getRequestMethod().equals("POST")) {
                    message = parse(exchange.getRequestBody().readNBytes(LONGEST_BODY + 1));
                }
                operation = message == null ? withoutBody(exchange) : operationOf(message);
                verified = verifier.verify(token, operation);
            } catch (NoCall | Refused | CannotTell error) {
                refuse(exchange, asNoCall(error, operation), message);
                return;
            }
            server.serve(exchange, message, verified);
        } catch (RuntimeException error) {
            LOG.log(System.Logger.Level.ERROR, "a call failed", error);
            throw error;
        }
    }

    /** body: null for none. */
    static void send(HttpExchange exchange, int status, JsonNode body) throws IOException {
        if (body == null) {
            exchange.sendResponseHeaders(status, -1);
            return;
        }
        byte[] bytes = Strict.JSON.writeValueAsBytes(body);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
    }

    private static String bearerToken(HttpExchange exchange) throws NoCall {
        List<String> values = exchange.getRequestHeaders().getOrDefault("Authorization", List.of());
        if (values.size() > 1) {
            throw new NoCall(400, 40001, "ambiguous_credentials", "more than one Authorization header", null);
        }
        Matcher match = BEARER.matcher(values.isEmpty() ? "" : values.get(0));
        if (!match.matches()) {
            throw new NoCall(401, 40101, "credential_missing", "no call token: send it as a bearer token", "Bearer");
        }
        return match.group(1);
    }

    private static ObjectNode parse(byte[] body) throws NoCall {
        if (body.length > LONGEST_BODY) {
            throw new NoCall(413, 41301, "too_large", "the body is longer than " + LONGEST_BODY + " bytes", null);
        }
        try {
            if (Strict.read(body, 64, 100_000) instanceof ObjectNode message) {
                return message;
            }
        } catch (Strict.NotStrict error) {
            throw new NoCall(400, -32700, "parse_error", "the body is not strict JSON: " + error.getMessage(), null);
        }
        throw invalid("the body as one JSON object");
    }

    private static Operation withoutBody(HttpExchange exchange) throws NoCall {
        switch (exchange.getRequestMethod()) {
            case "GET":
                return new Operation("io.counterseal/stream", null, null);
            case "DELETE":
                return new Operation("io.counterseal/end-session", null, null);
            default:
                exchange.getResponseHeaders().set("Allow", "POST, GET, DELETE");
                throw new NoCall(405, 40501, "http_method_refused", "use POST, GET or DELETE", null);
        }
    }

    /** What a message asks for. Who serves it must read it the same way, so what has two readings asks for nothing. */
    private static Operation operationOf(ObjectNode message) throws NoCall {
        boolean answers = message.has("result") || message.has("error");
        if (!message.has("method") && answers) {
            return new Operation("io.counterseal/reply", null, null);
        }
        String method = message.path("method").textValue();
        if (method == null || answers) {
            throw invalid("`method` as a string, and no `result`");
        }
        JsonNode params = message.path("params");
        if (!params.isMissingNode() && !params.isObject()) {
            throw invalid("`params` as an object");
        }
        JsonNode holder = params;
        String member = NAMED_BY.get(method);
        if (method.equals("completion/complete")) {
            holder = params.path("ref");
            member = REFERRED_BY.get(holder.path("type").asText());
            if (member == null) {
                throw invalid("`params.ref` as a reference to a prompt or resource");
            }
        }
        String name = member == null ? null : holder.path(member).textValue();
        if (member != null && name == null) {
            throw invalid("`" + member + "` as a string");
        }
        JsonNode arguments = WITH_ARGUMENTS.contains(method) ? params.get("arguments") : null;
        if (arguments != null && !arguments.isObject()) {
            throw invalid("`params.arguments` as an object");
        }
        return new Operation(method, name, arguments);
    }

    private static NoCall invalid(String expected) {
        return new NoCall(400, -32600, "invalid_request", "expected " + expected, null);
    }

    private static NoCall asNoCall(Exception error, Operation operation) {
        if (error instanceof NoCall noCall) {
            return noCall;
        }
        if (!(error instanceof Refused refused)) {
            LOG.log(System.Logger.Level.WARNING, "a call could not be verified: {0}", error.getMessage());
            return new NoCall(503, 50350, "unavailable", "the call token cannot be verified now", null);
        }
        LOG.log(System.Logger.Level.WARNING, "a call was refused: {0}: {1}", refused.reason, refused.getMessage());
        int status = refused.status();
        String challenge = "Bearer error=\"invalid_token\"";
        if (status == 403) {
            String scope = Verifier.scopeOf(operation);
            challenge = "Bearer error=\"insufficient_scope\"" + (scope.length() > 512 ? "" : ", scope=\"" + scope + "\"");
        }
        boolean hidden = SAY_NOTHING.contains(refused.reason);
        return new NoCall(status, status * 100 + 50, hidden ? "invalid_token" : refused.reason,
                hidden ? "the call token is not valid here" : refused.getMessage(), challenge);
    }

    private static void refuse(HttpExchange exchange, NoCall noCall, ObjectNode message) throws IOException {
        ObjectNode answer = Strict.JSON.createObjectNode().put("jsonrpc", "2.0");
        JsonNode id = message == null ? null : message.get("id");
        answer.set("id", id != null && (id.isTextual() || id.isIntegralNumber()) ? id : null);
        ObjectNode error = answer.putObject("error").put("code", noCall.code).put("message", noCall.getMessage());
        error.putObject("data").put("reason", noCall.reason);
        exchange.getResponseHeaders().set("Cache-Control", "no-store");
        if (noCall.challenge != null) {
            exchange.getResponseHeaders().set("WWW-Authenticate", noCall.challenge);
        }
        if (noCall.status == 503) {
            exchange.getResponseHeaders().set("Retry-After", "5");
        }
        send(exchange, noCall.status, answer);
    }
}
