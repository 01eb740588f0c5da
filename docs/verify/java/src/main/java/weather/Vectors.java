package weather;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import weather.Verifier.Operation;

/**
 * Runs test vectors, one JSON object a line of standard input, through the very same verifier. It prints `ID accept`,
 * `ID refuse REASON` or `ID cannot_tell` for each.
 */
final class Vectors {
    private Vectors() {}

    static void run() throws IOException, Strict.NotStrict {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode vector = Strict.read(line.getBytes(StandardCharsets.UTF_8), 64, 10_000);
            Map<String, JsonNode> required = new HashMap<>();
            vector.path("options").path("required_claims").properties()
                    .forEach(one -> required.put(one.getKey(), one.getValue().isNull() ? null : one.getValue()));
            Verifier verifier = new Verifier(vector.get("issuer").textValue(), vector.get("audience").textValue(),
                    new Keys(() -> Strict.JSON.writeValueAsBytes(vector.get("jwks"))), () -> vector.get("now").doubleValue(),
                    required, vector.path("options").path("require_arguments").asBoolean(true));
            vector.path("after").forEach(before -> outcome(verifier, before));
            System.out.println(vector.get("id").textValue() + " " + outcome(verifier, vector));
        }
    }

    private static String outcome(Verifier verifier, JsonNode presented) {
        JsonNode call = presented.get("call");
        JsonNode name = call.get("name");
        Operation operation = new Operation(
                call.get("method").textValue(), name == null ? null : name.textValue(), call.get("arguments"));
        try {
            verifier.verify(presented.get("token").textValue(), operation);
            return "accept";
        } catch (Refused refused) {
            return "refuse " + refused.reason;
        } catch (CannotTell unknown) {
            return "cannot_tell";
        }
    }
}
