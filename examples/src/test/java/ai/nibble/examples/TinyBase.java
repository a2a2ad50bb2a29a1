package ai.nibble.examples;

import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelStore;
import ai.nibble.model.RandomWeights;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The tokenizer of the shipped base over two narrow layers of random weights. */
final class TinyBase {
  private TinyBase() {}

  static Path root() {
    return Path.of(System.getProperty("nibble.root", "..")).toAbsolutePath().normalize();
  }

  /** Writes the model into a new directory below the given one. */
  static Path write(Path parent) throws IOException {
    Path shipped = root().resolve("models/nibble-5m");
    Path untrained = Files.createDirectory(parent.resolve("untrained"));
    for (String name : new String[] {"tokenizer.json", "tokenizer_config.json"}) {
      Files.copy(shipped.resolve(name), untrained.resolve(name));
    }
    Files.copy(shipped.resolve("chat_template.jinja"), untrained.resolve("chat_template.jinja"));
    Files.writeString(
        untrained.resolve("config.json"),
        """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float32",
         "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": 2048,
         "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
         "hidden_act": "silu", "max_position_embeddings": 512, "initializer_range": 0.1,
         "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": true}
        """);
    Path base = parent.resolve("base");
    try (RandomWeights weights = RandomWeights.of(untrained, 7, notice -> {});
        CausalLm model =
            CausalLm.load(
                weights, untrained, LoadOptions.trained(DType.FLOAT32), (done, total) -> {})) {
      ModelStore.save(model, untrained, base);
    }
    return base;
  }

  /** Five rows of the type alpaca. */
  static Path rows(Path parent) throws IOException {
    StringBuilder rows = new StringBuilder();
    String[] names = {"red", "green", "blue", "black", "white"};
    for (String name : names) {
      rows.append(
          "{\"instruction\": \"Name a colour like %s.\", \"output\": \"%s\"}%n"
              .formatted(name, name.toUpperCase(java.util.Locale.ROOT)));
    }
    return Files.writeString(parent.resolve("rows.jsonl"), rows);
  }
}
