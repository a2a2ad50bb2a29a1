package ai.nibble.export.quantize;

import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** {@code quantization_config} as transformers writes it for bitsandbytes, key by key. */
final class QuantizationJson {
  /**
   * All experts. transformers 4 finds this name in the middle of a path as well; in 5 no expert is
   * a linear that could be skipped.
   */
  static final String EXPERTS = "experts";

  private QuantizationJson() {}

  /**
   * @param compute what others are told to compute in
   * @param linears paths of all linears
   * @param router what routers of a mixture of experts are called, which are never quantised
   */
  static ObjectNode of(
      QuantConfig config, DType compute, List<String> linears, Optional<String> router) {
    boolean in4bit = config instanceof Quant4Config;
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("_load_in_4bit", in4bit);
    json.put("_load_in_8bit", !in4bit);
    json.put("bnb_4bit_compute_dtype", compute.torchName());
    json.put("bnb_4bit_quant_storage", "uint8");
    json.put("bnb_4bit_quant_type", config instanceof Quant4Config c ? c.type().key() : "fp4");
    json.put("bnb_4bit_use_double_quant", config instanceof Quant4Config c && c.doubleQuant());
    json.put("llm_int8_enable_fp32_cpu_offload", false);
    json.put("llm_int8_has_fp16_weight", false);
    json.set("llm_int8_skip_modules", skipped(config, linears, router));
    json.put(
        "llm_int8_threshold",
        config instanceof Quant8Config c ? c.threshold() : Quant8Config.THRESHOLD);
    json.put("load_in_4bit", in4bit);
    json.put("load_in_8bit", !in4bit);
    json.put("quant_method", "bitsandbytes");
    return json;
  }

  /**
   * Names that transformers reads as they are meant: it takes a name for the end of a module's path
   * or its beginning, so a run in the middle is spelled out. Null means the output head alone; a
   * list must name it. A router is a linear in transformers 4, which would look for its codes.
   */
  private static JsonNode skipped(
      QuantConfig config, List<String> linears, Optional<String> router) {
    List<String> plain = linears.stream().filter(path -> !config.quantizes(path)).toList();
    if (plain.isEmpty() && router.isEmpty()) {
      return JsonNodeFactory.instance.nullNode();
    }
    ArrayNode names = JsonNodeFactory.instance.arrayNode();
    List<String> spelled = new ArrayList<>(plain);
    names.add("lm_head");
    router.ifPresent(names::add);
    for (String name : config.skipModules().names()) {
      if (router.isPresent() && name.equals(EXPERTS)) {
        names.add(name);
        spelled.removeIf(path -> path.contains("." + EXPERTS + "."));
      } else if (linears.stream().anyMatch(path -> path.endsWith("." + name))
          && !name.contains(".")) {
        names.add(name);
        spelled.removeIf(path -> path.endsWith("." + name));
      }
    }
    spelled.forEach(names::add);
    return names;
  }
}
