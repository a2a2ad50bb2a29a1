package ai.nibble.hub;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Where models come from and are kept, by the environment variables of Hugging Face's own tools.
 *
 * @param endpoint the hub or a mirror: {@code HF_ENDPOINT}
 * @param cache of all models: {@code HF_HUB_CACHE}, else {@code hub} in {@code HF_HOME}
 * @param token {@code HF_TOKEN}, else the file {@code HF_TOKEN_PATH} or {@code token} in {@code
 *     HF_HOME}
 * @param offline {@code HF_HUB_OFFLINE}: nothing is asked of the network
 * @param patience with a network that fails
 */
public record HubSettings(
    URI endpoint, Path cache, Optional<Token> token, boolean offline, Patience patience) {
  private static final String HUB = "https://huggingface.co";
  private static final int MAX_TOKEN_BYTES = 4096;

  /** A secret: no message, log or exception shows it. */
  public static final class Token {
    private final String value;

    public Token(String value) {
      this.value = value;
    }

    String header() {
      return "Bearer " + value;
    }

    @Override
    public String toString() {
      return "(token)";
    }
  }

  /**
   * How long to wait.
   *
   * @param connect for a connection, and for the head of an answer
   * @param stall without a byte of an answer's body
   * @param attempts of a request, or of a file in a row without a new byte
   * @param pause before the second attempt; doubled before each further one
   */
  public record Patience(Duration connect, Duration stall, int attempts, Duration pause) {
    static final Patience USUAL =
        new Patience(Duration.ofSeconds(20), Duration.ofSeconds(60), 5, Duration.ofSeconds(1));
  }

  /** Of this process. */
  public static HubSettings ofEnvironment() {
    return of(System.getenv(), Path.of(System.getProperty("user.home")));
  }

  /**
   * @param home of the user
   * @throws InvalidInputException if a variable's value cannot be used
   */
  static HubSettings of(Map<String, String> environment, Path home) {
    Path own =
        first(environment, "HF_HOME")
            .map(Path::of)
            .orElseGet(
                () ->
                    first(environment, "XDG_CACHE_HOME")
                        .map(Path::of)
                        .orElse(home.resolve(".cache"))
                        .resolve("huggingface"));
    Path cache =
        first(environment, "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
            .map(Path::of)
            .orElse(own.resolve("hub"));
    boolean offline =
        isOn(environment, "HF_HUB_OFFLINE") || isOn(environment, "TRANSFORMERS_OFFLINE");
    return new HubSettings(
        endpoint(first(environment, "HF_ENDPOINT").orElse(HUB)),
        expanded(cache, home).toAbsolutePath().normalize(),
        token(environment, own, home),
        offline,
        Patience.USUAL);
  }

  private static URI endpoint(String text) {
    try {
      URI uri = URI.create(text.replaceAll("/+$", ""));
      boolean http = "http".equals(uri.getScheme()) || "https".equals(uri.getScheme());
      if (http && uri.getHost() != null && uri.getUserInfo() == null) {
        return uri;
      }
    } catch (IllegalArgumentException e) {
      // said below, without the text, which may hold a password
    }
    throw new InvalidInputException(
        "HF_ENDPOINT is no address of a hub, expected one such as " + HUB);
  }

  private static Optional<Token> token(Map<String, String> environment, Path own, Path home) {
    Optional<String> given = first(environment, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
    if (given.isPresent()) {
      return Optional.of(token(given.get(), "HF_TOKEN"));
    }
    Path file =
        expanded(
            first(environment, "HF_TOKEN_PATH").map(Path::of).orElse(own.resolve("token")), home);
    if (isOn(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN") || !Files.isRegularFile(file)) {
      return Optional.empty();
    }
    try {
      if (Files.size(file) > MAX_TOKEN_BYTES) {
        throw new InvalidInputException(
            file + ": is no token: it has " + Files.size(file) + " bytes");
      }
      String text = Files.readString(file, StandardCharsets.UTF_8).strip();
      return text.isEmpty() ? Optional.empty() : Optional.of(token(text, file.toString()));
    } catch (IOException e) {
      throw new InvalidInputException(
          file + ": the token cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /** Whatever breaks a header is refused without being shown. */
  private static Token token(String text, String where) {
    String value = text.strip();
    if (!value.chars().allMatch(c -> c > ' ' && c < 127)) {
      throw new InvalidInputException(
          where + ": is no token: expected one line of letters and digits, as the hub shows it");
    }
    return new Token(value);
  }

  private static Path expanded(Path path, Path home) {
    return path.startsWith("~") ? home.resolve(Path.of("~").relativize(path)) : path;
  }

  private static Optional<String> first(Map<String, String> environment, String... names) {
    for (String name : names) {
      String value = environment.get(name);
      if (value != null && !value.isBlank()) {
        return Optional.of(value.strip());
      }
    }
    return Optional.empty();
  }

  private static boolean isOn(Map<String, String> environment, String name) {
    return List.of("1", "on", "yes", "true")
        .contains(environment.getOrDefault(name, "").strip().toLowerCase(Locale.ROOT));
  }
}
