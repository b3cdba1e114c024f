import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneId;
import java.util.HexFormat;

/** A service in a jar; it needs a small part of the JDK. */
public class Notes {
    public static void main(String[] args) throws Exception {
        String port = System.getenv().getOrDefault("PORT", "8080");
        String host = System.getenv().getOrDefault("HOST", "0.0.0.0");
        var address = new InetSocketAddress(host, Integer.parseInt(port));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/", exchange -> answer(exchange, 200, "hello from a jar"));
        server.createContext("/digest", Notes::digest);
        server.createContext("/zone", exchange -> answer(exchange, 200, zone()));
        server.start();
        // Without a hook SIGTERM ends a JVM with 143, which looks like a failure.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0)));
    }

    private static void digest(HttpExchange exchange) throws IOException {
        try {
            String text = exchange.getRequestURI().getQuery();
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            byte[] found = MessageDigest.getInstance("SHA-256").digest(bytes);
            answer(exchange, 200, HexFormat.of().formatHex(found));
        } catch (java.security.NoSuchAlgorithmException error) {
            answer(exchange, 500, error.toString());
        }
    }

    private static String zone() {
        return Instant.parse("2024-07-01T00:00:00Z").atZone(ZoneId.of("Asia/Tokyo")).toString();
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = (text + "\n").getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
