package ai.nibble.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeDirectory;
import ai.nibble.hub.FakeHub.Fault;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HubModelsTest {
  private static final String WEIGHTS = "model.safetensors";
  private static final HubId ID = HubId.parse(FakeHub.REPOSITORY).orElseThrow();

  @TempDir private Path temp;

  private final FakeHub hub = new FakeHub(WEIGHTS, "a.gguf", "big.safetensors");
  private final List<String> lines = java.util.Collections.synchronizedList(new ArrayList<>());
  private Path cache;

  @BeforeEach
  void aModel() {
    cache = temp.resolve("hub");
    byte[] weights = new byte[300_000];
    new Random(5).nextBytes(weights);
    hub.files.put(WEIGHTS, weights);
    hub.files.put("config.json", bytes("{}"));
    hub.files.put("tokenizer.json", bytes("{\"model\":{}}"));
    hub.files.put("README.md", bytes("for people"));
    hub.files.put("pytorch_model.bin", bytes("pickle"));
    hub.files.put("onnx/model.safetensors", bytes("another form"));
  }

  @AfterEach
  void stop() {
    hub.close();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private HubModels models() {
    return new HubModels(hub.settings(cache), lines::add);
  }

  private Path model() {
    return cache.resolve("models--org--tiny");
  }

  private String refused(Runnable action) {
    String message = assertThrows(InvalidInputException.class, action::run).getMessage();
    assertFalse(message.contains("\n"), message);
    assertFalse((message + lines).contains("secret"), message + lines);
    return message;
  }

  private String refused() {
    return refused(() -> models().fetch(ID));
  }

  private void contains(String message, String... parts) {
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }

  /** What is under a final name is whole, whatever happened. */
  private void nothingIsWrong() throws IOException {
    if (!Files.isDirectory(model().resolve("blobs"))) {
      return;
    }
    try (Stream<Path> blobs = Files.list(model().resolve("blobs"))) {
      for (Path blob : blobs.filter(b -> !b.toString().endsWith(".incomplete")).toList()) {
        byte[] content = Files.readAllBytes(blob);
        String name = blob.getFileName().toString();
        assertTrue(List.of(FakeHub.sha256(content), FakeHub.gitSum(content)).contains(name), name);
      }
    }
  }

  private Map<String, String> tree() throws IOException {
    Map<String, String> tree = new TreeMap<>();
    try (Stream<Path> paths = Files.walk(cache)) {
      for (Path path : paths.filter(p -> !Files.isDirectory(p)).toList()) {
        String what = Files.isSymbolicLink(path) ? "-> " + Files.readSymbolicLink(path) : "file";
        tree.put(cache.relativize(path).toString(), what);
      }
    }
    tree.keySet().removeIf(name -> name.startsWith(".locks"));
    return tree;
  }

  @Test
  void theCacheHasTheShapeOfThePythonTools() throws IOException {
    Path snapshot = models().fetch(ID);
    assertEquals(model().resolve("snapshots/" + FakeHub.COMMIT), snapshot);
    String config = FakeHub.gitSum(hub.files.get("config.json"));
    String tokenizer = FakeHub.gitSum(hub.files.get("tokenizer.json"));
    String weights = FakeHub.sha256(hub.files.get(WEIGHTS));
    String at = "models--org--tiny/snapshots/" + FakeHub.COMMIT + "/";
    assertEquals(
        new TreeMap<>(
            Map.of(
                "models--org--tiny/refs/main",
                "file",
                "models--org--tiny/blobs/" + config,
                "file",
                "models--org--tiny/blobs/" + tokenizer,
                "file",
                "models--org--tiny/blobs/" + weights,
                "file",
                at + "config.json",
                "-> ../../blobs/" + config,
                at + "tokenizer.json",
                "-> ../../blobs/" + tokenizer,
                at + WEIGHTS,
                "-> ../../blobs/" + weights)),
        tree());
    assertEquals(FakeHub.COMMIT, Files.readString(model().resolve("refs/main")));
    assertArrayEquals(hub.files.get(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    assertEquals(Optional.of(ID.at(FakeHub.COMMIT)), HubModels.idOf(snapshot.toString()));
  }

  @Test
  void whatIsThereIsNotFetchedAgain() {
    Path snapshot = models().fetch(ID);
    hub.requests.clear();
    assertEquals(snapshot, models().locate(ID));
    assertEquals(List.of(), hub.requests);
    models().fetch(ID);
    assertEquals(1, hub.requests.size(), hub.requests.toString());
    assertEquals(snapshot, models().locate(ID.at(FakeHub.COMMIT)));
  }

  @Test
  void theTokenGoesToTheHubAndNotToWhereItRedirects() {
    models().fetch(ID);
    List<String> stored = hub.requests.stream().filter(r -> r.contains("/store/")).toList();
    assertEquals(1, stored.size());
    assertFalse(stored.get(0).contains("Bearer"), stored.get(0));
    hub.requests.stream()
        .filter(r -> !r.contains("/store/"))
        .forEach(r -> assertTrue(r.endsWith("Bearer " + FakeHub.TOKEN), r));
    assertEquals("(token)", hub.settings(cache).token().orElseThrow().toString());
    assertFalse(hub.settings(cache).toString().contains("secret"));
  }

  @Test
  void aHubThatListsNamesOnlyIsAskedForEachFile() throws IOException {
    hub.saysBlobs = false;
    Path snapshot = models().fetch(ID);
    assertArrayEquals(hub.files.get(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    assertEquals(3, hub.requests.stream().filter(r -> r.startsWith("HEAD")).count());
    nothingIsWrong();
  }

  @Test
  void aBrokenConnectionIsGoneOnWith() throws IOException {
    // more breaks than attempts: each brought something
    for (int i = 0; i < 12; i++) {
      hub.faults.add(FakeHub.breaksAfter(20_000));
    }
    Path snapshot = models().fetch(ID);
    assertArrayEquals(hub.files.get(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    assertTrue(hub.requests.stream().anyMatch(r -> r.contains("bytes=")), hub.requests.toString());
    nothingIsWrong();
  }

  @Test
  void whatAnEarlierRunLeftIsGoneOnWith() throws IOException {
    byte[] weights = hub.files.get(WEIGHTS);
    Path part = model().resolve("blobs/" + FakeHub.sha256(weights) + ".nibble.incomplete");
    Files.createDirectories(part.getParent());
    Files.write(part, Arrays.copyOf(weights, 123_456));
    models().fetch(ID);
    assertTrue(
        hub.requests.contains("GET /store/" + WEIGHTS + " bytes=123456-"), hub.requests.toString());
    assertFalse(Files.exists(part));
    nothingIsWrong();
  }

  @Test
  void whatIsLeftOfOtherBytesIsFetchedAnew() throws IOException {
    byte[] weights = hub.files.get(WEIGHTS);
    Path part = model().resolve("blobs/" + FakeHub.sha256(weights) + ".nibble.incomplete");
    Files.createDirectories(part.getParent());
    for (int length : new int[] {1000, weights.length, weights.length + 5}) {
      Files.write(part, new byte[length]);
      Path snapshot = models().fetch(ID);
      assertArrayEquals(weights, Files.readAllBytes(snapshot.resolve(WEIGHTS)));
      WholeDirectory.delete(model().resolve("snapshots"));
      Files.delete(model().resolve("blobs/" + FakeHub.sha256(weights)));
    }
  }

  @Test
  void aServerThatKnowsNoRangesIsReadFromTheStart() throws IOException {
    hub.faults.add((exchange, body) -> FakeHub.send(exchange, body)); // config.json, or another
    hub.faults.add((exchange, body) -> FakeHub.send(exchange, body));
    hub.faults.add(FakeHub.breaksAfter(50_000));
    hub.faults.add((exchange, body) -> FakeHub.body(body).answer(exchange, body)); // 200 to a range
    Path snapshot = models().fetch(ID);
    assertArrayEquals(hub.files.get(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    nothingIsWrong();
  }

  @Test
  void aRangeThatIsRefusedIsTriedFromTheStart() throws IOException {
    byte[] weights = hub.files.get(WEIGHTS);
    Path part = model().resolve("blobs/" + FakeHub.sha256(weights) + ".nibble.incomplete");
    Files.createDirectories(part.getParent());
    Files.write(part, Arrays.copyOf(weights, 1000));
    only(WEIGHTS);
    hub.faults.add(FakeHub.status(416));
    Path snapshot = models().fetch(ID);
    assertArrayEquals(weights, Files.readAllBytes(snapshot.resolve(WEIGHTS)));
  }

  /** Only one file is left to fetch. */
  private void only(String name) throws IOException {
    HubCache layout = new HubCache(cache, FakeHub.REPOSITORY);
    for (String other : List.of("config.json", "tokenizer.json", WEIGHTS)) {
      byte[] content = hub.files.get(other);
      String sum = other.equals(WEIGHTS) ? FakeHub.sha256(content) : FakeHub.gitSum(content);
      HubFile file = new HubFile(other, content.length, sum);
      if (!other.equals(name)) {
        Files.createDirectories(layout.blob(file).getParent());
        Files.write(layout.blob(file), content);
        layout.link(FakeHub.COMMIT, file);
      }
    }
  }

  @Test
  void wrongBytesOfTheRightSizeAreFetchedOnceMoreAndThenRefused() throws IOException {
    only(WEIGHTS);
    byte[] wrong = hub.files.get(WEIGHTS).clone();
    wrong[7]++;
    hub.faults.add(FakeHub.body(wrong));
    models().fetch(ID);
    nothingIsWrong();
    WholeDirectory.delete(cache);
    only(WEIGHTS);
    hub.faults.add(FakeHub.body(wrong));
    hub.faults.add(FakeHub.body(wrong));
    contains(
        refused(),
        "org/tiny: 'model.safetensors' has other bytes than the hub says",
        "expected " + FakeHub.sha256(hub.files.get(WEIGHTS)),
        "not kept");
    nothingIsWrong();
    assertFalse(Files.exists(cache.resolve("models--org--tiny/refs/main")));
    WholeDirectory.delete(cache);
    only("config.json");
    hub.faults.add(FakeHub.body(bytes("[]")));
    hub.faults.add(FakeHub.body(bytes("[]")));
    contains(refused(), "'config.json' has other bytes", "git's SHA-1");
    nothingIsWrong();
  }

  @Test
  void moreBytesThanPromisedAreRefusedAndFewerGoneOnWith() throws IOException {
    only(WEIGHTS);
    byte[] weights = hub.files.get(WEIGHTS);
    hub.faults.add(FakeHub.body(Arrays.copyOf(weights, weights.length + 1)));
    contains(refused(), "is longer than the hub says, 300000 bytes: not kept");
    hub.faults.add(FakeHub.body(Arrays.copyOf(weights, 1000)));
    models().fetch(ID);
    nothingIsWrong();
  }

  @Test
  void anEmptyAnswerIsNoFile() throws IOException {
    only(WEIGHTS);
    for (int i = 0; i < 3; i++) {
      hub.faults.add(FakeHub.status(200));
    }
    contains(refused(), "failed 3 times", "no more than 0 of 300000 bytes");
    nothingIsWrong();
  }

  @Test
  void anEncodedAnswerIsRefused() throws IOException {
    only(WEIGHTS);
    hub.faults.add(FakeHub.body(hub.files.get(WEIGHTS), "Content-Encoding", "gzip"));
    contains(refused(), "comes encoded ('gzip'), which was not asked for");
    nothingIsWrong();
  }

  @Test
  void aServerThatStopsSendingIsNotWaitedForLong() throws IOException {
    only(WEIGHTS);
    hub.faults.add(FakeHub.stallsAfter(1000));
    long begin = System.nanoTime();
    models().fetch(ID);
    assertTrue(System.nanoTime() - begin < 2_900_000_000L, "not before the server gave up");
    nothingIsWrong();
  }

  @ParameterizedTest
  @ValueSource(strings = {"file:///etc/passwd", "http://169.254.169.254/latest", "ftp://x/y", ""})
  void redirectsToOtherPlacesAreRefused(String target) throws IOException {
    only(WEIGHTS);
    hub.faults.add(FakeHub.status(302, "Location", target));
    contains(refused(), "redirects to", "refused");
    nothingIsWrong();
  }

  /** Addresses of storage are signed for some minutes. */
  @Test
  void anAddressThatIsNoLongerSignedIsAskedForAnew() throws IOException {
    only(WEIGHTS);
    hub.faults.add(FakeHub.status(403));
    models().fetch(ID);
    assertEquals(2, hub.requests.stream().filter(r -> r.contains("/resolve/")).count());
    nothingIsWrong();
  }

  @Test
  void aConnectionThatIsNotTrustedIsNotGoneAround() throws IOException {
    HubSettings plain = hub.settings(cache);
    try (ServerSocket server = new ServerSocket(0, 9, InetAddress.getLoopbackAddress())) {
      Thread thread = new Thread(() -> answerWithoutEncryption(server));
      thread.setDaemon(true);
      thread.start();
      URI endpoint = URI.create("https://127.0.0.1:" + server.getLocalPort());
      HubSettings https = new HubSettings(endpoint, cache, plain.token(), false, plain.patience());
      contains(
          refused(() -> new HubModels(https, lines::add).fetch(ID)),
          "org/tiny: the connection is not trusted: the answer is not encrypted: check the address");
      assertFalse(lines.toString().contains("trying again"), lines.toString());
    }
  }

  private static void answerWithoutEncryption(ServerSocket server) {
    while (!server.isClosed()) {
      try (Socket socket = server.accept()) {
        socket.getOutputStream().write(bytes("HTTP/1.1 200 OK\r\n\r\n"));
        socket.getOutputStream().flush();
        socket.getInputStream().transferTo(OutputStream.nullOutputStream());
      } catch (IOException e) {
        // closed by the client, or the test is over
      }
    }
  }

  @Test
  void redirectsInACircleEnd() throws IOException {
    only(WEIGHTS);
    for (int i = 0; i < 10; i++) {
      hub.faults.add(FakeHub.status(302, "Location", hub.storageUri(WEIGHTS)));
    }
    contains(refused(), "redirects more than 5 times");
  }

  @ParameterizedTest
  @CsvSource({
    "http://192.0.2.1, http://127.0.0.1/x, true",
    "http://192.0.2.1, http://[::1]/x, true",
    "http://192.0.2.1, http://10.1.2.3/x, true",
    "http://192.0.2.1, http://[fd00::1]/x, true",
    "http://192.0.2.1, http://169.254.169.254/x, true",
    "http://192.0.2.1, http://0.0.0.0/x, true",
    "http://192.0.2.1, http://198.51.100.7/x, false",
    "http://10.0.0.1, http://10.1.2.3/x, false",
    "http://10.0.0.1, http://127.0.0.1/x, true",
    "http://127.0.0.1:1, http://localhost:2/x, false",
    "http://127.0.0.1:1, http://169.254.169.254/x, true",
  })
  void aHubDoesNotLeadIntoNetworksItIsNotIn(String endpoint, String target, boolean inside) {
    HubSettings here = hub.settings(cache);
    HubSettings there =
        new HubSettings(URI.create(endpoint), cache, Optional.empty(), false, here.patience());
    assertEquals(inside, new HubHttp(there).isInside(URI.create(target)));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "401 |                  | the token is not accepted (401)",
        "401 | RepoNotFound     | is not there, or the token is not accepted (401)",
        "403 |                  | is gated or private (403): accept its conditions at",
        "403 | GatedRepo        | use a token of an account that may read it",
        "404 | RepoNotFound     | is not there (404): check the name",
        "404 | RevisionNotFound | has no revision 'main' (404)",
        "400 |                  | answers 400",
      })
  void whatTheHubRefusesIsExplained(int status, String code, String expected) {
    hub.listingFaults.add(
        code == null ? FakeHub.status(status) : FakeHub.status(status, "X-Error-Code", code));
    contains(refused(), "org/tiny: ", expected);
    assertEquals(1, hub.requests.size(), "asked once");
  }

  @ParameterizedTest
  @ValueSource(ints = {408, 429, 500, 502, 503, 504})
  void whatMayPassIsTriedAgain(int status) {
    hub.listingFaults.add(FakeHub.status(status));
    hub.listingFaults.add(FakeHub.status(status));
    models().fetch(ID);
    assertEquals(2, lines.stream().filter(l -> l.contains("trying again in")).count());
    for (int i = 0; i < 3; i++) {
      hub.listingFaults.add(FakeHub.status(status));
    }
    contains(refused(), "failed 3 times", "" + status, "run again to go on");
  }

  @Test
  void theServersOwnPauseIsKept() {
    hub.listingFaults.add(FakeHub.status(429, "Retry-After", "1"));
    long begin = System.nanoTime();
    models().fetch(ID);
    assertTrue(System.nanoTime() - begin >= 1_000_000_000L);
    contains(lines.toString(), "HF_TOKEN", "trying again in 1.0 s");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "<html>Sign in</html>",
        "[]",
        "{\"sha\":\"main\",\"siblings\":[]}",
        "{\"a\":1",
        ""
      })
  void whatIsNoListingIsRefused(String body) {
    hub.listingFaults.add(FakeHub.body(bytes(body + " ")));
    contains(refused(), "the listing", "is HF_ENDPOINT the address of a hub?");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "../../.ssh/x.safetensors",
        "/etc/x",
        "C:x",
        "\\\\host\\s",
        "a/../../x",
        "..",
      })
  void namesThatLeadElsewhereAreRefused(String name) throws IOException {
    hub.files.put(name, bytes("x"));
    contains(refused(), "has a file named", "refused");
    assertFalse(Files.exists(cache.resolve("models--org--tiny")));
  }

  @ParameterizedTest
  @ValueSource(strings = {"CON.safetensors", "lpt1.safetensors", "a:b.safetensors", "LONG"})
  void namesThatAreNoFilesEverywhereAreRefused(String name) {
    hub.files.remove(WEIGHTS);
    String odd = name.equals("LONG") ? "x".repeat(300) + ".safetensors" : name;
    hub.files.put(odd, bytes("x"));
    contains(refused(), "has a file named", "refused");
  }

  @Test
  void namesThatDifferInCaseAloneAreRefused() {
    hub.files.remove(WEIGHTS);
    hub.files.put("a.safetensors", bytes("x"));
    hub.files.put("A.safetensors", bytes("y"));
    contains(refused(), "'A.safetensors' and 'a.safetensors', which are one on some systems");
  }

  @Test
  void whatDoesNotFitIsRefusedBeforeItIsFetched() {
    hub.listingFaults.add(
        (exchange, body) -> {
          String huge = "\"size\":" + (1L << 60) + ",";
          String text = new String(body, StandardCharsets.UTF_8);
          byte[] other = bytes(text.replace("\"size\":300000", huge.replaceFirst(",$", "")));
          FakeHub.body(other).answer(exchange, body);
        });
    contains(refused(), "needs ", " are free: make room, or name another place with HF_HUB_CACHE");
    assertEquals(1, hub.requests.size());
  }

  @Test
  void shardsAreThoseOfTheIndex() throws IOException {
    hub.files.remove(WEIGHTS);
    hub.files.put("big.safetensors", bytes("one"));
    hub.files.put("consolidated.safetensors", bytes("the same in one file"));
    hub.files.put(
        "model.safetensors.index.json", bytes("{\"weight_map\":{\"w\":\"big.safetensors\"}}"));
    Path snapshot = models().fetch(ID);
    assertTrue(Files.exists(snapshot.resolve("big.safetensors")));
    assertFalse(Files.exists(snapshot.resolve("consolidated.safetensors")));
    Files.delete(snapshot.resolve("big.safetensors"));
    assertTrue(models().cached(ID).isEmpty(), "a shard is missing");
    assertEquals(snapshot, models().locate(ID));
  }

  @ParameterizedTest
  @ValueSource(strings = {"../x.safetensors", "w.bin", "/w.safetensors", "gone.safetensors"})
  void anIndexThatNamesOtherFilesIsRefused(String shard) {
    hub.files.remove(WEIGHTS);
    hub.files.put(
        "model.safetensors.index.json", bytes("{\"weight_map\":{\"w\":\"" + shard + "\"}}"));
    contains(refused(), shard);
  }

  @Test
  void ofSeveralGgufFilesOneIsNamed() throws IOException {
    hub.files.clear();
    for (String name : List.of("a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf")) {
      hub.files.put(name, bytes("GGUF" + name));
    }
    contains(
        refused(),
        "has 2 GGUF models",
        "such as org/tiny/a.gguf",
        "[a.gguf, b-00001-of-00002.gguf]");
    Path one = models().fetch(HubId.parse("org/tiny/a.gguf").orElseThrow());
    assertEquals(model().resolve("snapshots/" + FakeHub.COMMIT + "/a.gguf"), one);
    HubId split = HubId.parse("org/tiny/b-00001-of-00002.gguf").orElseThrow();
    Path first = models().fetch(split);
    assertTrue(Files.exists(first.resolveSibling("b-00002-of-00002.gguf")));
    contains(
        refused(() -> models().fetch(ID.withFile("c.gguf"))), "has no file 'c.gguf'", "a.gguf");
    assertEquals(Optional.of(first), models().cached(split));
  }

  @Test
  void aRepositoryWithOneGgufModelIsThatFile() {
    hub.files.clear();
    hub.files.put("README.md", bytes("for people"));
    hub.files.put("a.gguf", bytes("GGUF"));
    Path file = model().resolve("snapshots/" + FakeHub.COMMIT + "/a.gguf");
    assertEquals(file, models().fetch(ID));
    assertEquals(Optional.of(file), models().cached(ID));
  }

  @Test
  void whatIsNoModelIsRefused() {
    hub.files.remove(WEIGHTS);
    contains(refused(), "has its weights as pickle only, which is not loaded");
    hub.files.remove("pytorch_model.bin");
    contains(refused(), "has no safetensors and no GGUF file");
    hub.files.remove("config.json");
    hub.files.put(WEIGHTS, bytes("x"));
    contains(refused(), "has no config.json");
  }

  @Test
  void offlineTheCacheServesAndSaysWhatItLacks() throws IOException {
    HubSettings on = hub.settings(cache);
    HubSettings off = new HubSettings(on.endpoint(), cache, on.token(), true, on.patience());
    HubModels offline = new HubModels(off, lines::add);
    contains(
        refused(() -> offline.locate(ID)),
        "the cache " + cache + " has no revision 'main' of it, and HF_HUB_OFFLINE is set",
        "'nibble download org/tiny'");
    Path snapshot = models().fetch(ID);
    hub.requests.clear();
    assertEquals(snapshot, offline.locate(ID));
    Files.delete(snapshot.resolve("tokenizer.json"));
    contains(refused(() -> offline.locate(ID)), "lacks [tokenizer.json]");
    assertEquals(List.of(), hub.requests);
  }

  @Test
  void twoAtOnceFetchEachFileOnce() throws IOException {
    CompletableFuture<Path> other =
        CompletableFuture.supplyAsync(
            () -> new HubModels(hub.settings(cache), lines::add).fetch(ID));
    Path snapshot = models().fetch(ID);
    assertEquals(snapshot, other.join());
    assertEquals(1, hub.requests.stream().filter(r -> r.contains("/store/")).count());
    nothingIsWrong();
  }

  @Test
  void aPlanSaysWhatWouldBeFetched() throws IOException {
    HubModels.Plan plan = models().plan(ID);
    assertEquals(
        List.of("config.json", WEIGHTS, "tokenizer.json"),
        plan.files().keySet().stream().sorted().toList());
    assertEquals(300_000 + 2 + 12, plan.bytes());
    assertFalse(Files.exists(plan.snapshot()));
    models().fetch(ID);
    assertEquals(0, models().plan(ID).bytes());
  }

  /** As fault 16 of what to survive: a network that drops all the time, and lies once. */
  @Test
  void nothingWrongIsEverUnderAFinalName() throws IOException {
    Random random = new Random(3);
    byte[] weights = hub.files.get(WEIGHTS);
    for (int round = 0; round < 12; round++) {
      for (int i = 0; i < 4; i++) {
        Fault fault =
            switch (random.nextInt(4)) {
              case 0 -> FakeHub.breaksAfter(random.nextInt(weights.length));
              case 1 -> FakeHub.status(503);
              case 2 -> FakeHub.body(new byte[random.nextInt(weights.length)]);
              default -> FakeHub.status(200);
            };
        hub.faults.add(fault);
      }
      try {
        models().fetch(ID);
      } catch (InvalidInputException e) {
        assertFalse(e.getMessage().isBlank());
      }
      hub.faults.clear();
      nothingIsWrong();
      models().fetch(ID);
      nothingIsWrong();
      WholeDirectory.delete(cache);
    }
  }
}
