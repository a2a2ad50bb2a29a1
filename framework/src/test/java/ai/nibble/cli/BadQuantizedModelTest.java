package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cli.Refusals.Reader;
import ai.nibble.model.ChangedCheckpoint;
import ai.nibble.safetensors.SafetensorsType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Quantised checkpoints that are damaged or say what is not so, as commands see them. */
class BadQuantizedModelTest {
  private static final String Q = ChangedCheckpoint.Q;
  private static final String WEIGHT = Q + ".weight";

  /** What the headers show, every command refuses; what lies in values, those that read them. */
  private static final List<Reader> HEADERS =
      List.of(Reader.INSPECT, Reader.GENERATE, Reader.TRAIN);

  private static final List<Reader> VALUES = List.of(Reader.GENERATE, Reader.TRAIN);

  @TempDir Path temp;
  private Path base;
  private Refusals refusals;

  @BeforeEach
  void place() {
    base = temp.resolve("base");
    refusals = new Refusals(temp);
  }

  private static ChangedCheckpoint named(String name) throws IOException {
    return ChangedCheckpoint.named(name).withTokens();
  }

  private void refuses(List<Reader> readers, ChangedCheckpoint checkpoint, String... parts)
      throws IOException {
    checkpoint.write(base);
    refusals.each(readers, base, parts);
  }

