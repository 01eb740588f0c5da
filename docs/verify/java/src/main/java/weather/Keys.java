package weather;

import com.fasterxml.jackson.databind.JsonNode;
import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.OctetKeyPair;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.text.ParseException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * The gateway's public keys: fetched when the first token comes, kept for five minutes, and fetched once more for a `kid` that
 * is not there, at most every 30 seconds. However many calls wait, one fetch runs. While keys can't be had, old ones serve for
 * an hour.
 */
final class Keys {
    private static final System.Logger LOG = System.getLogger("weather");
    private static final long SECOND = 1_000_000_000L;
    private static final long FRESH = 300 * SECOND;
    private static final long STALE = 3600 * SECOND;
    private static final long COOL_DOWN = 30 * SECOND;

    /** Algorithm -> the kind of key that it is for: `kty` or `crv`. */
    private static final Map<String, String> KINDS = Map.ofEntries(
            Map.entry("RS256", "RSA"), Map.entry("RS384", "RSA"), Map.entry("RS512", "RSA"),
            Map.entry("PS256", "RSA"), Map.entry("PS384", "RSA"), Map.entry("PS512", "RSA"),
            Map.entry("ES256", "P-256"), Map.entry("ES384", "P-384"), Map.entry("ES512", "P-521"),
            Map.entry("Ed25519", "Ed25519"), Map.entry("EdDSA", "Ed25519"));

    private final Callable<byte[]> load;
    private List<Key> keys = List.of();
    private Long fetchedAt; // System.nanoTime; null: never
    private Long failedAt; // null: the last fetch did not fail
    private Long refetchedAt; // for a `kid` that was not there
    private CompletableFuture<Void> flight;

    /** load: gets the JWKS. */
    Keys(Callable<byte[]> load) {
        this.load = load;
    }

    /** The keys under the issuer's well-known address: https, or http on this machine. */
    static Keys of(String issuer) throws IOException {
        URI address = URI.create(issuer.replaceAll("/$", "") + "/.well-known/jwks.json");
        boolean loopback = "http".equals(address.getScheme())
                && InetAddress.getByName(address.getHost()).isLoopbackAddress();
        if (!"https".equals(address.getScheme()) && !loopback) {
            throw new IllegalArgumentException("the issuer must be an https address, or http on this machine");
        }
        // HTTP/1.1, because over http it would ask for an upgrade to HTTP/2. It follows no redirect.
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpRequest request = HttpRequest.newBuilder(address).timeout(Duration.ofSeconds(5)).build();
        return new Keys(() -> {
            HttpResponse<InputStream> answer = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            try (InputStream body = answer.body()) {
                if (answer.statusCode() != 200) {
                    throw new IOException("status " + answer.statusCode());
                }
                // The request's time is over once its head is there. Closing the body ends who still reads it.
                return CompletableFuture.supplyAsync(() -> upTo(262_144, body)).orTimeout(5, TimeUnit.SECONDS).get();
            }
        });
    }

