package ai.nibble.model;

import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.nn.NormScale;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * How llama.cpp's converter names and orders the tensors of decoders.
 *
 * <p>Of its architectures {@code llama} and {@code smollm3}, llama.cpp rotates neighbouring
 * elements of a head, transformers element {@code j} with {@code j + headDim / 2}; so the converter
 * reorders the rows of q and k within each head: file row {@code 2 j + half} is Hugging Face row
 * {@code half * headDim / 2 + j}. Of the others both rotate the same, and nothing is reordered.
 * Source: {@code convert_hf_to_gguf.py}, {@code LlamaModel.permute}.
 */
public final class GgufLayout {
  private static final Map<String, String> OUTSIDE_LAYERS =
      Map.of(
          "model.embed_tokens", "token_embd",
          "model.norm", "output_norm",
          "lm_head", "output");

  private static final Map<String, String> IN_LAYERS =
      Map.ofEntries(
          Map.entry("input_layernorm", "attn_norm"),
          Map.entry("post_attention_layernorm", "ffn_norm"),
          Map.entry("self_attn.q_proj", "attn_q"),
          Map.entry("self_attn.k_proj", "attn_k"),
          Map.entry("self_attn.v_proj", "attn_v"),
          Map.entry("self_attn.q_norm", "attn_q_norm"),
          Map.entry("self_attn.k_norm", "attn_k_norm"),
          Map.entry("self_attn.o_proj", "attn_output"),
          Map.entry("mlp.gate_proj", "ffn_gate"),
          Map.entry("mlp.up_proj", "ffn_up"),
          Map.entry("mlp.down_proj", "ffn_down"));

  /** Where q, k and v are one linear, and gate and up another. */
  private static final Map<String, String> FUSED =
      Map.of(
          "input_layernorm",
          "attn_norm",
          "post_attention_layernorm",
          "ffn_norm",
          DecoderParameters.QKV,
          "attn_qkv",
          "self_attn.o_proj",
          "attn_output",
          DecoderParameters.GATE_UP,
          "ffn_up",
          "mlp.down_proj",
          "ffn_down");

  private static final Pattern GGUF_NAME =
      Pattern.compile("(?<layer>blk\\.(?<index>\\d{1,9})\\.)?(?<module>.+)\\.(?<kind>weight|bias)");

  private static final Pattern GGUF_EXPERT =
      Pattern.compile(
          "blk\\.(?<index>\\d{1,9})\\.(?<module>ffn_\\w+)\\.(?<expert>\\d{1,9})\\.weight");

  private static final Pattern HUGGING_FACE_NAME =
      Pattern.compile(
          "(?<layer>model\\.layers\\.(?<index>\\d{1,9})\\.)?(?<module>.+)\\.(?<kind>weight|bias)");

  private GgufLayout() {}

  /**
   * The name in a GGUF file of such a model; empty where it has no such tensor. Experts of a layer
   * share one: see {@link #expertPart}.
   */
  public static Optional<String> ggufName(ModelConfig config, String name) {
    Optional<ExpertPart> expert = expertPart(config, name);
    return expert.isPresent()
        ? expert.map(ExpertPart::ggufName)
        : translate(HUGGING_FACE_NAME.matcher(name), "blk.", inLayers(config), OUTSIDE_LAYERS);
  }

  /**
   * The Hugging Face name; empty where such a model has no such tensor. Experts have a tensor each
   * in files from before April 2024, {@code blk.0.ffn_gate.7.weight}.
   */
  public static Optional<String> huggingFaceName(ModelConfig config, String ggufName) {
    Matcher each = GGUF_EXPERT.matcher(ggufName);
    Optional<ExpertNames> names = config.form().experts().map(ExpertsForm::names);
    if (names.isPresent() && each.matches()) {
      String linear = names.get().linear(each.group("module") + "_exps");
      String at = DecoderParameters.LAYERS + each.group("index") + "." + names.get().experts();
      return Optional.ofNullable(linear).map(l -> at + each.group("expert") + "." + l + ".weight");
    }
    return translate(
        GGUF_NAME.matcher(ggufName),
        DecoderParameters.LAYERS,
        inverse(inLayers(config)),
        inverse(OUTSIDE_LAYERS));
  }

