package ai.nibble.golden;

import ai.nibble.safetensors.SafetensorsFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;

/**
 * Golden files that the reference stack itself contradicts when it is run on the files beside them.
 * In their place stand values made anew by {@code golden.py} in the test resources, which also
 * reproduces a shipped case that holds, as its control. A file is known by its SHA-256, so a mended
 * one is compared again.
 */
final class Contradicted {
  /**
   * bitsandbytes 0.50 reads block {@code row * floor(columns / block) + column / block} on CPUs
   * with AVX-512, another one than it wrote where the block does not divide the row; there it
   * reproduces the shipped losses to 5e-7, on CPUs without AVX-512 those made anew.
   */
  static final String AVX512 =
      "bitsandbytes' AVX-512 kernel misreads absmax where the block does not divide the row";

  private static final Map<String, String> REASONS =
      Map.ofEntries(
          Map.entry(
              "86fd9bbce5f0997e52b4bd23bbae632cbc21584e888c423b92537a49a9d595d8",
              "its base had an output head that is not in the folder; PEFT differs as much"),
          Map.entry(
              "40bbdacde1be6a7ec4d2a1be797ebd9851178f3f7eb9b47b72a358398df95705",
              "its base had an output head that is not in the folder; PEFT differs as much"),
          Map.entry(
              "725a40427505a278cc5bb55cf15c73123a58031af3dc5bf6cb735eab0ef1e851",
              "its base had an output head that is not in the folder; PEFT differs as much"),
          Map.entry("f03ec52036d674f140ec264e6bb816e312d40acac96a179f3a53b05c2f6c0913", AVX512),
          Map.entry("6afa33c57b175f7c5837349ba51d50369976e2c5af292235b7a2919c503ec3b3", AVX512),
          Map.entry("a15f19e9e9c82c07c112cd048012bb0ada16b8342345c8da4c0787cfb7953298", AVX512),
          Map.entry("c644f3e40c799228e3cbac1545a569ed9e8a532bb6893139a3da8a89ddc4dd7c", AVX512),
          Map.entry("7576d792e99916fb4295be23d7e09d8233da8e80686826e09d0b04085f71b92d", AVX512),
          Map.entry(
              "f8329f3fbc1c730fe43d33917bc441453245c8e2f0540f1f7943f77c8bdcfca0",
              "made by a kernel of bitsandbytes that computes in bfloat16"));

  private Contradicted() {}

  /** Why a file is known to be contradicted; empty for any other. */
  static Optional<String> reason(Path file) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file));
      return Optional.ofNullable(REASONS.get(HexFormat.of().formatHex(digest)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A reference made anew. */
  static Path anew(String name) {
    URL url = Contradicted.class.getResource(name);
    try {
      return Path.of(url.toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  static float[] floats(String file, String tensor) {
    try (SafetensorsFile opened = SafetensorsFile.open(anew(file))) {
      return Golden.floats(opened, tensor);
    }
  }
}
