package ai.nibble.hub;

import ai.nibble.Sha256;
import ai.nibble.hub.HubSettings.Patience;
import ai.nibble.hub.HubSettings.Token;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;

/**
 * A hub with one repository, {@code org/tiny}, and the other host that large files are redirected
 * to; either does on request what hubs and networks do wrong.
 */
public final class FakeHub implements AutoCloseable {
  public static final String REPOSITORY = "org/tiny";
  public static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
  public static final String TOKEN = "hf_secret";

  /** Answers in the place of the right answer. */
  public interface Fault {
    void answer(HttpExchange exchange, byte[] body) throws IOException;
  }

  public final Map<String, byte[]> files = new TreeMap<>();
  final Set<String> large;

  /** What was asked of either host: method, path, range and authorization. */
  public final List<String> requests = new CopyOnWriteArrayList<>();

  /** Each serves one request of a file's bytes, then is gone. */
  public final Queue<Fault> faults = new ConcurrentLinkedQueue<>();

  /** The same of the listing. */
  public final Queue<Fault> listingFaults = new ConcurrentLinkedQueue<>();

  /** Whether the listing says sizes and sums. */
  public boolean saysBlobs = true;

  private final SSLContext tls;
  private final HttpServer hub;
  private final HttpServer storage;
  private final ExecutorService threads = Executors.newCachedThreadPool();

  public FakeHub(String... large) {
    this(null, large);
  }

  /**
   * @param tls what both hosts prove themselves with; null: they are not encrypted
   * @param large files that are redirected to the other host
   */
  public FakeHub(SSLContext tls, String... large) {
    this.tls = tls;
    this.large = Set.of(large);
    this.hub = start(this::serve);
    this.storage = start(this::store);
  }

  private interface Handler {
    void handle(HttpExchange exchange) throws IOException;
  }

