package ai.nibble.model;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/**
 * A random model of a few kilobytes, to be changed and written as safetensors or GGUF. The writers
 * are the tests' own, so that an error shared by a reader and a writer would show.
 */
public final class TinyModel {
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String HEAD = "lm_head.weight";
  static final String Q = "model.layers.1.self_attn.q_proj.weight";

  private static final int HEADS = 3;
  private static final int KV_HEADS = 1;
  private static final int HEAD_DIM = 8;

  public final Map<String, float[]> values = new LinkedHashMap<>();
  final Map<String, List<Long>> shapes = new LinkedHashMap<>();
  public final Map<String, String> fields = new LinkedHashMap<>();
  private final Random random;

  /** One of each architecture, with all that it differs in from the others. */
  public static final List<String> MODEL_TYPES =
      List.of(
          "llama",
          "mistral",
          "qwen2",
          "qwen3",
          "smollm3",
          "gemma2",
          "gemma3_text",
          "phi3",
          "olmo2",
          "mixtral",
          "qwen3_moe");

  public TinyModel(long seed, boolean biases) {
    random = new Random(seed);
    fields.put("model_type", "\"llama\"");
    fields.put("hidden_size", "12");
    fields.put("intermediate_size", "20");
    fields.put("vocab_size", "11");
    fields.put("num_hidden_layers", "2");
    fields.put("num_attention_heads", "" + HEADS);
    fields.put("num_key_value_heads", "" + KV_HEADS);
    fields.put("head_dim", "" + HEAD_DIM);
    fields.put("attention_bias", "" + biases);
    fields.put("mlp_bias", "" + biases);
    add(EMBEDDING, 11, 12);
    for (int layer = 0; layer < 2; layer++) {
      String p = "model.layers." + layer + ".";
      add(p + "input_layernorm.weight", 12);
      add(p + "post_attention_layernorm.weight", 12);
      linear(p + "self_attn.q_proj", HEADS * HEAD_DIM, 12, biases);
      linear(p + "self_attn.k_proj", KV_HEADS * HEAD_DIM, 12, biases);
      linear(p + "self_attn.v_proj", KV_HEADS * HEAD_DIM, 12, biases);
      linear(p + "self_attn.o_proj", 12, HEADS * HEAD_DIM, biases);
      linear(p + "mlp.gate_proj", 20, 12, biases);
      linear(p + "mlp.up_proj", 20, 12, biases);
      linear(p + "mlp.down_proj", 12, 20, biases);
    }
    add("model.norm.weight", 12);
    add(HEAD, 11, 12);
  }

