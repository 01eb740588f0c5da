package weather;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import org.erdtman.jcs.JsonCanonicalizer;

/** JSON that every reader understands alike, and its canonical form. As it comes, Jackson keeps the last of two members. */
final class Strict {
    static final ObjectMapper JSON = new ObjectMapper(
            JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private static final long SAFE = (1L << 53) - 1;

    private Strict() {}

    /** The text is not JSON that every reader understands alike. The message quotes nothing of it. */
    static final class NotStrict extends Exception {
        NotStrict(String message) {
            super(message);
        }
    }

    private record Held(JsonNode node, int depth) {}

    /**
     * The value of one JSON text in UTF-8: no member twice (however it is escaped), no half of a surrogate pair, no number
     * beyond all doubles, no more nesting than depth and no more members and elements than members.
     */
    static JsonNode read(byte[] bytes, int depth, int members) throws NotStrict {
        JsonNode value;
        try {
            // Jackson would guess UTF-16, and pass over a byte order mark.
            value = JSON.readTree(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString());
        } catch (CharacterCodingException | JsonProcessingException error) {
            throw new NotStrict("not JSON in UTF-8, or a member twice");
        }
        if (value.isMissingNode()) {
            throw new NotStrict("nothing");
        }
        Deque<Held> left = new ArrayDeque<>();
        left.push(new Held(value, 1));
        int seen = 0;
        while (!left.isEmpty()) {
            Held held = left.pop();
            JsonNode node = held.node;
            if (node.isContainerNode() && held.depth > depth) {
                throw new NotStrict("nested deeper than " + depth);
            }
            if ((seen += node.size()) > members) {
                throw new NotStrict("more than " + members + " members");
            }
            if (node.isFloatingPointNumber() && !Double.isFinite(node.doubleValue())) {
                throw new NotStrict("a number that no double can hold");
            }
            if (node.isTextual()) {
                whole(node.textValue());
            }
            for (Map.Entry<String, JsonNode> member : node.properties()) {
                whole(member.getKey());
            }
            node.forEach(child -> left.push(new Held(child, held.depth + 1)));
        }
        return value;
    }

    private static void whole(String text) throws NotStrict {
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            throw new NotStrict("half of a surrogate pair");
        }
    }

    /** RFC 8785. There is none for an integer in digits alone that not every reader has. */
    static byte[] canonical(JsonNode value) throws NotStrict {
        Deque<JsonNode> left = new ArrayDeque<>();
        left.push(value);
        while (!left.isEmpty()) {
            JsonNode node = left.pop();
            if (node.isIntegralNumber()
                    && (!node.canConvertToLong() || node.longValue() > SAFE || node.longValue() < -SAFE)) {
                throw new NotStrict("an integer that not every reader has");
            }
            node.forEach(left::push);
        }
        try {
            return new JsonCanonicalizer(JSON.writeValueAsString(value)).getEncodedUTF8();
        } catch (IOException error) {
            throw new NotStrict("no canonical form");
        }
    }
}