  /** Names behind a layer's prefix; where norms stand behind attention, one means another. */
  private static Map<String, String> inLayers(ModelConfig config) {
    if (config.form().projections().fused()) {
      return FUSED;
    }
    Optional<ExpertsForm> experts = config.form().experts();
    if (!config.form().norms().after() && experts.isEmpty()) {
      return IN_LAYERS;
    }
    Map<String, String> names = new HashMap<>(IN_LAYERS);
    experts.ifPresent(e -> names.put(e.names().router(), "ffn_gate_inp"));
    if (!config.form().norms().after()) {
      return names;
    }
    names.put("post_attention_layernorm", "post_attention_norm");
    names.put("pre_feedforward_layernorm", "ffn_norm");
    names.put("post_feedforward_layernorm", "post_ffw_norm");
    return names;
  }

  /**
   * What llama.cpp's converter adds to a tensor's values: 1 to norms that are distances from it.
   */
  public static float shift(ModelConfig config, String name) {
    boolean offset = config.form().norms().scale() == NormScale.OFFSET;
    return offset && name.endsWith("norm.weight") ? 1 : 0;
  }

  /**
   * Whether the rows of a model's tensor, under its Hugging Face name, are reordered in the file.
   */
  public static boolean isPermuted(ModelConfig config, String name) {
    return config.architecture().gguf().rotatesNeighbours()
        && name.startsWith(DecoderParameters.LAYERS)
        && (name.contains(".self_attn.q_proj.") || name.contains(".self_attn.k_proj."));
  }

  /** The row in the file that holds a row of the Hugging Face tensor. */
  public static long ggufRow(long row, int headDim) {
    long head = row / headDim;
    long within = row % headDim;
    long half = within / (headDim / 2);
    long j = within % (headDim / 2);
    return head * headDim + 2 * j + half;
  }

  /** The row of the Hugging Face tensor that a row in the file holds. */
  public static long huggingFaceRow(long ggufRow, int headDim) {
    long head = ggufRow / headDim;
    long within = ggufRow % headDim;
    return head * headDim + within % 2 * (headDim / 2) + within / 2;
  }

  /**
   * A tensor of one expert in a file, where those of all experts of a layer lie in one.
   *
   * @param ggufName of that
   * @param expert the expert's number, from 0
   */
  public record ExpertPart(String ggufName, int expert) {}

  /** Where a file holds an expert's tensor; empty for any other. */
  public static Optional<ExpertPart> expertPart(ModelConfig config, String name) {
    Matcher matcher = HUGGING_FACE_NAME.matcher(name);
    Optional<ExpertNames> names = config.form().experts().map(ExpertsForm::names);
    if (names.isEmpty() || !matcher.matches() || matcher.group("layer") == null) {
      return Optional.empty();
    }
    String module = matcher.group("module");
    String prefix = names.get().experts();
    int dot = module.lastIndexOf('.');
    if (!module.startsWith(prefix) || dot <= prefix.length()) {
      return Optional.empty();
    }
    String stacked = names.get().ggufName(module.substring(dot + 1));
    int expert = Integer.parseInt(module.substring(prefix.length(), dot));
    return Optional.ofNullable(stacked)
        .map(n -> new ExpertPart("blk." + matcher.group("index") + "." + n + ".weight", expert));
  }

  /** The names of all experts' tensors that one of a file holds, in order; none for another. */
  public static List<String> expertNames(ModelConfig config, String ggufName) {
    Matcher matcher = GGUF_NAME.matcher(ggufName);
    Optional<ExpertsForm> experts = config.form().experts();
    if (experts.isEmpty() || !matcher.matches() || matcher.group("layer") == null) {
      return List.of();
    }
    ExpertNames names = experts.get().names();
    String linear = names.linear(matcher.group("module"));
    String at = DecoderParameters.LAYERS + matcher.group("index") + "." + names.experts();
    return linear == null
        ? List.of()
        : IntStream.range(0, experts.get().count())
            .mapToObj(e -> at + e + "." + linear + ".weight")
            .toList();
  }

  private static Optional<String> translate(
      Matcher name, String layers, Map<String, String> inLayers, Map<String, String> outside) {
    if (!name.matches()) {
      return Optional.empty();
    }
    boolean layered = name.group("layer") != null;
    String module = (layered ? inLayers : outside).get(name.group("module"));
    String prefix = layered ? layers + name.group("index") + "." : "";
    return Optional.ofNullable(module).map(m -> prefix + m + "." + name.group("kind"));
  }

  private static Map<String, String> inverse(Map<String, String> map) {
    return map.entrySet().stream()
        .collect(Collectors.toUnmodifiableMap(Map.Entry::getValue, Map.Entry::getKey));
  }
}
