package weather;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.DoubleSupplier;

/**
 * Checks a call token against the call that came with it, in the order of docs/verifying.md. Single use comes last: only a token
 * that was good for this call is used up by it.
 */
final class Verifier {
    private static final double LEEWAY = 30;
    private static final double LONGEST_LIFE = 900;
    private static final int MOST_USED = 200_000;
    private static final Set<String> WITH_ARGUMENTS = Set.of("tools/call", "prompts/get");

    /** What a call asks for. name: of the tool or prompt, or the resource's URI; or null. arguments: as Strict read them; or null. */
    record Operation(String method, String name, JsonNode arguments) {}

    /** What a token said that was good for its call. actors: the immediate one first. expires: seconds since 1970. */
    record Verified(
            String subject, List<String> actors, String clientId, String scope, String jti, String txn, double expires,
            JsonNode claims) {}

    private final String issuer;
    private final String audience;
    private final Keys keys;
    private final DoubleSupplier now;
    private final Map<String, JsonNode> requiredClaims;
    private final boolean requireArguments;
    private final Map<String, Double> used = new HashMap<>(); // jti -> when it may be forgotten

    Verifier(String issuer, String audience, Keys keys) {
        this(issuer, audience, keys, () -> System.currentTimeMillis() / 1000.0, Map.of(), true);
    }

    /**
     * now: seconds since 1970. requiredClaims: what a token must say besides: path -> the values of which one will do, or null
     * for any. requireArguments: false for a gateway with `bind_arguments: false`.
     */
    Verifier(String issuer, String audience, Keys keys, DoubleSupplier now, Map<String, JsonNode> requiredClaims,
            boolean requireArguments) {
        this.issuer = issuer;
        this.audience = audience;
        this.keys = keys;
        this.now = now;
        this.requiredClaims = requiredClaims;
        this.requireArguments = requireArguments;
    }

    Verified verify(String token, Operation operation) throws Refused, CannotTell {
        String[] parts = token.split("\\.", -1);
        if (token.length() > 8192 || parts.length != 3) {
            throw malformed("not three segments");
        }
        ObjectNode header = readObject(decode(parts[0]));
        ObjectNode claims = readObject(decode(parts[1]));
        byte[] signature = decode(parts[2]);
        checkSignature(header, token.substring(0, token.lastIndexOf('.')), signature);
        checkClaims(claims, header.get("typ"));
        List<String> actors = checkShape(claims);
        checkOperation(claims, operation);
        double expires = claims.get("exp").doubleValue();
        use(claims.get("jti").textValue(), expires + LEEWAY);
        return new Verified(claims.get("sub").textValue(), actors, claims.get("client_id").textValue(),
                claims.get("scope").textValue(), claims.get("jti").textValue(), claims.get("txn").textValue(), expires, claims);
    }

    private void checkSignature(ObjectNode header, String signed, byte[] signature) throws Refused, CannotTell {
        for (String name : List.of("crit", "b64", "zip", "enc", "jwk", "jku", "x5u")) {
            if (header.has(name)) {
                throw malformed("a header that chooses a key or changes the meaning");
            }
        }
        for (String name : List.of("alg", "kid", "typ")) {
            if (header.has(name) ? !header.get(name).isTextual() : name.equals("alg")) {
                throw malformed("`alg`, `kid` or `typ` is not a string");
            }
        }
        String kid = header.path("kid").textValue();
        if (kid != null && length(kid) > 512) {
            throw malformed("`kid` is too long");
        }
        Keys.Key key = keys.find(header.get("alg").textValue(), kid);
        if (!key.verifies(signed.getBytes(StandardCharsets.US_ASCII), signature)) {
            throw new Refused("signature", "the signature does not verify");
        }
    }

