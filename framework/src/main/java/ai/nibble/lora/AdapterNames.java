package ai.nibble.lora;

import ai.nibble.model.Placement;
import ai.nibble.tensor.Device;
import java.util.Optional;

/**
 * The names of an adapter's tensors, as PEFT saves them: {@code base_model.model.}, the module's
 * path in the base model, and what the tensor is.
 */
public final class AdapterNames {
  private static final String PREFIX = "base_model.model.";

  private AdapterNames() {}

  /** What a tensor in an adapter file is. */
  public enum Kind {
    /** A of a linear module, {@code [r, in]}. */
    LORA_A(".lora_A.weight"),
    /** B of a linear module, {@code [out, r]}. */
    LORA_B(".lora_B.weight"),
    /** The bias of B, {@code [out]}. */
    LORA_B_BIAS(".lora_B.bias"),
    /** A of an embedding, {@code [r, vocab]}. */
    LORA_EMBEDDING_A(".lora_embedding_A"),
    /** B of an embedding, {@code [dim, r]}. */
    LORA_EMBEDDING_B(".lora_embedding_B"),
    /** DoRA's magnitudes, {@code [out]}. */
    LORA_MAGNITUDE_VECTOR(".lora_magnitude_vector"),
    /** New embeddings of single tokens, {@code [tokens, dim]}. */
    TRAINABLE_TOKENS(".token_adapter.trainable_tokens_delta"),
    /** The weight under an adapted embedding. */
    BASE_LAYER(".base_layer.weight"),
    /** The trained bias of a module that carries A and B. */
    BASE_LAYER_BIAS(".base_layer.bias"),
    /** The weight of a module that was trained whole. */
    WEIGHT(".weight"),
    /** The bias of a module that was trained whole. */
    BIAS(".bias");

    private final String suffix;

    Kind(String suffix) {
      this.suffix = suffix;
    }
  }

  /**
   * A name taken apart.
   *
   * @param modulePath the module in the base model, such as {@code model.layers.0.self_attn.q_proj}
   * @param kind what the tensor is
   */
  public record AdapterTensor(String modulePath, Kind kind) {}

  /** The name of a module's A. */
  public static String loraA(String modulePath) {
    return name(modulePath, Kind.LORA_A);
  }

  /** Whether it is the name of a tensor B. */
  public static boolean isLoraB(String tensorName) {
    return tensorName.endsWith(Kind.LORA_B.suffix);
  }

  /** The name of a module's B. */
  public static String loraB(String modulePath) {
    return name(modulePath, Kind.LORA_B);
  }

  /** The name of DoRA's magnitudes of a module. */
  public static String magnitude(String modulePath) {
    return name(modulePath, Kind.LORA_MAGNITUDE_VECTOR);
  }

  /** The name of a module's tensor. */
  public static String name(String modulePath, Kind kind) {
    return PREFIX + modulePath + kind.suffix;
  }

  /**
   * Where a tensor is that is trained on a placed model: with its module.
   *
   * @param name of those that {@link #parse} knows
   */
  static Device device(String name, Placement placement) {
    return placement.of(parse(name).orElseThrow().modulePath());
  }

  /** What a tensor's name means; empty if PEFT gives no such names. */
  public static Optional<AdapterTensor> parse(String name) {
    if (!name.startsWith(PREFIX)) {
      return Optional.empty();
    }
    for (Kind kind : Kind.values()) { // longer suffixes stand before those they end in
      int end = name.length() - kind.suffix.length();
      if (name.endsWith(kind.suffix) && end > PREFIX.length()) {
        String path = name.substring(PREFIX.length(), end);
        boolean adapterNameLeftIn = path.contains(".lora_") || path.startsWith("lora_");
        return adapterNameLeftIn ? Optional.empty() : Optional.of(new AdapterTensor(path, kind));
      }
    }
    return Optional.empty();
  }
}
