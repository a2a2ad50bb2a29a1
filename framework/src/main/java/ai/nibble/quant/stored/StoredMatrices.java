package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.Quant8Config;
import ai.nibble.safetensors.SafetensorsDirectory;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** The quantised matrices of a checkpoint, found by the names of their tensors. */
public final class StoredMatrices {
  /** A damaged checkpoint is so in every layer; these many lines say enough. */
  private static final int MAX_PROBLEMS = 8;

  private final Map<String, StoredMatrix> matrices = new LinkedHashMap<>();
  private final Set<String> parts = new HashSet<>();
  private final List<String> problems = new ArrayList<>();

  private StoredMatrices() {}

  /**
   * Finds them, and checks their tensors' headers. Nothing but small descriptions is read.
   *
   * @param files stay open as long as this is used
   * @param config what is said of the quantisation; bitsandbytes' tensors speak for themselves
   * @throws InvalidInputException with a line for each that is damaged, or says something else than
   *     the configuration
   */
  public static StoredMatrices find(
      SafetensorsDirectory files, Optional<QuantizationConfig> config) {
    StoredMatrices found = new StoredMatrices();
    TensorParts tensors = new TensorParts(files);
    for (String name : files.names()) {
      found.attempt(() -> open(tensors, name, config).ifPresent(found::add));
    }
    for (String name : files.names()) {
      if (name.endsWith(".weight" + BitsAndBytes4.ABSMAX) && !found.isPart(name)) {
        found.attempt(() -> refuseWithoutState(tensors, name));
      }
    }
    if (!found.problems.isEmpty()) {
      int more = found.problems.size() - MAX_PROBLEMS;
      List<String> lines =
          new ArrayList<>(found.problems.subList(0, Math.min(MAX_PROBLEMS, found.problems.size())));
      if (more > 0) {
        lines.add(files.directory() + ": and " + more + " more quantised weights like these");
      }
      throw new InvalidInputException(lines);
    }
    return found;
  }

  private static void refuseWithoutState(TensorParts tensors, String name) {
    String weight = name.substring(0, name.length() - BitsAndBytes4.ABSMAX.length());
    if (!tensors.names().stream().anyMatch(n -> n.startsWith(weight + QuantState.SUFFIX))) {
      throw new InvalidInputException(
          tensors.place(name)
              + " has no quantisation state beside it, expected '"
              + weight
              + QuantState.SUFFIX
              + "nf4' or '…fp4'; fetch the file again, or save it with bitsandbytes 0.41 or newer");
    }
  }

  private void attempt(Runnable step) {
    try {
      step.run();
    } catch (InvalidInputException e) {
      problems.addAll(e.problems());
    }
  }

  private static Optional<StoredMatrix> open(
      TensorParts tensors, String name, Optional<QuantizationConfig> config) {
    if (name.contains(QuantState.SUFFIX)) {
      BitsAndBytes4 matrix = BitsAndBytes4.open(tensors, name);
      config.ifPresent(c -> requireSame(tensors, matrix, name, c));
      return Optional.of(matrix);
    }
    if (name.endsWith(BitsAndBytes8.SCB)) {
      double threshold =
          config.orElse(null) instanceof QuantizationConfig.BitsAndBytes c
              ? c.threshold()
              : Quant8Config.THRESHOLD;
      return Optional.of(BitsAndBytes8.open(tensors, name, threshold));
    }
    if (name.endsWith(IntegerMatrix.QWEIGHT)) {
      return Optional.of(integers(tensors, name, config.orElse(null)));
    }
    return Optional.empty();
  }

  private static StoredMatrix integers(
      TensorParts tensors, String name, QuantizationConfig config) {
    if (config instanceof QuantizationConfig.Gptq gptq) {
      return GptqMatrix.open(tensors, name, gptq);
    }
    if (config instanceof QuantizationConfig.Awq awq) {
      return AwqMatrix.open(tensors, name, awq);
    }
    throw new InvalidInputException(
        tensors.place(name)
            + " is quantised, expected '"
            + QuantizationConfig.KEY
            + "' of config.json, or "
            + QuantizationConfig.GPTQ_FILE
            + ", to say how (quant_method gptq or awq); fetch the model's files again");
  }

  private static void requireSame(
      TensorParts tensors, BitsAndBytes4 matrix, String stateName, QuantizationConfig config) {
    if (!(config instanceof QuantizationConfig.BitsAndBytes c) || c.in8bit()) {
      throw new InvalidInputException(
          tensors.place(stateName)
              + " is bitsandbytes' of 4 bits, but '"
              + QuantizationConfig.KEY
              + "' of config.json says otherwise; use the config.json that belongs to these"
              + " weights");
    }
    if (c.type().isPresent() && c.type().get() != matrix.config().type()) {
      throw new InvalidInputException(
          tensors.place(stateName)
              + " says "
              + matrix.config().type().key()
              + ", but 'bnb_4bit_quant_type' of config.json is "
              + c.type().get().key()
              + "; use the config.json that belongs to these weights");
    }
  }

  private void add(StoredMatrix matrix) {
    if (matrices.put(matrix.name(), matrix) != null) {
      throw new InvalidInputException(
          "tensor '"
              + matrix.name()
              + "' has two quantisation states, expected one: the file is damaged");
    }
    parts.addAll(matrix.parts());
  }

  /** By the names of the plain weights that they stand for. */
  public Map<String, StoredMatrix> byName() {
    return Collections.unmodifiableMap(matrices);
  }

  /** Whether a tensor of the files is part of one. */
  public boolean isPart(String tensor) {
    return parts.contains(tensor);
  }

  /** How they are held, in words, the commonest format first; empty where there is none. */
  public Optional<String> description() {
    Map<String, Integer> counts = new LinkedHashMap<>();
    matrices.values().forEach(matrix -> counts.merge(matrix.description(), 1, Integer::sum));
    return counts.entrySet().stream()
        .sorted(Map.Entry.<String, Integer>comparingByValue().reversed())
        .map(Map.Entry::getKey)
        .reduce((a, b) -> a + "; " + b);
  }
}
