package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.hub.FakeHub;
import ai.nibble.hub.FakeHub.Fault;
import ai.nibble.hub.HubSettings;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code nibble download} from a hub that refuses, fails or lies. */
class BadHubTest {
  private static final String WEIGHTS = "model.safetensors";

  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private final FakeHub hub = new FakeHub(WEIGHTS);
  private Path cache;

  @BeforeEach
  void aModel() {
    cache = temp.resolve("hub");
    byte[] weights = new byte[100_000];
    new Random(5).nextBytes(weights);
    hub.files.put(WEIGHTS, weights);
    hub.files.put("config.json", bytes("{}"));
    hub.files.put("tokenizer.json", bytes("{\"model\":{}}"));
  }

  @AfterEach
  void stop() {
    hub.close();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private int download(HubSettings settings, String... more) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    String[] args = Arrays.copyOf(more, more.length + 2);
    System.arraycopy(more, 0, args, 2, more.length);
    args[0] = "download";
    args[1] = FakeHub.REPOSITORY;
    return Nibble.run(
        Nibble.commandLine((recipe, writer) -> 0, (request, o, e) -> {}, () -> settings)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err)),
        args);
  }

  /** One line, without the token; under the names of files nothing but what they are. */
  private void refuses(String... parts) throws IOException {
    refusesWith(hub.settings(cache), parts);
  }

  private void refusesWith(HubSettings settings, String... parts) throws IOException {
    assertEquals(2, download(settings), err.toString());
    assertEquals("", out.toString());
    Refusals.assertPlain(err.toString());
    assertFalse(err.toString().contains("secret"), err.toString());
    List<String> errors = err.toString().lines().filter(l -> l.startsWith("error: ")).toList();
    assertEquals(1, errors.size(), err.toString());
    for (String part : parts) {
      assertTrue(errors.get(0).contains(part), errors.get(0) + "\nlacks: " + part);
    }
    Path model = cache.resolve("models--org--tiny");
    assertFalse(Files.exists(model.resolve("refs/main")), "no revision is remembered");
    if (Files.isDirectory(model.resolve("blobs"))) {
      try (Stream<Path> blobs = Files.list(model.resolve("blobs"))) {
        for (Path blob : blobs.filter(b -> !b.toString().endsWith(".incomplete")).toList()) {
          byte[] content = Files.readAllBytes(blob);
          List<String> sums = List.of(FakeHub.sha256(content), FakeHub.gitSum(content));
          assertTrue(sums.contains(blob.getFileName().toString()), blob.toString());
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "401 ||org/tiny: is not there, or the token is not accepted (401): check the name, and the token",
        "403 ||org/tiny: is gated or private (403): accept its conditions at http://127.0.0.1:",
        "403 |GatedRepo|/org/tiny, and use a token of an account that may read it",
        "404 |RepoNotFound|org/tiny: is not there (404): check the name and the revision at",
        "404 |RevisionNotFound|org/tiny: has no revision 'main' (404): see http://127.0.0.1:",
        "404 |EntryNotFound|org/tiny: lacks a file that it lists (404): try again",
        "400 ||org/tiny: cannot be had: http://127.0.0.1:",
        "429 ||org/tiny: failed 3 times, last: the hub says that there are too many requests (429); a token in HF_TOKEN allows more; run again",
        "500 ||org/tiny: failed 3 times, last: the hub answers 500; run again to go on",
        "503 ||org/tiny: failed 3 times, last: the hub answers 503; run again to go on",
      })
  void whatTheHubRefusesIsExplained(int status, String code, String line) throws IOException {
    for (int i = 0; i < 3; i++) {
      hub.listingFaults.add(
          code == null ? FakeHub.status(status) : FakeHub.status(status, "X-Error-Code", code));
    }
    refuses(line);
    boolean passes = status == 429 || status >= 500;
    assertEquals(passes ? 3 : 1, hub.requests.size(), "attempts");
  }

  /** Every file's first answers are this fault, more often than is tried. */
  private void always(Fault fault) {
    for (int i = 0; i < 30; i++) {
      hub.faults.add(fault);
    }
  }

  @Test
  void bodiesThatAreNotThePromisedAreRefused() throws IOException {
    byte[] weights = hub.files.get(WEIGHTS);
    byte[] wrong = weights.clone();
    wrong[99_999]++;
    byte[] longer = Arrays.copyOf(weights, weights.length + 1);
    always(
        (exchange, body) ->
            FakeHub.body(body.length == weights.length ? wrong : body).answer(exchange, body));
    refuses(
        "'model.safetensors' has other bytes than the hub says (SHA-256 of them is ",
        FakeHub.sha256(weights),
        "twice: not kept");
    hub.faults.clear();
    always(
        (exchange, body) ->
            FakeHub.body(body.length == weights.length ? longer : body).answer(exchange, body));
    refuses("'model.safetensors' is longer than the hub says, 100000 bytes: not kept");
    hub.faults.clear();
    always(FakeHub.body(new byte[0]));
    refuses("failed 3 times, last: the server sent no more than 0 of ");
    hub.faults.clear();
    always(FakeHub.body(bytes("x"), "Content-Encoding", "gzip"));
    refuses("comes encoded ('gzip'), which was not asked for: refused");
  }

  @ParameterizedTest
  @CsvSource({
    "file:///etc/passwd, 'redirects to '",
    "http://169.254.169.254/latest/meta-data, 'redirects to ''http://169.254.169.254'', refused'",
    "ftp://x/y, 'redirects to ''ftp://x'', refused'",
    "'', 'redirects to '"
  })
  void redirectsToOtherPlacesAreRefused(String target, String problem) throws IOException {
    always(FakeHub.status(302, "Location", target));
    refuses(problem);
    hub.faults.clear();
    always(FakeHub.status(302, "Location", hub.storageUri(WEIGHTS)));
    refuses("org/tiny: http://127.0.0.1:", " redirects more than 5 times");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "../../.ssh/x.safetensors",
        "/etc/x.safetensors",
        "C:x.safetensors",
        "\\\\host\\s.safetensors",
        "CON.safetensors",
        "a/../../x.safetensors"
      })
  void namesThatLeadElsewhereAreRefused(String name) throws IOException {
    hub.files.remove(WEIGHTS);
    hub.files.put(name, bytes("x"));
    refuses("org/tiny", "has a file named", "refused");
    assertFalse(Files.exists(temp.resolve(".ssh")));
    hub.files.remove(name);
    hub.files.put("x".repeat(300) + ".safetensors", bytes("x"));
    refuses("org/tiny", "has a file named", "refused");
  }

  @Test
  void namesThatDifferInCaseAloneAreRefused() throws IOException {
    hub.files.remove(WEIGHTS);
    hub.files.put("a.safetensors", bytes("x"));
    hub.files.put("A.safetensors", bytes("y"));
    refuses("'A.safetensors' and 'a.safetensors', which are one on some systems");
  }

  @Test
  void offlineAColdCacheSaysWhatItLacks() throws IOException {
    HubSettings on = hub.settings(cache);
    HubSettings off = new HubSettings(on.endpoint(), cache, on.token(), true, on.patience());
    refusesWith(
        off,
        "org/tiny: the cache "
            + cache
            + " has no revision 'main' of it, and HF_HUB_OFFLINE is set:"
            + " fetch it with 'nibble download org/tiny' where there is a network");
    assertEquals(List.of(), hub.requests);
    assertEquals(0, download(on), err.toString());
    hub.requests.clear();
    Path snapshot = Path.of(out.toString().strip());
    assertEquals(0, download(off), err.toString());
    Files.delete(snapshot.resolve("tokenizer.json"));
    assertEquals(2, download(off));
    assertTrue(err.toString().contains("lacks [tokenizer.json], and HF_HUB_OFFLINE"), err + "");
    assertEquals(List.of(), hub.requests);
  }

  /** What was there before stays as it was, whatever comes instead of the new. */
  @Test
  void whatIsInTheCacheIsKeptByARefusedDownload() throws IOException {
    assertEquals(0, download(hub.settings(cache)), err.toString());
    Path snapshot = Path.of(out.toString().strip());
    byte[] before = Files.readAllBytes(snapshot.resolve(WEIGHTS));
    hub.files.put(WEIGHTS, new byte[50_000]);
    always(FakeHub.body(new byte[49_999]));
    assertEquals(2, download(hub.settings(cache)), err.toString());
    assertTrue(Arrays.equals(before, Files.readAllBytes(snapshot.resolve(WEIGHTS))));
    assertEquals(FakeHub.COMMIT, Files.readString(snapshot.resolve("../../refs/main")));
  }
}
