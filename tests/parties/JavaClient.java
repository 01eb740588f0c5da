import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;

/**
 * Java's own HTTP client, as it is without any setting: with each request over http it offers HTTP/2.
 *
 *     java JavaClient.java ADDRESS BODY NAME VALUE [NAME VALUE]...
 *
 * Sends the body three times, once of unknown length, and writes for each answer a line: status, version of HTTP, body.
 */
class JavaClient {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        byte[] body = given[1].getBytes(StandardCharsets.UTF_8);
        for (int round = 0; round < 3; round++) {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(given[0]));
            for (int index = 2; index < given.length; index += 2) {
                request.header(given[index], given[index + 1]);
            }
            request.POST(round == 1
                ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                : BodyPublishers.ofByteArray(body));
            HttpResponse<String> answer = client.send(request.build(), BodyHandlers.ofString());
            System.out.println(answer.statusCode() + "\t" + answer.version() + "\t" + answer.body().replace("\n", " "));
        }
    }
}