  private HttpServer start(Handler handler) {
    try {
      HttpServer server = server(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
      server.createContext("/", exchange -> answer(exchange, handler));
      server.setExecutor(threads);
      server.start();
      return server;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private HttpServer server(InetSocketAddress address) throws IOException {
    if (tls == null) {
      return HttpServer.create(address, 0);
    }
    HttpsServer server = HttpsServer.create(address, 0);
    server.setHttpsConfigurator(new HttpsConfigurator(tls));
    return server;
  }

  private String scheme() {
    return tls == null ? "http" : "https";
  }

  private void answer(HttpExchange exchange, Handler handler) throws IOException {
    String range = exchange.getRequestHeaders().getFirst("Range");
    String authorization = exchange.getRequestHeaders().getFirst("Authorization");
    requests.add(
        exchange.getRequestMethod()
            + " "
            + exchange.getRequestURI()
            + (range == null ? "" : " " + range)
            + (authorization == null ? "" : " " + authorization));
    try (exchange) {
      handler.handle(exchange);
    }
  }

  /** Settings that reach it, with little patience. */
  public HubSettings settings(Path cache) {
    return new HubSettings(
        URI.create(scheme() + "://127.0.0.1:" + hub.getAddress().getPort()),
        cache,
        Optional.of(new Token(TOKEN)),
        false,
        new Patience(Duration.ofSeconds(5), Duration.ofMillis(400), 3, Duration.ofMillis(2)));
  }

  public String storageUri(String name) {
    return scheme() + "://localhost:" + storage.getAddress().getPort() + "/store/" + name;
  }

  private void serve(HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath();
    if (path.startsWith("/api/models/" + REPOSITORY + "/revision/")) {
      byte[] body = listing().toString().getBytes(StandardCharsets.UTF_8);
      Fault fault = listingFaults.poll();
      if (fault != null) {
        fault.answer(exchange, body);
      } else {
        send(exchange, body);
      }
      return;
    }
    String prefix = "/" + REPOSITORY + "/resolve/" + COMMIT + "/";
    String name = path.startsWith(prefix) ? path.substring(prefix.length()) : "";
    if (!files.containsKey(name)) {
      status(404, "X-Error-Code", "RepoNotFound").answer(exchange, new byte[0]);
      return;
    }
    exchange.getResponseHeaders().set("X-Repo-Commit", COMMIT);
    if (large.contains(name)) {
      exchange.getResponseHeaders().set("X-Linked-Etag", '"' + sha256(files.get(name)) + '"');
      exchange.getResponseHeaders().set("X-Linked-Size", "" + files.get(name).length);
      exchange.getResponseHeaders().set("Location", storageUri(name));
      exchange.sendResponseHeaders(302, -1);
    } else {
      exchange.getResponseHeaders().set("ETag", '"' + gitSum(files.get(name)) + '"');
      content(exchange, files.get(name));
    }
  }

  private void store(HttpExchange exchange) throws IOException {
    content(exchange, files.get(exchange.getRequestURI().getPath().substring("/store/".length())));
  }

  private void content(HttpExchange exchange, byte[] body) throws IOException {
    if (exchange.getRequestMethod().equals("HEAD")) {
      exchange.getResponseHeaders().set("Content-Length", "" + body.length);
      exchange.sendResponseHeaders(200, -1);
      return;
    }
    Fault fault = faults.poll();
    if (fault != null) {
      fault.answer(exchange, body);
    } else {
      send(exchange, body);
    }
  }

  /** All, or from the first byte of a range on. */
  static void send(HttpExchange exchange, byte[] body) throws IOException {
    String range = exchange.getRequestHeaders().getFirst("Range");
    int from = range == null ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
    if (from >= body.length && from > 0) {
      exchange.sendResponseHeaders(416, -1);
      return;
    }
    if (from > 0) {
      exchange
          .getResponseHeaders()
          .set("Content-Range", "bytes " + from + "-" + (body.length - 1) + "/" + body.length);
    }
    byte[] rest = Arrays.copyOfRange(body, from, body.length);
    exchange.sendResponseHeaders(from > 0 ? 206 : 200, rest.length == 0 ? -1 : rest.length);
    exchange.getResponseBody().write(rest);
  }

  private ObjectNode listing() {
    ObjectNode json = new ObjectMapper().createObjectNode().put("sha", COMMIT);
    ArrayNode siblings = json.putArray("siblings");
    files.forEach(
        (name, body) -> {
          ObjectNode entry = siblings.addObject().put("rfilename", name);
          if (saysBlobs) {
            entry.put("size", body.length).put("blobId", gitSum(body));
            if (large.contains(name)) {
              entry.putObject("lfs").put("sha256", sha256(body)).put("size", body.length);
            }
          }
        });
    return json;
  }

  public static Fault status(int status, String... headers) {
    return (exchange, body) -> {
      for (int i = 0; i < headers.length; i += 2) {
        exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
      }
      exchange.sendResponseHeaders(status, -1);
    };
  }

  /** The connection breaks after some bytes of those that were announced. */
  public static Fault breaksAfter(int bytes) {
    return (exchange, body) -> {
      String range = exchange.getRequestHeaders().getFirst("Range");
      int from = range == null ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
      if (from > 0) {
        exchange
            .getResponseHeaders()
            .set("Content-Range", "bytes " + from + "-" + (body.length - 1) + "/" + body.length);
      }
      exchange.sendResponseHeaders(from > 0 ? 206 : 200, body.length - from);
      exchange.getResponseBody().write(body, from, Math.min(bytes, body.length - from));
      exchange.getResponseBody().flush();
    };
  }

  /** Another body, sent as if it were the right one. */
  public static Fault body(byte[] other, String... headers) {
    return (exchange, body) -> {
      for (int i = 0; i < headers.length; i += 2) {
        exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
      }
      exchange.sendResponseHeaders(200, other.length);
      exchange.getResponseBody().write(other);
    };
  }

  /** No byte after some, and no end. */
  public static Fault stallsAfter(int bytes) {
    return (exchange, body) -> {
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body, 0, bytes);
      exchange.getResponseBody().flush();
      try {
        Thread.sleep(3000);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    };
  }

  public static String sha256(byte[] bytes) {
    MessageDigest sum = Sha256.start();
    sum.update(bytes);
    return Sha256.hex(sum);
  }

  public static String gitSum(byte[] bytes) {
    try {
      MessageDigest sum = MessageDigest.getInstance("SHA-1");
      sum.update(("blob " + bytes.length + "\0").getBytes(StandardCharsets.US_ASCII));
      return HexFormat.of().formatHex(sum.digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public void close() {
    hub.stop(0);
    storage.stop(0);
    threads.shutdownNow();
  }
}
