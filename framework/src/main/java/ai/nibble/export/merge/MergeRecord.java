package ai.nibble.export.merge;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.NibbleVersion;
import ai.nibble.Sha256;
import ai.nibble.WholeFile;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterStore;
import ai.nibble.quant.QuantConfig;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * What was merged, as it stands in the output: {@code merge.json}, and in short in the metadata of
 * every safetensors file ({@code nibble_version}, {@code base_weights}, {@code adapters}).
 *
 * @param baseWeights what the adapters were added to: {@link #ORIGINAL}, the quantisation, or, of a
 *     model that came without a record, {@link #UNKNOWN}
 * @param adapters that the model holds, in the order given
 * @param takenOut those that it held and were taken out again, with the weights they had
 */
record MergeRecord(String baseWeights, List<Entry> adapters, List<Entry> takenOut) {
  static final String NAME = "merge.json";
  static final String ORIGINAL = "original";
  static final String UNKNOWN = "not recorded";

  private static final JsonMapper JSON = JsonMapper.builder().build();

  /**
   * An adapter that was merged.
   *
   * @param name of its directory
   * @param sha256 of its weights' file, hexadecimal
   * @param configSha256 of its {@code adapter_config.json}
   * @param weight factor of its update
   * @param gains of a DoRA adapter, the name of its {@link RowGains} in the model's directory; else
   *     empty
   */
  record Entry(
      String name, String sha256, String configSha256, double weight, Optional<String> gains) {
    static Entry of(MergedAdapter adapter) {
      Path directory = adapter.directory();
      String sum = sha256Of(directory.resolve(AdapterStore.WEIGHTS));
      return new Entry(
          directory.toAbsolutePath().normalize().getFileName().toString(),
          sum,
          sha256Of(directory.resolve(AdapterConfigFile.NAME)),
          adapter.weight(),
          adapter.extras().useDora()
              ? Optional.of(sum.substring(0, 16) + ".safetensors")
              : Optional.empty());
    }

    /** One that a model without a record is believed to hold. */
    static Entry believed(Path directory, double weight) {
      return new Entry(
          directory.toAbsolutePath().normalize().getFileName().toString(),
          sha256Of(directory.resolve(AdapterStore.WEIGHTS)),
          sha256Of(directory.resolve(AdapterConfigFile.NAME)),
          weight,
          Optional.empty());
    }

    /** Where a model's directory has its factors of rows. */
    Optional<Path> gains(Path model) {
      return gains.map(file -> model.resolve(RowGains.DIRECTORY).resolve(file));
    }

    private static List<Entry> read(JsonNode list) {
      List<Entry> entries = new ArrayList<>();
      for (JsonNode entry : list) {
        entries.add(
            new Entry(
                entry.path("name").asText(),
                entry.path("sha256").asText(),
                entry.path("config_sha256").asText(),
                entry.path("weight").asDouble(Double.NaN),
                Optional.ofNullable(entry.path("row_gains").textValue())));
      }
      return entries;
    }

    private void write(ObjectNode json) {
      json.put("name", name);
      json.put("weight", weight);
      json.put("sha256", sha256);
      json.put("config_sha256", configSha256);
      gains.ifPresent(file -> json.put("row_gains", file));
    }
  }

  static MergeRecord of(Optional<QuantConfig> quantization, List<MergedAdapter> adapters) {
    List<Entry> entries = adapters.stream().map(Entry::of).toList();
    return new MergeRecord(described(quantization), entries, List.of());
  }

  /**
   * With the adapters that the base held already, so that they can be taken out of the output, too.
   * Where the base was quantised once more, that would no longer give anything back.
   */
  MergeRecord onto(Optional<MergeRecord> base) {
    if (base.isEmpty() || !baseWeights.equals(ORIGINAL)) {
      return this;
    }
    List<Entry> all = new ArrayList<>(base.get().adapters);
    all.addAll(adapters);
    return new MergeRecord(base.get().baseWeights, all, base.get().takenOut);
  }

  /** The weights that adapters are added to, in words. */
  static String described(Optional<QuantConfig> quantization) {
    return quantization.map(q -> q.description() + ", dequantised to float32").orElse(ORIGINAL);
  }

  /**
   * What is recorded in a model's directory; empty where there is no record.
   *
   * @throws InvalidInputException if the record cannot be read
   */
  static Optional<MergeRecord> read(Path directory) {
    Path file = directory.resolve(NAME);
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    try {
      JsonNode json = JSON.readTree(Files.readAllBytes(file));
      return Optional.of(
          new MergeRecord(
              json.path("base_weights").asText(),
              Entry.read(json.path("adapters")),
              Entry.read(json.path("taken_out"))));
    } catch (IOException e) {
      throw new InvalidInputException(
          file + ": cannot be read as JSON (" + JsonProblem.reason(e) + "): restore or remove it",
          e);
    }
  }

  /**
   * Keeps what taking DoRA adapters out needs.
   *
   * @param made of the adapter that is merged now
   * @param from the directory of the model that was merged onto, or taken out of
   */
  void keepGains(Optional<RowGains> made, Path from, Path directory) throws IOException {
    for (Entry entry : adapters) {
      Optional<Path> target = entry.gains(directory);
      if (target.isEmpty()) {
        continue;
      }
      Path before = entry.gains(from).orElseThrow();
      if (Files.isRegularFile(before)) {
        Files.createDirectories(target.get().getParent());
        Files.copy(before, target.get());
      } else if (made.isPresent()) {
        made.get().write(target.get());
      }
    }
  }

  /** For the files' headers. */
  Map<String, String> metadata() {
    Map<String, String> metadata = new LinkedHashMap<>(SafetensorsWriter.PYTORCH);
    metadata.put("nibble_version", NibbleVersion.text());
    metadata.put("base_weights", baseWeights);
    metadata.put(
        "adapters",
        adapters.stream()
            .map(a -> a.name() + " sha256:" + a.sha256() + " weight " + a.weight())
            .collect(Collectors.joining("; ")));
    return metadata;
  }

  /**
   * Writes the record with the proof's figures.
   *
   * @param undone whether adapters were taken out rather than merged
   */
  void write(Path directory, Path base, DType dtype, boolean undone, MergeProof proof)
      throws IOException {
    ObjectNode json = JSON.createObjectNode();
    json.put("nibble_version", NibbleVersion.text());
    json.put("operation", undone ? "undo" : "merge");
    json.put("base", base.toString());
    json.put("base_weights", baseWeights);
    json.put("dtype", dtype.torchName());
    json.putArray("adapters");
    adapters.forEach(adapter -> adapter.write(json.withArray("adapters").addObject()));
    takenOut.forEach(adapter -> adapter.write(json.withArray("taken_out").addObject()));
    ObjectNode proven = json.putObject("proof");
    proven.put("positions", proof.positions());
    put(proven.putObject("difference"), proof.difference());
    put(proven.putObject("bound"), proof.bound());
    put(proven.putObject("effect_of_adapters"), proof.effect());
    WholeFile.write(directory.resolve(NAME), text(json));
  }

  private static void put(ObjectNode json, LogitDifference difference) {
    json.put("max_logit_difference", difference.max());
    json.put("mean_kl", difference.meanKl());
  }

  private static String text(ObjectNode json) {
    try {
      return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(json) + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  /** SHA-256 of a file, hexadecimal. */
  static String sha256Of(Path file) {
    try {
      return Sha256.of(file);
    } catch (IOException e) {
      throw new InvalidInputException(file + ": cannot be read: " + FileProblem.reason(e), e);
    }
  }
}