  /**
   * A model of an architecture: Mistral's window is of 5 tokens, Qwen 2 has its biases and a window
   * in the second layer, Qwen 3 its norms of heads, the second layer of SmolLM 3 rotates nothing,
   * the Gemmas have caps that are felt and a window in the first layer, and Phi 3 stretches
   * sequences beyond 12 tokens.
   */
  public static TinyModel of(String modelType, long seed) {
    TinyModel model = new TinyModel(seed, false);
    model.fields.put("model_type", "\"" + modelType + "\"");
    model.fields.put("tie_word_embeddings", "false");
    model.fields.put("bos_token_id", "1");
    model.fields.put("eos_token_id", "2");
    model.fields.put("pad_token_id", "null");
    model.fields.remove("attention_bias");
    model.fields.remove("mlp_bias");
    for (int layer = 0; layer < 2; layer++) {
      String self = "model.layers." + layer + ".self_attn.";
      if (modelType.equals("qwen2")) {
        model.add(self + "q_proj.bias", HEADS * HEAD_DIM);
        model.add(self + "k_proj.bias", KV_HEADS * HEAD_DIM);
        model.add(self + "v_proj.bias", KV_HEADS * HEAD_DIM);
      } else if (modelType.startsWith("qwen3")) {
        model.add(self + "q_norm.weight", HEAD_DIM);
        model.add(self + "k_norm.weight", HEAD_DIM);
      } else if (modelType.startsWith("gemma")) {
        model.add("model.layers." + layer + ".pre_feedforward_layernorm.weight", 12);
        model.add("model.layers." + layer + ".post_feedforward_layernorm.weight", 12);
      }
      if (modelType.equals("gemma3_text")) {
        model.add(self + "q_norm.weight", HEAD_DIM);
        model.add(self + "k_norm.weight", HEAD_DIM);
      }
    }
    switch (modelType) {
      case "mistral" -> model.fields.put("sliding_window", "5");
      case "qwen2" -> {
        model.fields.put("use_sliding_window", "true");
        model.fields.put("sliding_window", "6");
        model.fields.put("max_window_layers", "1");
      }
      case "smollm3" -> model.fields.put("no_rope_layers", "[1, 0]");
      case "gemma2" -> {
        model.fields.put("sliding_window", "5");
        model.fields.put("query_pre_attn_scalar", "8");
        model.fields.put("attn_logit_softcapping", "1.5");
        model.fields.put("final_logit_softcapping", "2.0");
      }
      case "qwen3_moe" -> {
        model.fields.put("num_experts", "5");
        model.fields.put("num_experts_per_tok", "3");
        model.fields.put("moe_intermediate_size", "8");
        model.fields.put("norm_topk_prob", "true");
        model.experts("mlp", 5, 8, "gate_proj", "up_proj", "down_proj");
      }
      case "mixtral" -> {
        model.fields.put("num_local_experts", "4");
        model.fields.put("num_experts_per_tok", "2");
        model.experts("block_sparse_moe", 4, 20, "w1", "w3", "w2");
      }
      case "olmo2" -> model.normalizeAfter();
      case "phi3" -> {
        model.fuse();
        model.fields.put("head_dim", "4");
        model.fields.put("original_max_position_embeddings", "12");
        model.fields.put(
            "rope_scaling",
            "{\"type\": \"longrope\", \"short_factor\": [1.0, 1.5], \"long_factor\": [2.0, 6.5]}");
      }
      case "gemma3_text" -> {
        model.fields.put("sliding_window", "5");
        model.fields.put("sliding_window_pattern", "2");
        model.fields.put("query_pre_attn_scalar", "8");
        model.fields.put("final_logit_softcapping", "2.0");
        model.fields.put("rope_theta", "100.0");
        model.fields.put("rope_local_base_freq", "20.0");
      }
      default -> {}
    }
    return model;
  }

  /** One linear for q, k and v of heads of 4, one for gate and up. */
  private void fuse() {
    for (int layer = 0; layer < 2; layer++) {
      String p = "model.layers." + layer + ".";
      for (String linear :
          List.of("self_attn.q", "self_attn.k", "self_attn.v", "mlp.gate", "mlp.up")) {
        remove(p + linear + "_proj.weight");
      }
      add(p + "self_attn.qkv_proj.weight", 20, 12);
      add(p + "self_attn.o_proj.weight", 12, 12);
      add(p + "mlp.gate_up_proj.weight", 40, 12);
    }
  }

  /** The configuration as it is read. */
  ModelConfig config(Path folder) {
    writeConfig(folder);
    return ModelConfig.read(folder.resolve("config.json"), notice -> {});
  }