    private static byte[] upTo(int bytes, InputStream body) {
        try {
            return body.readNBytes(bytes);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** The key of a `kid`, or without one (null) the only key for the algorithm. */
    Key find(String alg, String kid) throws Refused, CannotTell {
        if (!KINDS.containsKey(alg)) {
            throw new Refused("algorithm", "not an algorithm that is taken here");
        }
        boolean fetched = mustFetch();
        if (fetched) {
            fetch().join();
        }
        CompletableFuture<Void> more = fetched ? null : refetchFor(alg, kid);
        if (more != null) {
            more.join();
        }
        synchronized (this) {
            Key found = look(alg, kid);
            if (age() >= FRESH + STALE) {
                throw new CannotTell("the gateway's keys cannot be had");
            }
            if (found == null && failedAt != null) {
                throw new CannotTell("an unknown key, and the gateway's keys cannot be had");
            }
            if (found == null) {
                throw new Refused("key_unknown", "no key has the token's kid");
            }
            if (!same(found.alg).equals(same(alg))) {
                throw new Refused("algorithm", "the key is not for the token's algorithm");
            }
            return found;
        }
    }

    private Key look(String alg, String kid) {
        List<Key> fit = keys.stream()
                .filter(key -> kid == null ? same(key.alg).equals(same(alg)) : kid.equals(key.kid))
                .toList();
        return fit.size() == 1 ? fit.get(0) : null; // two keys of one kid: neither is named by it
    }

    private long age() {
        return since(fetchedAt);
    }

    private static long since(Long then) {
        return then == null ? Long.MAX_VALUE : System.nanoTime() - then;
    }

    private synchronized boolean mustFetch() {
        long pause = age() < FRESH + STALE ? COOL_DOWN : SECOND;
        return age() >= FRESH && (flight != null || since(failedAt) >= pause);
    }

    /** The fetch that may still bring the key, or null where it is there, or where there may be none now. */
    private synchronized CompletableFuture<Void> refetchFor(String alg, String kid) {
        if (look(alg, kid) != null || (flight == null && since(refetchedAt) < COOL_DOWN)) {
            return null;
        }
        if (flight == null) {
            refetchedAt = System.nanoTime();
        }
        return fetch();
    }

    /** The fetch that is under way, or a new one. It never fails: what went wrong is in `failedAt`. */
    private synchronized CompletableFuture<Void> fetch() {
        if (flight == null) {
            flight = new CompletableFuture<>();
            Thread thread = new Thread(() -> fly(flight), "jwks");
            thread.setDaemon(true);
            thread.start();
        }
        return flight;
    }

    private void fly(CompletableFuture<Void> mine) {
        List<Key> read = null;
        try {
            read = readKeys(load.call());
        } catch (Exception error) {
            LOG.log(System.Logger.Level.WARNING, "the gateway''s keys could not be fetched: {0}", error.toString());
        }
        synchronized (this) {
            if (read == null) {
                failedAt = System.nanoTime();
            } else {
                keys = read;
                fetchedAt = System.nanoTime();
                failedAt = null;
            }
            flight = null;
        }
        mine.complete(null);
    }

    /** The keys that can verify. What is not for that, or should never have been published, costs the others nothing. */
    private static List<Key> readKeys(byte[] document) throws Strict.NotStrict, IOException {
        List<Key> keys = new ArrayList<>();
        for (JsonNode entry : Strict.read(document, 16, 10_000).path("keys")) {
            try {
                // Nimbus reads the numbers, and refuses those that are no key.
                JWK jwk = JWK.parse(entry.toString());
                String alg = jwk.getAlgorithm() == null ? "" : jwk.getAlgorithm().getName();
                PublicKey key = publicKey(jwk);
                if (!jwk.isPrivate() && (jwk.getKeyUse() == null || jwk.getKeyUse().equals(KeyUse.SIGNATURE))
                        && kindOf(jwk).equals(KINDS.get(alg)) && (!kindOf(jwk).equals("RSA") || jwk.size() >= 2048)) {
                    keys.add(new Key(jwk.getKeyID(), alg, key));
                    continue;
                }
            } catch (ParseException | JOSEException | GeneralSecurityException | RuntimeException error) {
                // dropped, as below
            }
            LOG.log(System.Logger.Level.WARNING, "a key of the gateway was dropped: none that can verify here");
        }
        if (keys.isEmpty()) {
            throw new IOException("no usable key");
        }
        return keys;
    }

    private static String kindOf(JWK jwk) {
        Curve curve = jwk instanceof OctetKeyPair pair ? pair.getCurve()
                : jwk instanceof com.nimbusds.jose.jwk.ECKey key ? key.getCurve() : null;
        return curve == null ? jwk.getKeyType().getValue() : curve.getName();
    }

    private static PublicKey publicKey(JWK jwk) throws JOSEException, GeneralSecurityException {
        if (jwk instanceof OctetKeyPair pair) { // which Nimbus makes no key of; the prefix is that of RFC 8410 section 4
            byte[] x = pair.getDecodedX();
            if (x.length != 32) {
                throw new GeneralSecurityException("not 32 bytes");
            }
            String spki = "302a300506032b6570032100" + HexFormat.of().formatHex(x);
            return KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(HexFormat.of().parseHex(spki)));
        }
        return jwk instanceof com.nimbusds.jose.jwk.RSAKey rsa ? rsa.toPublicKey() : jwk.toECKey().toPublicKey();
    }

    /** RFC 9864's name for RFC 8037's: they are of one algorithm. */
    private static String same(String alg) {
        return alg.equals("EdDSA") ? "Ed25519" : alg;
    }

    /** One that can verify, with the algorithm that it says it is for: the token has no word in that. */
    record Key(String kid, String alg, PublicKey key) {
        /** A raw JWS signature (RFC 7518 section 3): ECDSA at full length, RSASSA-PSS with a salt as long as the hash. */
        boolean verifies(byte[] signed, byte[] signature) {
            String hash = alg.substring(2);
            try {
                Signature check = switch (alg.substring(0, 2)) {
                    case "RS" -> Signature.getInstance("SHA" + hash + "withRSA");
                    case "PS" -> Signature.getInstance("RSASSA-PSS");
                    case "ES" -> Signature.getInstance("SHA" + hash + "withECDSAinP1363Format");
                    default -> Signature.getInstance("Ed25519");
                };
                if (alg.startsWith("PS")) {
                    String name = "SHA-" + hash;
                    int salt = Integer.parseInt(hash) / 8;
                    check.setParameter(new PSSParameterSpec(name, "MGF1", new MGF1ParameterSpec(name), salt, 1));
                }
                int length = Map.of("ES256", 64, "ES384", 96, "ES512", 132).getOrDefault(alg, signature.length);
                check.initVerify(key);
                check.update(signed);
                return signature.length == length && check.verify(signature);
            } catch (GeneralSecurityException error) {
                return false; // a signature of another form
            }
        }
    }
}
