package ai.nibble.model;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.quant.stored.QuantizationConfig;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Reads one {@code config.json}: syntax, then fields, then what they mean together.
 *
 * <p>The file is data from strangers. Only the fields read here have an effect; those that make
 * transformers import code or fetch a repository are reported and have none.
 */
final class ModelConfigFile {
  private static final int MAX_BYTES = 16 << 20;

  private static final List<String> CODE_FIELDS =
      List.of(
          "auto_map",
          "trust_remote_code",
          "custom_pipelines",
          "_attn_implementation_internal",
          "_attn_implementation",
          "attn_implementation",
          "_experts_implementation_internal",
          "experts_implementation");

  /** Fields without effect on what the model computes; anything else unread is reported. */
  private static final Set<String> WITHOUT_EFFECT =
      Set.of(
          "transformers_version",
          "_name_or_path",
          "name_or_path",
          "_commit_hash",
          "use_cache",
          "unk_token_id",
          "is_encoder_decoder",
          "is_decoder",
          "output_attentions",
          "output_hidden_states",
          "return_dict",
          "id2label",
          "label2id",
          // Splits each product into slices; the sums are the same.
          "pretraining_tp");

  private static final List<DType> DTYPES =
      List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16, DType.FLOAT64);

  private final Path path;
  private final Consumer<String> notices;
  private final List<String> problems = new ArrayList<>();

  ModelConfigFile(Path path, Consumer<String> notices) {
    this.path = path;
    this.notices = line -> notices.accept(path + ": " + line);
  }

  ModelConfig read() {
    try {
      ConfigFields fields = new ConfigFields(text(parse()), "", problems);
      Architecture architecture = architecture(fields);
      refuseIfAnyProblem();
      ModelConfig config = config(fields, architecture);
      refuseIfAnyProblem();
      reportIgnored(fields);
      return config;
    } catch (InvalidInputException e) {
      // Problems found below this class do not know the file.
      throw new InvalidInputException(e.problems().stream().map(p -> path + ": " + p).toList());
    }
  }

  private ObjectNode text(ObjectNode whole) {
    Optional<ObjectNode> text = TextConfig.of(whole);
    text.ifPresent(
        part ->
            notices.accept(
                "describes a model of text and images, of which the text model alone is read: "
                    + part.get("model_type").textValue()));
    return text.orElse(whole);
  }

  private ModelConfig config(ConfigFields f, Architecture architecture) {
    refuseWhatNoneHas(f);
    Architecture.Defaults d = architecture.defaults();
    int hidden = f.integer("hidden_size", d.hiddenSize());
    int heads = f.integer("num_attention_heads", d.numAttentionHeads());
    int length = f.integer("max_position_embeddings", d.maxPositionEmbeddings());
    int vocab = f.integer("vocab_size", d.vocabSize());
    int intermediate = f.integer("intermediate_size", d.intermediateSize());
    int layers = f.integer("num_hidden_layers", d.numHiddenLayers());
    int divisor = Math.max(heads, 1); // heads below 1 are refused with the ranges
    int keyValueHeads = count(f, "num_key_value_heads", d.numKeyValueHeads(), divisor);
    int headDim = count(f, "head_dim", d.headDim(), hidden / divisor);
    double eps = f.number("rms_norm_eps", architecture.rmsNormEps());
    RopeFields rope = architecture.rope(f, length, problems, notices);
    double theta = rope.theta(d.ropeTheta());
    RopeScaling scaling = rope.scaling();
    boolean tied = f.flag("tie_word_embeddings", d.tieWordEmbeddings());
    // numbers of layers out of range are refused below
    DecoderForm form =
        architecture
            .form(f, Math.max(1, Math.min(layers, ModelConfig.MAX_LAYERS)))
            .withSlidingRope(architecture.slidingRope(f, length, problems, notices))
            .withRotaryShare(architecture.rotaryShare(rope));
    double initializerRange = f.number("initializer_range", 0.02);
    DType dtype = dtype(f);
    OptionalInt bos = f.has("bos_token_id") ? f.integerOrNull("bos_token_id") : d.bosTokenId();
    List<Integer> eos = f.tokenIds("eos_token_id", d.eosTokenIds());
    OptionalInt pad = f.has("pad_token_id") ? pad(f) : d.padTokenId();
    refuseIfAnyProblem();
    return new ModelConfig(
        architecture,
        vocab,
        hidden,
        intermediate,
        layers,
        heads,
        keyValueHeads,
        headDim,
        form.activation().hiddenAct(),
        length,
        eps,
        theta,
        scaling,
        tied,
        form,
        initializerRange,
        dtype,
        bos,
        eos,
        pad);
  }

  /** What null means is {@code derived}, as is absence where there is no other default. */
  private static int count(ConfigFields f, String key, OptionalInt absent, int derived) {
    return f.has(key) ? f.integerOrNull(key).orElse(derived) : absent.orElse(derived);
  }

  private ObjectNode parse() {
    byte[] bytes = bytes();
    // Strict where Python is lenient: of a duplicate key either value may be the meant one.
    ObjectReader reader =
        JsonMapper.builder()
            .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build()
            .reader();
    JsonNode root;
    try {
      root = reader.readTree(bytes);
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(syntaxProblem(e), e);
    } catch (IOException e) {
      throw new InvalidInputException(
          JsonProblem.reason(e) + "; fetch the model's config.json again", e);
    }
    if (root instanceof ObjectNode object) {
      return object;
    }
    throw new InvalidInputException(
        "holds "
            + (root.isMissingNode()
                ? "nothing"
                : "a JSON " + root.getNodeType().name().toLowerCase(java.util.Locale.ROOT))
            + ", expected a JSON object; fetch the model's config.json again");
  }

  private byte[] bytes() {
    if (!Files.isRegularFile(path)) {
      throw new InvalidInputException(
          instead() + ", expected the model's config.json beside its weights");
    }
    // Reads one byte more than allowed instead of believing the declared size.
    try (InputStream in = Files.newInputStream(path)) {
      byte[] bytes = in.readNBytes(MAX_BYTES + 1);
      if (bytes.length > MAX_BYTES) {
        throw new InvalidInputException(
            "is larger than " + MAX_BYTES + " bytes, expected a model's config.json");
      }
      return bytes;
    } catch (IOException e) {
      throw new InvalidInputException("cannot be read: " + FileProblem.reason(e), e);
    }
  }

  /** What there is where a file is expected. */
  private String instead() {
    if (Files.exists(path)) {
      return "is not a file";
    }
    if (!Files.isSymbolicLink(path)) {
      return "is missing";
    }
    try {
      path.toRealPath();
      return "is missing";
    } catch (NoSuchFileException e) {
      return "is a symbolic link to what is not there";
    } catch (IOException e) {
      return leadsBack(e)
          ? "is a symbolic link that leads back to itself"
          : "is a symbolic link that cannot be followed (" + FileProblem.reason(e) + ")";
    }
  }

  /** Java's own words where the system counts too many links. */
  private static boolean leadsBack(IOException e) {
    return FileProblem.reason(e).contains("symbolic link");
  }

  private static String syntaxProblem(JsonProcessingException e) {
    return JsonProblem.place(e)
        + "not valid JSON: "
        + JsonProblem.reason(e)
        + "; fetch the model's config.json again";
  }

  private Architecture architecture(ConfigFields f) {
    List<String> names = f.strings("architectures");
    String modelType = f.hasValue("model_type") ? f.string("model_type", "") : "";
    refuseIfAnyProblem();
    for (Architecture supported : Architecture.all()) {
      boolean named = names.isEmpty() || names.equals(List.of(supported.className()));
      boolean typed = modelType.isEmpty() || modelType.equals(supported.modelType());
      if (named && typed && !(names.isEmpty() && modelType.isEmpty())) {
        return supported;
      }
    }
    throw new InvalidInputException(
        "'architectures' is "
            + f.shown("architectures")
            + " and 'model_type' is "
            + f.shown("model_type")
            + ", expected a supported one: "
            + Architecture.all().stream()
                .map(Architecture::toString)
                .collect(Collectors.joining(", ")));
  }

  /** Fields that would change what the model computes in a way this reader does not follow. */
  private void refuseWhatNoneHas(ConfigFields f) {
    quantization(f);
    if (f.hasValue("per_layer_config")) {
      f.wrong("per_layer_config", "none: all layers must have the same shape");
    }
    for (String key : List.of("attention_dropout", "resid_pdrop", "embd_pdrop")) {
      double dropout = f.number(key, 0);
      if (dropout != 0) {
        notices.accept(
            "'" + key + "' is " + dropout + ": ignored, the base is computed without dropout");
      }
    }
  }

  /** Whether the weights' own quantisation can be followed; what it is, their reader looks up. */
  private void quantization(ConfigFields f) {
    if (f.hasValue(QuantizationConfig.KEY)) {
      Optional<ObjectNode> object = f.node(QuantizationConfig.KEY);
      if (object.isEmpty()) {
        f.wrong(QuantizationConfig.KEY, "an object or null");
        return;
      }
      try {
        QuantizationConfig.of(object.get());
      } catch (InvalidInputException e) {
        problems.addAll(e.problems());
      }
    }
  }

  /** {@code dtype} wins over its older name; neither means float32, PyTorch's default. */
  private DType dtype(ConfigFields f) {
    boolean older = f.hasValue("torch_dtype");
    String key = f.hasValue("dtype") || !older ? "dtype" : "torch_dtype";
    String name = f.hasValue(key) ? f.string(key, "float32") : "float32";
    for (DType dtype : DTYPES) {
      if (dtype.torchName().equals(name)) {
        return dtype;
      }
    }
    f.wrong(key, "one of " + DTYPES.stream().map(DType::torchName).toList());
    return DType.FLOAT32;
  }

  /** Llama 1 conversions say −1 where they mean none. */
  private OptionalInt pad(ConfigFields f) {
    OptionalInt pad = f.integerOrNull("pad_token_id");
    if (pad.isPresent() && pad.getAsInt() == -1) {
      notices.accept("'pad_token_id' is -1: taken as none");
      return OptionalInt.empty();
    }
    return pad;
  }

  private void reportIgnored(ConfigFields f) {
    for (String key : CODE_FIELDS) {
      if (f.hasValue(key)) {
        notices.accept(
            f.quoted(key) + " is " + f.shown(key) + ": ignored, a model's files never choose code");
      }
    }
    List<String> unread = f.unread(WITHOUT_EFFECT);
    if (!unread.isEmpty()) {
      notices.accept(
          "fields without effect here: "
              + String.join(", ", unread.subList(0, Math.min(20, unread.size())))
              + (unread.size() > 20 ? " and " + (unread.size() - 20) + " more" : ""));
    }
  }

  private void refuseIfAnyProblem() {
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }
}
