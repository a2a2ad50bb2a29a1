package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/** Reads one {@code quantization_config}: fields of the method that it names, strictly. */
final class QuantizationConfigReader {
  private static final List<String> METHODS = List.of("bitsandbytes", "gptq", "awq");

  /** What bitsandbytes may pack codes into, under PyTorch's names. */
  private static final Set<String> STORAGE =
      Set.of("uint8", "int8", "bfloat16", "float16", "float32", "float64");

  private final String place;
  private final ObjectNode json;
  private final List<String> problems = new ArrayList<>();

  /**
   * @param place what a field's name is put behind in messages, an opened quote included
   */
  QuantizationConfigReader(String place, ObjectNode json) {
    this.place = place;
    this.json = json;
  }

  QuantizationConfig read() {
    String method = method();
    QuantizationConfig config =
        switch (method) {
          case "bitsandbytes" -> bitsAndBytes();
          case "gptq" -> gptq();
          case "awq" -> awq();
          default ->
              throw new InvalidInputException(
                  place
                      + "quant_method' is '"
                      + cut(method)
                      + "', which cannot be read, expected one of "
                      + METHODS
                      + ": use the original model, in 16 bits, or one quantised so");
        };
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    return config;
  }

  /** Older configurations do not name their method. */
  private String method() {
    if (json.hasNonNull("quant_method") || json.hasNonNull("method")) {
      return json.path(json.hasNonNull("quant_method") ? "quant_method" : "method").asText();
    }
    if (flag("load_in_4bit", false) || flag("load_in_8bit", false)) {
      return "bitsandbytes";
    }
    return json.has("bits") && json.has("desc_act") ? "gptq" : "none";
  }

  private QuantizationConfig.BitsAndBytes bitsAndBytes() {
    boolean in4bit = flag("load_in_4bit", flag("_load_in_4bit", false));
    boolean in8bit = flag("load_in_8bit", flag("_load_in_8bit", false));
    if (in4bit == in8bit) {
      wrong("load_in_4bit", "one of 'load_in_4bit' and 'load_in_8bit' to be true");
    }
    Optional<Quant4Type> type = Optional.empty();
    if (in4bit && json.hasNonNull("bnb_4bit_quant_type")) {
      String name = json.path("bnb_4bit_quant_type").asText();
      type = Arrays.stream(Quant4Type.values()).filter(t -> t.key().equals(name)).findFirst();
      if (type.isEmpty()) {
        wrong("bnb_4bit_quant_type", "nf4 or fp4");
      }
    }
    String storage = text("bnb_4bit_quant_storage", "uint8").replaceFirst("^torch\\.", "");
    if (in4bit && !STORAGE.contains(storage)) {
      wrong("bnb_4bit_quant_storage", "one of " + STORAGE.stream().sorted().toList());
    }
    double threshold = number("llm_int8_threshold", Quant8Config.THRESHOLD);
    if (!(threshold >= 0)) {
      wrong("llm_int8_threshold", "a number from 0");
    }
    return new QuantizationConfig.BitsAndBytes(
        in8bit, type, threshold, strings("llm_int8_skip_modules"));
  }

  private QuantizationConfig.Gptq gptq() {
    int bits = integer("bits", 4);
    if (!List.of(2, 3, 4, 8).contains(bits)) {
      wrong("bits", "2, 3, 4 or 8");
    }
    String key = json.hasNonNull("checkpoint_format") ? "checkpoint_format" : "format";
    String format = text(key, "").toLowerCase(Locale.ROOT);
    if (!List.of("", "gptq", "gptq_v2").contains(format)) {
      wrong(key, "gptq or gptq_v2: other layouts are those of one kernel; use a model in these");
    }
    if (flag("is_marlin_format", false)) {
      wrong("is_marlin_format", "false: that layout is of one kernel; use a model in format gptq");
    }
    if (!text("pack_dtype", "int32").equals("int32")) {
      wrong("pack_dtype", "int32");
    }
    JsonNode dynamic = json.path("dynamic");
    for (var names = dynamic.fieldNames(); names.hasNext(); ) {
      if (!names.next().startsWith("-:")) {
        wrong("dynamic", "none: all linears in the same bits and groups, or in 16 bits (-:)");
        break;
      }
    }
    return new QuantizationConfig.Gptq(
        bits,
        groupSize("group_size"),
        flag("desc_act", false),
        flag("sym", true),
        format.isEmpty() ? Optional.empty() : Optional.of(format.equals("gptq_v2")),
        strings("modules_to_not_convert"));
  }

  private QuantizationConfig.Awq awq() {
    if (integer("bits", 4) != 4) {
      wrong("bits", "4");
    }
    if (!text("version", "gemm").equalsIgnoreCase("gemm")) {
      wrong("version", "gemm: other layouts are those of one kernel; use a model in gemm");
    }
    if (!flag("zero_point", true)) {
      wrong("zero_point", "true");
    }
    return new QuantizationConfig.Awq(groupSize("group_size"), strings("modules_to_not_convert"));
  }

  private int groupSize(String key) {
    int size = integer(key, 128);
    if (size != -1 && size < 1) {
      wrong(key, "-1, or a number from 1");
      return -1;
    }
    return size;
  }

  private int integer(String key, int byDefault) {
    JsonNode value = json.path(key);
    if (!json.hasNonNull(key)) {
      return byDefault;
    }
    if (!value.isIntegralNumber() || !value.canConvertToInt()) {
      wrong(key, "an integer");
      return byDefault;
    }
    return value.intValue();
  }

  private boolean flag(String key, boolean byDefault) {
    JsonNode value = json.path(key);
    if (!json.hasNonNull(key) || value.isBoolean()) {
      return json.hasNonNull(key) ? value.booleanValue() : byDefault;
    }
    wrong(key, "true or false");
    return byDefault;
  }

  private String text(String key, String byDefault) {
    if (json.hasNonNull(key) && !json.path(key).isTextual()) {
      wrong(key, "a string");
    }
    return json.path(key).asText(byDefault);
  }

  private double number(String key, double byDefault) {
    if (json.hasNonNull(key) && !json.path(key).isNumber()) {
      wrong(key, "a number");
    }
    return json.path(key).asDouble(byDefault);
  }

  private List<String> strings(String key) {
    List<String> strings = new ArrayList<>();
    JsonNode list = json.path(key);
    boolean right = !json.hasNonNull(key) || list.isArray();
    for (JsonNode each : list) {
      right &= each.isTextual();
      strings.add(each.asText());
    }
    if (!right) {
      wrong(key, "a list of strings or null");
    }
    return strings;
  }

  private void wrong(String key, String expected) {
    JsonNode value = json.get(key);
    problems.add(
        place
            + key
            + "' is "
            + (value == null ? "missing" : cut(value.toString()))
            + ", expected "
            + expected);
  }

  private static String cut(String text) {
    String line = text.replaceAll("\\p{Cntrl}", "?");
    return line.length() <= 60 ? line : line.substring(0, 60) + "…";
  }
}
