package weather;

/** Nobody can tell whether the token is good: 503, and never a pass. */
final class CannotTell extends Exception {
    CannotTell(String message) {
        super(message);
    }
}