    private void checkClaims(ObjectNode claims, JsonNode typ) throws Refused {
        if (!issuer.equals(claims.path("iss").textValue())) {
            throw new Refused("issuer", "`iss` is not this gateway");
        }
        if (typ == null || !typ.textValue().toLowerCase(Locale.ROOT).replaceFirst("^application/", "").equals("at+jwt")) {
            throw new Refused("typ", "`typ` is not at+jwt");
        }
        if (claims.has("events")) {
            throw new Refused("typ", "a security event, not an access token");
        }
        if (!audience.equals(claims.path("aud").textValue())) {
            throw new Refused("audience", "`aud` is not this server, as one string");
        }
        checkTimes(claims);
        String subject = claims.path("sub").textValue();
        if (!isName(subject) || subject.codePoints().anyMatch(Verifier::isUnseen)) {
            throw new Refused("subject", "`sub` is not a string of 1 to 255 visible characters");
        }
        if (claims.has("cnf")) {
            throw new Refused("confirmation", "the token is bound to a key and came without the proof");
        }
    }

    private void checkTimes(ObjectNode claims) throws Refused {
        double[] times = new double[3];
        String[] names = {"exp", "nbf", "iat"};
        for (int i = 0; i < names.length; i++) {
            JsonNode value = claims.get(names[i]);
            if (value == null && i > 0) {
                times[i] = Double.NaN; // no comparison with it is true
            } else if (value == null || !value.isNumber() || value.doubleValue() < 0 || value.doubleValue() > 253402300799.0) {
                throw new Refused("time", "`" + names[i] + "` is not a number of seconds");
            } else {
                times[i] = value.doubleValue();
            }
        }
        double exp = times[0], nbf = times[1], iat = times[2], instant = now.getAsDouble();
        if (nbf > exp || iat > exp || Double.isNaN(iat) || exp - iat > LONGEST_LIFE) {
            throw new Refused("lifetime", "it lives too long, or contradicts itself");
        }
        if (instant >= exp + LEEWAY) {
            throw new Refused("expired", "the token is over");
        }
        if (instant < nbf - LEEWAY || instant < iat - LEEWAY) {
            throw new Refused("not_yet_valid", "`nbf` or `iat` is in the future");
        }
    }

    /** What every call token has besides, and what this server asks for; the actors. */
    private List<String> checkShape(ObjectNode claims) throws Refused {
        for (String name : List.of("client_id", "jti", "txn")) {
            if (!isName(claims.path(name).textValue())) {
                throw new Refused("claim", "`" + name + "` is not a string of 1 to 255 characters");
            }
        }
        if (!claims.path("scope").isTextual()) {
            throw new Refused("scope", "`scope` is not a string");
        }
        List<String> actors = new ArrayList<>();
        JsonNode act = claims.path("act");
        do {
            String name = act.path(act.has("sub") ? "sub" : "client_id").textValue();
            if (name == null || name.isEmpty() || actors.size() == 4) {
                throw new Refused("actor", "`act` is not a chain of 1 to 4 actors with a name");
            }
            actors.add(name);
            act = act.path("act");
        } while (!act.isMissingNode() && !act.isNull());
        for (Map.Entry<String, JsonNode> asked : requiredClaims.entrySet()) {
            JsonNode held = claims;
            for (String step : asked.getKey().contains("://") ? new String[] {asked.getKey()} : asked.getKey().split("\\.")) {
                held = held.path(step);
            }
            if (isNothing(held) || (asked.getValue() != null && !oneFits(held, asked.getValue()))) {
                throw new Refused("claim", "`" + asked.getKey() + "` is missing, or not what this server asks for");
            }
        }
        return actors;
    }

    private void checkOperation(ObjectNode claims, Operation operation) throws Refused {
        if (!scopeOf(operation).equals(claims.get("scope").textValue())) {
            throw new Refused("scope", "the token's scope is for another operation");
        }
        JsonNode details = claims.path("authorization_details");
        if (!details.isArray() || details.size() != 1) {
            throw new Refused("operation", "`authorization_details` is not a list of one object");
        }
        JsonNode bound = details.get(0);
        ObjectNode expected = JsonNodeFactory.instance.objectNode();
        expected.put("type", "mcp_call").putArray("locations").add(audience);
        expected.putArray("actions").add(operation.method);
        if (operation.name != null) {
            expected.put("identifier", operation.name);
        }
        JsonNode digest = bound.get("arguments_digest");
        if (digest != null) {
            expected.set("arguments_digest", digest);
        }
        if (!bound.equals(expected)) {
            throw new Refused("operation", "the token is for another method, name or server");
        }
        if (!WITH_ARGUMENTS.contains(operation.method)) {
            if (digest != null) {
                throw new Refused("arguments", "the token binds arguments, and this method has none");
            }
        } else if (digest == null) {
            if (requireArguments) {
                throw new Refused("arguments", "the token does not bind the arguments");
            }
        } else if (!digestOf(operation.arguments).equals(digest.textValue())) {
            throw new Refused("arguments", "the token is for other arguments");
        }
    }