  private String file(String tensor) {
    return base.resolve("model.safetensors") + ": tensor '" + tensor + "'";
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"nf4_double", "nf4_bfloat16_storage", "int8", "gptq4", "gptq4_act_order", "awq"})
  void whatIsNotDamagedIsTaken(String name) throws IOException {
    named(name).write(base);
    for (Reader reader : HEADERS) {
      assertEquals(0, refusals.run(refusals.reading(reader, base)), refusals.said());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"blocksize\": 64|\"blocksize\": 0|'blocksize' is 0, expected a power of two from 32 to 4096",
        "\"blocksize\": 64|\"blocksize\": 96|'blocksize' is 96, expected a power of two from 32 to 4096",
        "\"blocksize\": 64|\"blocksize\": 64.5|'blocksize' is 64.5, expected a power of two from 32 to 4096",
        "\"quant_type\": \"nf4\"|\"quant_type\": \"nf5\"|'quant_type' is \"nf5\", expected nf4 or fp4",
        "\"quant_type\": \"nf4\"|\"quant_type\": \"fp4\"|'quant_type' is \"fp4\", expected 'nf4', which the tensor's name says",
        "\"quant_type\": \"nf4\"|\"quant_type\": 4|'quant_type' is 4, expected nf4 or fp4",
        "\"bfloat16\"|\"os.system\"|'dtype' is \"os.system\", expected float32, bfloat16 or float16",
        "\"bfloat16\"|\"float64\"|'dtype' is \"float64\", expected float32, bfloat16 or float16",
        "\"bfloat16\"|\"__class__\"|'dtype' is \"__class__\", expected float32, bfloat16 or float16",
        "\"nested_offset\": |\"offset\": |'nested_offset' is missing, expected a number, as absmax is nested",
        "\"nested_blocksize\": 256|\"nested_blocksize\": 128|'nested_blocksize' is 128, expected 256",
        "\"nested_dtype\": \"float32\"|\"nested_dtype\": \"int8\"|'nested_dtype' is \"int8\", expected float32",
        "[64, 64]|[64, -64]|'shape' is [64,-64], expected [out, in]",
        "{|[{|not valid JSON",
      })
  void aQuantisationStateThatDoesNotFitIsRefused(String from, String to, String problem)
      throws IOException {
    refuses(
        HEADERS,
        named("nf4_double").state(from, to),
        file(ChangedCheckpoint.STATE),
        problem,
        problem.startsWith("not valid")
            ? "fetch the file again"
            : "the file is damaged, or made by");
  }

  /** One value is enough, the smallest step away as well, and whichever it is. */
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 7, 8, 15})
  void aTableThatDiffersInOneValueIsRefused(int code) throws IOException {
    ChangedCheckpoint checkpoint = named("nf4_double");
    ByteBuffer table = checkpoint.bytes(WEIGHT + ".quant_map");
    float right = table.getFloat(4 * code);
    float wrong = Math.nextUp(right);
    table.putFloat(4 * code, wrong);
    refuses(
        HEADERS,
        checkpoint,
        file(WEIGHT + ".quant_map"),
        " is " + wrong + " at code " + code + ", expected " + right + ", as nf4 has it");
    table.putFloat(4 * code, Float.NaN);
    refuses(
        HEADERS,
        checkpoint,
        file(WEIGHT + ".quant_map"),
        " is NaN at code " + code + ", expected " + right);
  }

  @Test
  void tablesAndScalesOfOtherLengthsAreRefused() throws IOException {
    for (long length : new long[] {0, 63, 65}) {
      refuses(
          HEADERS,
          named("nf4_double")
              .put(WEIGHT + ".absmax", SafetensorsType.U8, List.of(length), new byte[(int) length]),
          file(WEIGHT + ".absmax"),
          " is U8 [" + length + "], expected U8 [64] for '" + WEIGHT + "'");
    }
    refuses(
        HEADERS,
        named("nf4_double")
            .put(WEIGHT + ".absmax", SafetensorsType.F32, List.of(64L), new byte[256]),
        " is F32 [64], expected U8 [64]");
    refuses(
        HEADERS,
        named("nf4_double")
            .put(WEIGHT + ".quant_map", SafetensorsType.F32, List.of(15L), new byte[60]),
        file(WEIGHT + ".quant_map"),
        " is F32 [15], expected F32 [16]");
    refuses(
        HEADERS,
        named("nf4_double")
            .put(WEIGHT + ".nested_quant_map", SafetensorsType.F32, List.of(255L), new byte[1020]),
        " is F32 [255], expected F32 [256]");
  }

  @Test
  void aSecondStateIsRefusedWhateverItSays() throws IOException {
    String other = ChangedCheckpoint.STATE.replace("nf4", "fp4");
    ChangedCheckpoint both = named("nf4_double");
    byte[] nf4 = both.bytes(ChangedCheckpoint.STATE).array();
    byte[] fp4 =
        new String(nf4, StandardCharsets.UTF_8)
            .replace("nf4", "fp4")
            .getBytes(StandardCharsets.UTF_8);
    refuses(
        HEADERS,
        both.put(other, SafetensorsType.U8, List.of((long) fp4.length), fp4),
        file(WEIGHT + ".quant_map"),
        " is -1.0 at code 0, expected 0.0, as fp4 has it");
    // that of the other code with the same words: the tensor's name is what contradicts it
    refuses(
        HEADERS,
        named("nf4_double").put(other, SafetensorsType.U8, List.of((long) nf4.length), nf4),
        file(other),
        "'quant_type' is \"nf4\", expected 'fp4', which the tensor's name says");
    refuses(
        HEADERS,
        named("nf4_double").remove(ChangedCheckpoint.STATE),
        file(WEIGHT + ".absmax"),
        "has no quantisation state beside it");
  }

  @Test
  void scalesThatAreNoNumbersAreRefused() throws IOException {
    ChangedCheckpoint nested = named("nf4_double");
    nested.bytes(WEIGHT + ".nested_absmax").putFloat(0, Float.NaN);
    refuses(VALUES, nested, base.toString(), "'" + WEIGHT + "'", "absmax of block 0 is NaN");
    ChangedCheckpoint int8 = named("int8");
    int8.bytes(Q + ".SCB").putFloat(4, Float.NEGATIVE_INFINITY);
    refuses(VALUES, int8, base.toString(), "'" + WEIGHT + "'", "SCB of row 1 is -Infinity");
    ChangedCheckpoint gptq = named("gptq4");
    gptq.bytes(Q + ".scales").putShort(2 * 70, (short) 0x7E00); // float16's NaN
    refuses(VALUES, gptq, base.toString(), "'" + WEIGHT + "'", "scale of group 1, row 6 is NaN");
  }

  /** Both versions of GPTQ's zeros look right and compute nonsense when taken for each other. */
  @Test
  void zerosOfTheOtherVersionAreRefusedByTheirValues() throws IOException {
    refuses(
        VALUES,
        named("gptq4")
            .config("\"checkpoint_format\": \"gptq\"", "\"checkpoint_format\": \"gptq_v2\""),
        file(Q + ".qzeros"),
        " holds 7, expected 8, as 'sym' is true and 'checkpoint_format' is gptq_v2: the file is of the"
            + " other format, gptq: say so in 'checkpoint_format'");
    ChangedCheckpoint second = named("gptq4");
    second.ints(
        Q + ".qzeros",
        zeros -> {
          Arrays.fill(zeros, 0x88888888);
          return zeros;
        });
    refuses(
        VALUES,
        second,
        " holds 8, expected 7, as 'sym' is true and 'checkpoint_format' is gptq: the file is of the"
            + " other format, gptq_v2: say so in 'checkpoint_format'");
    refuses(
        VALUES,
        named("gptq4").with(Q + ".qzeros", 0, 0x77777773),
        file(Q + ".qzeros"),
        " holds 3, expected 7",
        "the file is damaged, or 'sym' is another model's");
    refuses(
        VALUES,
        named("gptq4").config("\"sym\": true", "\"sym\": false").with(Q + ".qzeros", 0, 0xFFFFFFFF),
        " holds 15 at 0, which no zero of checkpoint_format gptq is");
  }

  @Test
  void columnsOfNoGroupAndSettingsThatDoNotDivideAreRefused() throws IOException {
    String group = Q + ".g_idx";
    refuses(
        VALUES,
        named("gptq4_act_order").with(group, 5, 2),
        base.toString(),
        "'" + WEIGHT + "'",
        "column 5 is in group 2, expected one of 2 groups");
    refuses(
        VALUES, named("gptq4_act_order").with(group, 63, -1), "column 63 is in group -1, expected");
    refuses(
        HEADERS,
        named("gptq4_act_order").remove(group),
        file(Q + ".qweight"),
        "has no g_idx beside it, expected one, as 'desc_act' is true");
    refuses(
        HEADERS,
        named("gptq4").config("\"bits\": 4", "\"bits\": 5"),
        "config.json: 'quantization_config.bits' is 5, expected 2, 3, 4 or 8");
    refuses(
        HEADERS,
        named("gptq4").config("\"bits\": 4", "\"bits\": 3"),
        Q,
        "has shape [8, 64], expected rows of whole words of 3-bit codes: 'bits' is another model's");
    refuses(
        HEADERS,
        named("gptq4").config("\"group_size\": 32", "\"group_size\": 24"),
        file(Q + ".qweight"),
        "has 64 input features, expected a multiple of 'group_size', which is 24");
  }

  /** 12288 codes of two methods have other shapes, and the other's are named. */
  @Test
  void oneMethodsCodesAreNotReadAsAnothers() throws IOException {
    refuses(
        HEADERS,
        named("awq").config("\"awq\"", "\"gptq\""),
        file(Q + ".scales"),
        " is F16 [2, 64], expected F16 [16, 64] for '" + WEIGHT + "'");
    refuses(
        HEADERS,
        named("gptq4").config("\"gptq\",", "\"awq\","),
        file(Q + ".qweight"),
        "has 8 input features, expected a multiple of 'group_size', which is 32");
    refuses(
        HEADERS,
        named("nf4_double")
            .config("\"bnb_4bit_quant_type\": \"nf4\"", "\"bnb_4bit_quant_type\": \"fp4\""),
        file(ChangedCheckpoint.STATE),
        "says nf4, but 'bnb_4bit_quant_type' of config.json is fp4");
    assertFalse(refusals.said().contains("\tat "));
    assertTrue(refusals.said().contains("use the config.json that belongs to these weights"));
  }
}