  private ModelConfig readBack() {
    try {
      Path folder = Files.createTempDirectory("names");
      ModelConfig config = config(folder);
      Files.delete(folder.resolve("config.json"));
      Files.delete(folder);
      return config;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Puts a tensor of random values, in the place of one of that name if there is one. */
  public void add(String name, long... shape) {
    float[] tensor = new float[Math.toIntExact(Arrays.stream(shape).reduce(1, (a, b) -> a * b))];
    for (int i = 0; i < tensor.length; i++) {
      tensor[i] = (float) random.nextGaussian();
    }
    put(name, tensor, shape);
  }

  /** Puts a tensor of given values, in the place of one of that name if there is one. */
  public void put(String name, float[] tensor, long... shape) {
    values.put(name, tensor);
    shapes.put(name, Arrays.stream(shape).boxed().toList());
  }

  public void remove(String name) {
    values.remove(name);
    shapes.remove(name);
  }

  /** All matrices multiplied: below 1 for a model whose attention is not all on one token. */
  public TinyModel scaled(float factor) {
    shapes.forEach(
        (name, shape) -> {
          float[] tensor = values.get(name);
          for (int i = 0; i < tensor.length && shape.size() == 2; i++) {
            tensor[i] *= factor;
          }
        });
    return this;
  }

  /** Heads of 4 that make up the hidden size, and norms behind attention and MLP alone. */
  private void normalizeAfter() {
    fields.put("head_dim", "4");
    for (int layer = 0; layer < 2; layer++) {
      String p = "model.layers." + layer + ".";
      remove(p + "input_layernorm.weight");
      add(p + "post_feedforward_layernorm.weight", 12);
      add(p + "self_attn.q_proj.weight", 12, 12);
      add(p + "self_attn.k_proj.weight", 4, 12);
      add(p + "self_attn.v_proj.weight", 4, 12);
      add(p + "self_attn.o_proj.weight", 12, 12);
      add(p + "self_attn.q_norm.weight", 12);
      add(p + "self_attn.k_norm.weight", 4);
    }
  }

  private void experts(String block, int count, int inner, String gate, String up, String down) {
    for (int layer = 0; layer < 2; layer++) {
      String p = "model.layers." + layer + ".";
      List.of("gate", "up", "down").forEach(linear -> remove(p + "mlp." + linear + "_proj.weight"));
      add(p + block + ".gate.weight", count, 12);
      for (int e = 0; e < count; e++) {
        String expert = p + block + ".experts." + e + ".";
        add(expert + gate + ".weight", inner, 12);
        add(expert + up + ".weight", inner, 12);
        add(expert + down + ".weight", 12, inner);
      }
    }
  }

  private void linear(String module, long out, long in, boolean bias) {
    add(module + ".weight", out, in);
    if (bias) {
      add(module + ".bias", out);
    }
  }

  /** Writes a directory that loads: configuration and weights. */
  public void writeTo(Path folder) {
    writeConfig(folder);
    writeSafetensors(folder.resolve("model.safetensors"));
  }

  public void writeConfig(Path folder) {
    String json =
        fields.entrySet().stream()
            .map(e -> "\"" + e.getKey() + "\": " + e.getValue())
            .collect(Collectors.joining(", ", "{", "}"));
    write(folder.resolve("config.json"), json.getBytes(StandardCharsets.UTF_8));
  }

  /** One file, all float32, no metadata. */
  public void writeSafetensors(Path file) {
    StringBuilder header = new StringBuilder("{");
    ByteArrayOutputStream data = new ByteArrayOutputStream();
    values.forEach(
        (name, tensor) -> {
          int begin = data.size();
          data.writeBytes(bytes(tensor));
          header
              .append(header.length() == 1 ? "" : ",")
              .append("\"%s\":{\"dtype\":\"F32\",\"shape\":%s,".formatted(name, shapes.get(name)))
              .append("\"data_offsets\":[%d,%d]}".formatted(begin, data.size()));
        });
    byte[] json = header.append("}").toString().getBytes(StandardCharsets.UTF_8);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes(little(8).putLong(json.length).array());
    out.writeBytes(json);
    out.writeBytes(data.toByteArray());
    write(file, out.toByteArray());
  }

  /** Version 3, all float32, rows of q and k in llama.cpp's order; keys as given. */
  public void writeGguf(Path file, Map<String, Object> metadata) {
    ModelConfig config = readBack();
    writeGguf(file, metadata, name -> GgufLayout.ggufName(config, name).orElse(name));
  }

  /**
   * The same.
   *
   * @param names in the file, by Hugging Face's
   */
  void writeGguf(Path file, Map<String, Object> metadata, UnaryOperator<String> names) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes("GGUF".getBytes(StandardCharsets.US_ASCII));
    out.writeBytes(little(20).putInt(3).putLong(values.size()).putLong(metadata.size()).array());
    metadata.forEach((key, value) -> writeValue(out, key, value));
    ByteArrayOutputStream data = new ByteArrayOutputStream();
    values.forEach(
        (name, tensor) -> {
          List<Long> shape = shapes.get(name);
          writeString(out, names.apply(name));
          out.writeBytes(little(4).putInt(shape.size()).array());
          for (int d = shape.size() - 1; d >= 0; d--) {
            out.writeBytes(little(8).putLong(shape.get(d)).array());
          }
          out.writeBytes(little(12).putInt(0).putLong(data.size()).array());
          data.writeBytes(bytes(permuted(name, tensor)));
          pad(data);
        });
    pad(out);
    out.writeBytes(data.toByteArray());
    write(file, out.toByteArray());
  }

  /** What llama.cpp's converter would write for this model. */
  public Map<String, Object> ggufMetadata() {
    Map<String, Object> metadata = new LinkedHashMap<>();
    metadata.put("general.architecture", "llama");
    metadata.put("llama.block_count", 2);
    metadata.put("llama.context_length", 2048);
    metadata.put("llama.embedding_length", 12);
    metadata.put("llama.feed_forward_length", 20);
    metadata.put("llama.attention.head_count", HEADS);
    metadata.put("llama.attention.head_count_kv", KV_HEADS);
    metadata.put("llama.attention.key_length", HEAD_DIM);
    metadata.put("llama.attention.layer_norm_rms_epsilon", 1e-6f);
    metadata.put("llama.rope.freq_base", 10_000f);
    metadata.put("llama.vocab_size", 11);
    return metadata;
  }

  /** The converter's reshape to {@code [heads, 2, headDim / 2, in]} and swap of the middle axes. */
  private float[] permuted(String name, float[] tensor) {
    if (!name.contains("q_proj") && !name.contains("k_proj")) {
      return tensor;
    }
    List<Long> shape = shapes.get(name);
    int width = tensor.length / Math.toIntExact(shape.get(0));
    int heads = Math.toIntExact(shape.get(0)) / HEAD_DIM;
    float[] out = new float[tensor.length];
    int row = 0;
    for (int h = 0; h < heads; h++) {
      for (int j = 0; j < HEAD_DIM / 2; j++) {
        for (int half = 0; half < 2; half++) {
          int from = (h * 2 + half) * (HEAD_DIM / 2) + j;
          System.arraycopy(tensor, from * width, out, row++ * width, width);
        }
      }
    }
    return out;
  }

  private static void writeValue(ByteArrayOutputStream out, String key, Object value) {
    writeString(out, key);
    if (value instanceof String text) {
      out.writeBytes(little(4).putInt(8).array());
      writeString(out, text);
    } else if (value instanceof Float number) {
      out.writeBytes(little(8).putInt(6).putFloat(number).array());
    } else {
      out.writeBytes(little(8).putInt(4).putInt((Integer) value).array());
    }
  }

  private static void writeString(ByteArrayOutputStream out, String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    out.writeBytes(little(8).putLong(bytes.length).array());
    out.writeBytes(bytes);
  }

  private static void pad(ByteArrayOutputStream out) {
    while (out.size() % 32 != 0) {
      out.write(0);
    }
  }

  private static byte[] bytes(float[] tensor) {
    ByteBuffer bytes = little(4 * tensor.length);
    bytes.asFloatBuffer().put(tensor);
    return bytes.array();
  }

  private static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static void write(Path file, byte[] bytes) {
    try {
      Files.write(file, bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
