package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpHeaders;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What a repository holds at a revision.
 *
 * @param commit that the revision is now
 * @param entries by name; of each what the listing says, which may be nothing but the name
 */
record HubListing(String commit, Map<String, JsonNode> entries) {
  private static final int MAX_BYTES = 64 << 20;

  private static final JsonMapper JSON =
      JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  /** Asks the hub. */
  static HubListing read(HubHttp http, HubId id) throws IOException, InterruptedException {
    URI uri =
        http.uri(
            "/api/models/" + id.repository() + "/revision/" + encoded(id.wanted()) + "?blobs=true");
    try (InputStream body = http.get(uri, 0, id).body()) {
      byte[] bytes = body.readNBytes(MAX_BYTES + 1);
      if (bytes.length > MAX_BYTES) {
        throw new InvalidInputException(
            id + ": the listing is larger than " + MAX_BYTES + " bytes");
      }
      return parse(JSON.readTree(bytes), id);
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(
          id + ": the listing is no JSON: is HF_ENDPOINT the address of a hub?", e);
    }
  }

  private static HubListing parse(JsonNode root, HubId id) {
    String commit = root.path("sha").asText("");
    if (!HubId.isCommit(commit) || !root.path("siblings").isArray()) {
      throw new InvalidInputException(
          id + ": the listing names no commit and files: is HF_ENDPOINT the address of a hub?");
    }
    Map<String, JsonNode> entries = new LinkedHashMap<>();
    for (JsonNode entry : root.get("siblings")) {
      String name = entry.path("rfilename").asText("");
      if (RepoPath.leadsElsewhere(name)) {
        RepoPath.require(id.toString(), name);
      }
      entries.put(name, entry);
    }
    return new HubListing(commit, entries);
  }

  Set<String> names() {
    return entries.keySet();
  }

  /** A file, by the listing or else by the head of it. */
  HubFile file(String name, HubHttp http, HubId id) throws IOException, InterruptedException {
    JsonNode entry = entries.get(name);
    JsonNode lfs = entry.path("lfs");
    JsonNode size = lfs.path("size").isIntegralNumber() ? lfs.path("size") : entry.path("size");
    String sum = lfs.path("sha256").asText(entry.path("blobId").asText(""));
    if (size.isIntegralNumber() && !sum.isEmpty()) {
      return checked(new HubFile(name, size.longValue(), sum), id);
    }
    HttpHeaders head = http.head(http.uri(resolve(id, name)), id).headers();
    Optional<String> tag = head.firstValue("X-Linked-Etag").or(() -> head.firstValue("ETag"));
    Optional<String> length =
        head.firstValue("X-Linked-Size").or(() -> head.firstValue("Content-Length"));
    String commitThere = head.firstValue("X-Repo-Commit").orElse(commit);
    if (tag.isEmpty() || length.filter(l -> l.matches("\\d{1,18}")).isEmpty()) {
      throw new InvalidInputException(
          id + ": the hub says no size or no sum of " + RepoPath.shown(name) + ": not fetched");
    }
    if (!commitThere.equals(commit)) {
      throw new IOException("the repository changed while it was read");
    }
    String bare = tag.get().replaceFirst("^W/", "").replace("\"", "");
    return checked(new HubFile(name, Long.parseLong(length.get()), bare), id);
  }

  private static HubFile checked(HubFile file, HubId id) {
    if (file.size() < 0 || !file.sum().matches("[\\w.-]{1,128}") || file.sum().startsWith(".")) {
      throw new InvalidInputException(
          id + ": the hub says an odd size or sum of " + RepoPath.shown(file.name()));
    }
    return file;
  }

  /** Where a file's bytes are asked for. */
  String resolve(HubId id, String name) {
    return "/" + id.repository() + "/resolve/" + commit + "/" + path(name);
  }

  /** A path with each of its parts percent-encoded. */
  private static String path(String name) {
    return Arrays.stream(name.split("/")).map(HubListing::encoded).collect(Collectors.joining("/"));
  }

  /** As one part of a path: the slashes of a revision are part of its name. */
  private static String encoded(String part) {
    return URLEncoder.encode(part, StandardCharsets.UTF_8).replace("+", "%20");
  }
}
