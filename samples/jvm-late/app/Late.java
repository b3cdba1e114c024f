import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneId;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;
import javax.net.ssl.SSLContext;

/** A server whose requests need parts of the JDK that its start does not need. */
public class Late {
    public static void main(String[] args) throws Exception {
        String port = System.getenv().getOrDefault("PORT", "8080");
        String host = System.getenv().getOrDefault("HOST", "0.0.0.0");
        var address = new InetSocketAddress(host, Integer.parseInt(port));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/", Late::answer);
        server.start();
        // Without a hook SIGTERM ends a JVM with 143, which looks like a failure.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0)));
    }

    private static void answer(HttpExchange exchange) {
        try {
            String text;
            int status = 200;
            try {
                text = page(exchange.getRequestURI().getPath());
            } catch (Exception | LinkageError error) {
                text = error.toString();
                status = 500;
            }
            byte[] body = (text + "\n").getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        } catch (java.io.IOException error) {
            System.err.println(error);
        }
    }

    private static String page(String path) throws Exception {
        return switch (path) {
            case "/zip" -> Zipped.hello();
            case "/tls" -> String.join(" ", Tls.protocols());
            case "/zone" ->
                Instant.parse("2024-07-01T00:00:00Z").atZone(ZoneId.of("Asia/Tokyo")).toString();
            default -> "hello";
        };
    }
}

/** The JVM loads it at the first request for it. */
class Zipped {
    static String hello() throws Exception {
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(made)) {
            zip.putNextEntry(new ZipEntry("hello"));
            zip.write("hello from a zip".getBytes(StandardCharsets.UTF_8));
        }
        byte[] bytes = made.toByteArray();
        try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(bytes))) {
            zip.getNextEntry();
            return new String(zip.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}

/** The JVM loads it at the first request for it. */
class Tls {
    static String[] protocols() throws Exception {
        return SSLContext.getDefault().createSSLEngine().getEnabledProtocols();
    }
}
