package weather;

import java.util.Set;

/** The token is bad (401), or good for another call (403). The message quotes nothing of it. */
final class Refused extends Exception {
    final String reason;

    Refused(String reason, String message) {
        super(message);
        this.reason = reason;
    }

    int status() {
        return Set.of("scope", "operation", "arguments").contains(reason) ? 403 : 401;
    }
}
