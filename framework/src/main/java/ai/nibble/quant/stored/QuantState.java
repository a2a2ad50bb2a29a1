package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.JsonProblem;
import ai.nibble.quant.NestedAbsmax;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * What bitsandbytes writes beside a weight of 4 bits: one JSON object in a uint8 tensor, spaced and
 * ordered as Python's {@code json.dumps} does it.
 *
 * @param config code, block size and whether absmax is nested
 * @param dtype to dequantise to: float32, bfloat16 or float16
 * @param out rows
 * @param in columns
 * @param offset of nested absmax, a float32 value; empty where absmax is not nested
 */
public record QuantState(
    Quant4Config config, DType dtype, long out, long in, OptionalDouble offset) {
  /** What the tensor's name ends in, before the code's name. */
  public static final String SUFFIX = ".quant_state.bitsandbytes__";

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  /** The bytes as bitsandbytes writes them. */
  public byte[] json() {
    StringBuilder text =
        new StringBuilder("{\"quant_type\": \"")
            .append(config.type().key())
            .append("\", \"blocksize\": ")
            .append(config.blockSize())
            .append(", \"dtype\": \"")
            .append(dtype.torchName())
            .append("\", \"shape\": [")
            .append(out)
            .append(", ")
            .append(in)
            .append(']');
    if (offset.isPresent()) {
      text.append(", \"nested_blocksize\": ")
          .append(NestedAbsmax.BLOCK_SIZE)
          .append(", \"nested_dtype\": \"float32\", \"nested_offset\": ")
          .append(PythonFloat.repr(offset.getAsDouble()));
    }
    return text.append('}').toString().getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Reads one.
   *
   * @param place the file and the tensor, for messages
   * @param suffix the code's name as the tensor's name has it
   * @throws InvalidInputException naming the field that is missing, or not one that this project
   *     reads
   */
  static QuantState parse(String place, byte[] json, String suffix) {
    return new Reader(place, object(place, json)).read(suffix);
  }

  private static ObjectNode object(String place, byte[] json) {
    try {
      if (JSON.readTree(json) instanceof ObjectNode object) {
        return object;
      }
      throw new InvalidInputException(place + ": holds no JSON object; fetch the file again");
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(
          place + ": not valid JSON: " + JsonProblem.reason(e) + "; fetch the file again", e);
    } catch (IOException e) {
      throw new InvalidInputException(place + ": not UTF-8 text; fetch the file again", e);
    }
  }

  private record Reader(String place, ObjectNode json) {
    QuantState read(String suffix) {
      Quant4Type type = type(suffix);
      JsonNode shape = json.path("shape");
      if (shape.size() != 2 || !isSize(shape.get(0)) || !isSize(shape.get(1))) {
        throw wrong("shape", "[out, in]");
      }
      boolean nested =
          json.has("nested_blocksize") || json.has("nested_offset") || json.has("nested_dtype");
      Quant4Config config;
      try {
        config = new Quant4Config(type, integer("blocksize"), nested);
      } catch (InvalidInputException e) {
        throw wrong("blocksize", "a power of two from 32 to 4096");
      }
      return new QuantState(
          config,
          dtype(),
          shape.get(0).longValue(),
          shape.get(1).longValue(),
          nested ? OptionalDouble.of(offset()) : OptionalDouble.empty());
    }

    private Quant4Type type(String suffix) {
      String name = json.path("quant_type").asText("");
      for (Quant4Type type : Quant4Type.values()) {
        if (type.key().equals(name)) {
          if (!name.equals(suffix)) {
            throw wrong("quant_type", "'" + suffix + "', which the tensor's name says");
          }
          return type;
        }
      }
      throw wrong("quant_type", "nf4 or fp4");
    }

    private DType dtype() {
      return switch (json.path("dtype").asText("")) {
        case "float32" -> DType.FLOAT32;
        case "bfloat16" -> DType.BFLOAT16;
        case "float16" -> DType.FLOAT16;
        default -> throw wrong("dtype", "float32, bfloat16 or float16");
      };
    }

    private float offset() {
      if (integer("nested_blocksize") != NestedAbsmax.BLOCK_SIZE) {
        throw wrong("nested_blocksize", "" + NestedAbsmax.BLOCK_SIZE);
      }
      if (!json.path("nested_dtype").asText("").equals("float32")) {
        throw wrong("nested_dtype", "float32");
      }
      float offset = (float) json.path("nested_offset").asDouble(Double.NaN);
      if (!json.path("nested_offset").isNumber() || !Float.isFinite(offset)) {
        throw wrong("nested_offset", "a number, as absmax is nested");
      }
      return offset;
    }

    private int integer(String key) {
      JsonNode value = json.path(key);
      if (!value.isIntegralNumber() || !value.canConvertToInt()) {
        throw wrong(key, "an integer");
      }
      return value.intValue();
    }

    private static boolean isSize(JsonNode value) {
      return value.isIntegralNumber() && value.canConvertToInt() && value.intValue() > 0;
    }

    private InvalidInputException wrong(String key, String expected) {
      JsonNode value = json.get(key);
      String text = value == null ? "missing" : value.toString();
      return new InvalidInputException(
          String.format(
              Locale.ROOT,
              "%s: '%s' is %s, expected %s: the file is damaged, or made by something else than"
                  + " bitsandbytes",
              place,
              key,
              text.length() <= 60 ? text : text.substring(0, 60) + "…",
              expected));
    }
  }
}