    /** In this process alone: several that serve one audience need a store to share. Full, it forgets no living token. */
    private synchronized void use(String jti, double until) throws Refused, CannotTell {
        if (used.containsKey(jti)) {
            throw new Refused("replayed", "the token was used before");
        }
        if (used.size() >= MOST_USED) {
            double instant = now.getAsDouble();
            used.values().removeIf(end -> end <= instant);
            if (used.size() >= MOST_USED) {
                throw new CannotTell("the memory of used tokens is full");
            }
        }
        used.put(jti, until);
    }

    /** The scope for a call. A tool's name is percent-encoded, all but letters, digits and `-._~`, so no two share one. */
    static String scopeOf(Operation operation) {
        if (operation.method.equals("tools/call") && operation.name != null) {
            return "mcp:tools/call:" + encode(operation.name);
        }
        return "mcp:" + encode(operation.method).replace("%2F", "/");
    }

    private static String encode(String text) {
        StringBuilder encoded = new StringBuilder();
        for (byte one : text.getBytes(StandardCharsets.UTF_8)) {
            String character = String.valueOf((char) one);
            encoded.append(one > 0 && character.matches("[A-Za-z0-9._~-]") ? character : String.format("%%%02X", one));
        }
        return encoded.toString();
    }

    private static String digestOf(JsonNode arguments) throws Refused {
        try {
            byte[] form = Strict.canonical(arguments == null ? JsonNodeFactory.instance.objectNode() : arguments);
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(form);
            return "sha-256:" + Base64.getUrlEncoder().withoutPadding().encodeToString(hash);
        } catch (Strict.NotStrict error) {
            throw new Refused("arguments", "the arguments have no canonical form");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Canonical base64url: the decoder takes padding, and bits beyond the last byte. */
    private static byte[] decode(String segment) throws Refused {
        try {
            byte[] bytes = Base64.getUrlDecoder().decode(segment);
            if (bytes.length > 0 && Base64.getUrlEncoder().withoutPadding().encodeToString(bytes).equals(segment)) {
                return bytes;
            }
        } catch (IllegalArgumentException error) {
            // as below
        }
        throw malformed("not canonical base64url");
    }

    private static ObjectNode readObject(byte[] text) throws Refused {
        try {
            if (Strict.read(text, 16, 256) instanceof ObjectNode object) {
                return object;
            }
        } catch (Strict.NotStrict error) {
            // as below
        }
        throw malformed("header or payload is not a strict JSON object");
    }

    private static Refused malformed(String what) {
        return new Refused("malformed", "not a compact JWS: " + what);
    }

    private static int length(String text) {
        return text.codePointCount(0, text.length());
    }

    private static boolean isName(String text) {
        return text != null && !text.isEmpty() && length(text) <= 255;
    }

    private static boolean isUnseen(int character) {
        return switch (Character.getType(character)) {
            case Character.CONTROL, Character.FORMAT, Character.SURROGATE, Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> true;
            default -> false;
        };
    }

    private static boolean isNothing(JsonNode value) {
        return value.isMissingNode() || value.isNull() || (value.isTextual() && value.textValue().isEmpty())
                || (value.isContainerNode() && value.isEmpty());
    }

    private static boolean oneFits(JsonNode held, JsonNode allowed) {
        for (JsonNode one : held.isArray() ? held : JsonNodeFactory.instance.arrayNode().add(held)) {
            for (JsonNode value : allowed) {
                if (one.equals(value)) {
                    return true;
                }
            }
        }
        return false;
    }
}
