package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.hub.Certificates;
import ai.nibble.hub.FakeHub;
import ai.nibble.hub.HubSettings;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.NoSuchAlgorithmException;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Encrypted connections that must not be made, and proxies that fail: nothing is fetched, and
 * nothing goes around them, in the clear or without a proof of who answers.
 */
class UntrustedHubTest {
  private static final String WEIGHTS = "model.safetensors";

  private static Certificates own;
  private static Certificates other;

  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private final SSLContext trusted = defaultTrust();
  private final ProxySelector proxies = ProxySelector.getDefault();

  private static SSLContext defaultTrust() {
    try {
      return SSLContext.getDefault();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  @BeforeAll
  static void makeCertificates(@TempDir Path stores) throws Exception {
    own = Certificates.make(stores.resolve("own"), "dns:localhost,ip:127.0.0.1");
    other = Certificates.make(stores.resolve("other"), "dns:hub.example");
  }

  @AfterEach
  void trustAsBefore() {
    SSLContext.setDefault(trusted);
    ProxySelector.setDefault(proxies);
  }

  private FakeHub hub(SSLContext tls) {
    FakeHub hub = new FakeHub(tls, WEIGHTS);
    byte[] weights = new byte[300_000];
    new Random(5).nextBytes(weights);
    hub.files.put(WEIGHTS, weights);
    hub.files.put("config.json", "{}".getBytes(StandardCharsets.UTF_8));
    hub.files.put("tokenizer.json", "{\"model\":{}}".getBytes(StandardCharsets.UTF_8));
    return hub;
  }

  private int download(HubSettings settings) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Nibble.run(
        Nibble.commandLine((recipe, writer) -> 0, (request, o, e) -> {}, () -> settings)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err)),
        "download",
        FakeHub.REPOSITORY);
  }

  /** One line that says why and what to do; nothing is kept, and no secret is shown. */
  private void refuses(HubSettings settings, String problem) throws IOException {
    assertEquals(2, download(settings), err.toString());
    List<String> errors = err.toString().lines().filter(l -> l.startsWith("error: ")).toList();
    assertEquals(1, errors.size(), err.toString());
    assertEquals("error: " + FakeHub.REPOSITORY + ": " + problem, errors.get(0));
    Refusals.assertPlain(out.toString() + err);
    assertFalse((out.toString() + err).contains("secret"), err.toString());
    assertEquals("", out.toString());
    if (Files.exists(settings.cache())) {
      try (Stream<Path> files = Files.walk(settings.cache())) {
        assertEquals(List.of(), files.filter(Files::isRegularFile).toList());
      }
    }
  }

  private void refusesAtOnce(FakeHub hub, String problem) throws IOException {
    refuses(hub.settings(temp.resolve("cache")), "the connection is not trusted: " + problem);
    assertEquals(List.of(), hub.requests, "nothing was asked, and no token sent");
    assertFalse(err.toString().contains("trying again"), err.toString());
  }

  @Test
  void aCertificateThatNobodyVouchesForIsRefused() throws Exception {
    try (FakeHub hub = hub(own.server())) {
      refusesAtOnce(
          hub,
          "nobody whom Java trusts vouches for its certificate; where a proxy signs for the hub, add"
              + " its certificate to Java's (-Djavax.net.ssl.trustStore)");
    }
  }

  @Test
  void aCertificateThatHasExpiredIsRefusedThoughItsAuthorityIsTrusted(@TempDir Path stores)
      throws Exception {
    String names = "dns:localhost,ip:127.0.0.1";
    Certificates expired =
        Certificates.signed(
            stores.resolve("expired"), names, "-startdate", "-3d", "-validity", "2");
    SSLContext.setDefault(expired.trusting());
    try (FakeHub hub = hub(expired.server())) {
      refusesAtOnce(
          hub,
          "its certificate has expired: check this machine's clock, or wait until the server's owner"
              + " has renewed it");
    }
  }

  @Test
  void aCertificateOfAnotherHostIsRefusedThoughItIsTrusted() throws Exception {
    SSLContext.setDefault(other.trusting());
    try (FakeHub hub = hub(other.server())) {
      refusesAtOnce(hub, "its certificate is of another host: check the address in HF_ENDPOINT");
    }
  }

  /** What the refusals above would be without a reason; and a break within is none to refuse. */
  @Test
  void aTrustedCertificateOfTheHostIsTakenAndABrokenConnectionGoneOnWith() throws Exception {
    SSLContext.setDefault(own.trusting());
    try (FakeHub hub = hub(own.server())) {
      for (int i = 0; i < 12; i++) { // more than attempts: each brought something
        hub.faults.add(FakeHub.breaksAfter(20_000));
      }
      assertEquals(0, download(hub.settings(temp.resolve("cache"))), err.toString());
      Path snapshot = Path.of(out.toString().strip());
      assertArrayEquals(hub.files.get(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
      assertTrue(hub.requests.stream().anyMatch(r -> r.contains("bytes=")), hub.requests + "");
    }
  }

  /** A redirect to a host in the clear gives up what the first was encrypted for. */
  @Test
  void aRedirectAwayFromEncryptionIsRefused() throws Exception {
    SSLContext.setDefault(own.trusting());
    try (FakeHub hub = hub(own.server());
        FakeHub plain = hub(null)) {
      hub.listingFaults.add(FakeHub.status(302, "Location", plain.storageUri(WEIGHTS)));
      assertEquals(2, download(hub.settings(temp.resolve("cache"))));
      assertTrue(
          err.toString().contains("redirects to 'http://localhost', refused"), err.toString());
      assertEquals(List.of(), plain.requests);
    }
  }

  /** A proxy that answers what is asked of it first in one way, and keeps what it was asked. */
  private final class Proxy implements AutoCloseable {
    private final ServerSocket server;
    private final List<String> asked = new CopyOnWriteArrayList<>();
    private final String answer;
    private final SSLContext impostor;

    Proxy(String answer, SSLContext impostor) throws IOException {
      this.server = new ServerSocket(0, 9, InetAddress.getLoopbackAddress());
      this.answer = answer;
      this.impostor = impostor;
      Thread thread = new Thread(this::serve, "proxy");
      thread.setDaemon(true);
      thread.start();
      ProxySelector.setDefault(
          ProxySelector.of(new InetSocketAddress("127.0.0.1", server.getLocalPort())));
    }

    String address() {
      return "127.0.0.1:" + server.getLocalPort();
    }

    private void serve() {
      while (!server.isClosed()) {
        try (Socket socket = server.accept()) {
          asked.add(head(socket));
          socket.getOutputStream().write(answer.getBytes(StandardCharsets.US_ASCII));
          socket.getOutputStream().flush();
          if (impostor != null) {
            SSLSocket tls =
                (SSLSocket) impostor.getSocketFactory().createSocket(socket, "hub", 443, true);
            tls.setUseClientMode(false);
            asked.add(head(tls));
          }
        } catch (IOException e) {
          // the client did not trust it, or the test is over
        }
      }
    }

    private String head(Socket socket) throws IOException {
      StringBuilder head = new StringBuilder();
      while (head.indexOf("\r\n\r\n") < 0) {
        int c = socket.getInputStream().read();
        if (c < 0) {
          break;
        }
        head.append((char) c);
      }
      return head.toString();
    }

    @Override
    public void close() throws IOException {
      server.close();
    }
  }

  private HubSettings behindProxy(FakeHub direct) {
    HubSettings plain = direct.settings(temp.resolve("cache"));
    URI https = URI.create("https://hub.example");
    return new HubSettings(https, plain.cache(), plain.token(), false, plain.patience());
  }

  private static void assertOnlyAConnectionWasAsked(Proxy proxy) {
    assertFalse(proxy.asked.isEmpty());
    for (String head : proxy.asked) {
      assertTrue(head.startsWith("CONNECT hub.example:443 HTTP/1.1\r\n"), head);
      assertFalse(head.contains("secret") || head.contains("Authorization: Bearer"), head);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "HTTP/1.1 403 Forbidden\\r\\nContent-Length: 0\\r\\n\\r\\n|failed 3 times, last: the proxy @ lets"
            + " nothing through to hub.example (403); run again to go on",
        "HTTP/1.1 502 Bad Gateway\\r\\nContent-Length: 0\\r\\n\\r\\n|failed 3 times, last: the proxy @"
            + " lets nothing through to hub.example (502); run again to go on",
        "HTTP/1.1 407 Proxy Authentication Required\\r\\nProxy-Authenticate: Basic realm=\"x\"\\r\\n"
            + "Content-Length: 0\\r\\n\\r\\n|the proxy @ asks for a name and a password (407), which"
            + " Nibble does not give: use one that asks for none, or fetch the model elsewhere and"
            + " name its directory",
        "''|failed 3 times, last: the connection was closed without an answer; run again to go on",
      })
  void aProxyThatFailsIsNotGoneAround(String answer, String problem) throws Exception {
    String lines = answer.replace("\\r\\n", "\r\n");
    try (FakeHub direct = hub(null);
        Proxy proxy = new Proxy(lines, null)) {
      refuses(behindProxy(direct), problem.replace("@", proxy.address()));
      assertOnlyAConnectionWasAsked(proxy);
      assertEquals(List.of(), direct.requests);
    }
  }

  @Test
  void aProxyThatIsNotThereIsNotGoneAround() throws Exception {
    try (FakeHub direct = hub(null)) {
      Proxy proxy = new Proxy("", null);
      proxy.close();
      HubSettings plain = direct.settings(temp.resolve("cache"));
      refuses(
          plain,
          "failed 2 times, last: no connection to the proxy "
              + proxy.address()
              + " (https.proxyHost, https.proxyPort); run again to go on");
      assertEquals(List.of(), direct.requests, "though the hub could be reached without it");
    }
  }

  @Test
  void aProxyThatSignsForTheHubIsRefusedUntilItIsTrusted() throws Exception {
    try (FakeHub direct = hub(null);
        Proxy proxy = new Proxy("HTTP/1.1 200 OK\r\n\r\n", other.server())) {
      refuses(
          behindProxy(direct),
          "the connection is not trusted: nobody whom Java trusts vouches for its certificate; where a"
              + " proxy signs for the hub, add its certificate to Java's"
              + " (-Djavax.net.ssl.trustStore)");
      assertOnlyAConnectionWasAsked(proxy);
    }
  }

  /** Nothing in the project turns a check off: the words by which it is done are not there. */
  @Test
  void noCodeTurnsVerificationOff() throws IOException {
    List<String> words =
        List.of(
            "X509TrustManager",
            "HostnameVerifier",
            "disableHostnameVerification",
            "endpointIdentificationAlgorithm",
            "setEndpointIdentification",
            "TrustAll");
    Path sources = Shared.root().resolve("framework/src/main/java");
    int read = 0;
    try (Stream<Path> files = Files.walk(sources)) {
      for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
        String text = Files.readString(file);
        words.forEach(word -> assertFalse(text.contains(word), file + ": " + word));
        read++;
      }
    }
    assertTrue(read > 500, read + " files");
  }
}
