package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.SafetensorsFixture;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Quantised checkpoints that are damaged, or say what is not so: one line names what. */
class DamagedCheckpointTest {
  private static final String Q = ChangedCheckpoint.Q;
  private static final String STATE = ChangedCheckpoint.STATE;

  @TempDir Path temp;

  /** The one line of what opening or reading it says, without the directory's name. */
  private String problem(ChangedCheckpoint checkpoint) throws IOException {
    Path base = checkpoint.write(temp);
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32)).close());
    assertEquals(1, e.problems().size(), e.getMessage());
    assertTrue(e.getMessage().startsWith(temp.toString()), e.getMessage());
    assertTrue(
        e.getMessage().contains(Q) || e.getMessage().contains("config.json"), e.getMessage());
    return e.problems().get(0).replace(temp.toString(), "DIR");
  }

  private void assertSays(ChangedCheckpoint checkpoint, String part) throws IOException {
    String problem = problem(checkpoint);
    assertTrue(problem.contains(part), problem);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"blocksize\": 64|\"blocksize\": 0|'blocksize' is 0, expected a power of two from 32",
        "\"blocksize\": 64|\"blocksize\": 128|absmax' is U8 [64], expected U8 [32]",
        "\"quant_type\": \"nf4\"|\"quant_type\": \"nf5\"|'quant_type' is \"nf5\", expected nf4 or",
        "\"quant_type\": \"nf4\"|\"quant_type\": \"fp4\"|is \"fp4\", expected 'nf4', which",
        "\"bfloat16\"|\"os.system\"|'dtype' is \"os.system\", expected float32, bfloat16 or",
        "[64, 64]|[64, 32]|2048 bytes, but its quantisation state says [64, 32], 1024 bytes",
        "[64, 64]|[4294967296, 64]|'shape' is [4294967296,64], expected [out, in]",
        "[64, 64]|[32, 128]|has shape [32, 128], expected [64, 64] by config.json",
        "\"nested_blocksize\": 256|\"nested_blocksize\": 128|is 128, expected 256",
        "\"nested_dtype\": \"float32\"|\"nested_dtype\": \"int8\"|is \"int8\", expected float32",
        "\"nested_offset\": |\"offset\": |'nested_offset' is missing, expected a number",
        "{|[{|not valid JSON",
        "{|{\"blocksize\": 64, |Duplicate field 'blocksize'"
      })
  void aQuantisationStateThatDoesNotFitIsRefused(String from, String to, String part)
      throws IOException {
    assertSays(ChangedCheckpoint.named("nf4_double").state(from, to), part);
  }

  @Test
  void aSecondQuantisationStateIsRefused() throws IOException {
    ChangedCheckpoint both = ChangedCheckpoint.named("nf4_double");
    byte[] fp4 =
        new String(both.bytes(STATE).array(), StandardCharsets.UTF_8)
            .replace("nf4", "fp4")
            .getBytes(StandardCharsets.UTF_8);
    String other = STATE.replace("nf4", "fp4");
    both.put(other, SafetensorsType.U8, List.of((long) fp4.length), fp4);
    // the other code's table is not the one that is stored
    assertSays(both, "quant_map' is -1.0 at code 0, expected 0.0, as fp4 has it");
  }

  @Test
  void partsThatAreMissingOrOtherAreRefused() throws IOException {
    String weight = Q + ".weight";
    assertSays(
        ChangedCheckpoint.named("nf4_double").remove(weight + ".absmax"),
        "absmax' is missing, without");
    assertSays(
        ChangedCheckpoint.named("nf4_double").remove(weight + ".nested_absmax"),
        "nested_absmax' is missing, without");
    assertSays(
        ChangedCheckpoint.named("nf4_double").remove(weight), "belongs to '" + weight + "', which");
    assertSays(
        ChangedCheckpoint.named("nf4_double").remove(STATE),
        "absmax' has no quantisation state beside it, expected");
    assertSays(
        ChangedCheckpoint.named("fp4_skip")
            .put(Q + ".weight.nested_absmax", SafetensorsType.F32, List.of(1L), new byte[4]),
        "nested_absmax' is there, but the quantisation state has no 'nested_offset'");
    assertSays(
        ChangedCheckpoint.named("nf4_double")
            .put(weight, SafetensorsType.I32, List.of(512L, 1L), new byte[2048]),
        "is I32 [512, 1], 2048 bytes, but its quantisation state says");
    byte[] infinite = new byte[4];
    ByteBuffer.wrap(infinite).order(ByteOrder.LITTLE_ENDIAN).putFloat(Float.POSITIVE_INFINITY);
    assertSays(
        ChangedCheckpoint.named("nf4_double")
            .put(weight + ".nested_absmax", SafetensorsType.F32, List.of(1L), infinite),
        "absmax of block 0 is");
  }

  @Test
  void aConfigurationOfOtherWeightsIsRefused() throws IOException {
    String problem =
        problems(
            ChangedCheckpoint.named("nf4_double")
                .config("\"bnb_4bit_quant_type\": \"nf4\"", "\"bnb_4bit_quant_type\": \"fp4\""));
    assertTrue(
        problem.contains("says nf4, but 'bnb_4bit_quant_type' of config.json is fp4"), problem);
    ChangedCheckpoint plain = ChangedCheckpoint.named("base");
    plain.config(
        "\"vocab_size\"",
        "\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}, \"vocab_size\"");
    assertSays(plain, "config.json has a 'quantization_config', but no weight here is quantised");
  }

  @Test
  void int8ThatDoesNotFitIsRefused() throws IOException {
    assertSays(
        ChangedCheckpoint.named("int8")
            .put(Q + ".weight_format", SafetensorsType.U8, List.of(), new byte[] {2}),
        "weight_format' is 2, expected 0: rows");
    assertSays(
        ChangedCheckpoint.named("int8")
            .put(Q + ".SCB", SafetensorsType.F32, List.of(32L), new byte[128]),
        "SCB' is F32 [32], expected F32 [64]");
    assertSays(
        ChangedCheckpoint.named("int8").remove(Q + ".SCB").remove(Q + ".weight_format"),
        "is stored as I8, which cannot be read as weights");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"bits\": 4|\"bits\": 5|'quantization_config.bits' is 5, expected 2, 3, 4 or 8",
        "\"bits\": 4|\"bits\": 8|has 48 input features, expected a multiple of",
        "\"group_size\": 32|\"group_size\": 48|has groups of 48 columns, expected a multiple of 32",
        "\"group_size\": 32|\"group_size\": 16|has groups of 16 columns, expected a multiple of 32",
        "\"group_size\": 32|\"group_size\": 0|is 0, expected -1, or a number from 1",
        "\"group_size\": 32|\"group_size\": 64|has 96 input features, expected a multiple of 'group_size'",
        "\"checkpoint_format\": \"gptq\"|\"checkpoint_format\": \"marlin\"|expected gptq or gptq_v2: other layouts are",
        "\"checkpoint_format\": \"gptq\"|\"is_marlin_format\": true|is_marlin_format' is true, expected false",
        "\"checkpoint_format\": \"gptq\"|\"dynamic\": {\"+:.*\": {\"bits\": 8}}|dynamic' is {\"+:",
        "\"checkpoint_format\": \"gptq\"|\"pack_dtype\": \"int16\"|is \"int16\", expected int32",
        "\"quant_method\": \"gptq\"|\"quant_method\": \"mxfp4\"|is 'mxfp4', which cannot be read",
        "\"checkpoint_format\": \"gptq\"|\"checkpoint_format\": \"gptq_v2\"|of the other format, gptq"
      })
  void aGptqConfigurationThatCannotBeFollowedIsRefused(String from, String to, String part)
      throws IOException {
    String problem = problems(ChangedCheckpoint.named("gptq4").config(from, to));
    assertTrue(problem.contains(part), problem);
  }

  /** The first line of what is wrong in every linear alike. */
  private String problems(ChangedCheckpoint checkpoint) throws IOException {
    Path base = checkpoint.write(temp);
    return assertThrows(
            InvalidInputException.class,
            () -> CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32)).close())
        .problems()
        .get(0);
  }

  @Test
  void columnsOfNoGroupAreRefused() throws IOException {
    String group = Q + ".g_idx";
    assertSays(
        ChangedCheckpoint.named("gptq4_act_order").with(group, 5, 2),
        "column 5 is in group 2, expected one of 2 groups");
    assertSays(
        ChangedCheckpoint.named("gptq4_act_order").with(group, 5, -1), "column 5 is in group -1");
    assertSays(
        ChangedCheckpoint.named("gptq4_act_order").ints(group, g -> swapped(g, 5)),
        " columns, expected 32: the file is damaged");
    assertSays(
        ChangedCheckpoint.named("gptq4_act_order").remove(group),
        "has no g_idx beside it, expected one");
  }

  private static int[] swapped(int[] groups, int at) {
    groups[at] = 1 - groups[at];
    return groups;
  }

  @Test
  void aScaleThatIsNoNumberIsRefused() throws IOException {
    ChangedCheckpoint infinite = ChangedCheckpoint.named("gptq4");
    byte[] scales = infinite.bytes(Q + ".scales").array();
    scales[2 * 70] = 0;
    scales[2 * 70 + 1] = 0x7C; // float16's infinity
    assertSays(infinite, "the scale of group 1, row 6 is Infinity, expected a finite one");
  }

  /** A wrong version of zeros reads well and computes nonsense. */
  @Test
  void zerosThatContradictWhatIsSaidAreRefused() throws IOException {
    String zeros = Q + ".qzeros";
    assertSays(
        ChangedCheckpoint.named("gptq4").with(zeros, 0, 0x77777776),
        "qzeros' holds 6, expected 7, as 'sym' is true and 'checkpoint_format' is gptq: the file"
            + " is damaged");
    assertSays(
        ChangedCheckpoint.named("gptq4")
            .config("\"sym\": true", "\"sym\": false")
            .with(zeros, 0, 0xFFFFFFFF),
        "holds 15 at 0, which no zero of checkpoint_format gptq is");
  }

  @Test
  void integersWithoutAConfigurationAreRefused() throws IOException {
    ChangedCheckpoint bare =
        ChangedCheckpoint.named("gptq4_one_group"); // its configuration is in a file of its own
    Path base = bare.write(temp);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> WeightSource.open(base, n -> {}));
    assertTrue(
        e.problems().get(0).contains("qweight' is quantised, expected 'quantization_config'"),
        e.getMessage());
  }

  /** AutoGPTQ wrote biases of zeros for models that have none. */
  @Test
  void aBiasOfZerosIsLeftOutAndAnyOtherRefused() throws IOException {
    byte[] bias = new byte[128];
    CausalLm.load(
            ChangedCheckpoint.named("gptq4")
                .put(Q + ".bias", SafetensorsType.F16, List.of(64L), bias)
                .write(temp),
            LoadOptions.unquantized(DType.FLOAT32))
        .close();
    byte[] some = bias.clone();
    some[1] = 0x3C;
    assertSays(
        ChangedCheckpoint.named("gptq4").put(Q + ".bias", SafetensorsType.F16, List.of(64L), some),
        "q_proj.bias' is not part of the model");
  }

  /** AWQ's codes along the columns, and GPTQ's along the rows, have other shapes. */
  @Test
  void oneMethodIsNotReadAsTheOther() throws IOException {
    String gate = "model.layers.0.mlp.gate_proj";
    // words [64, 12] hold 8 codes each along 96 rows; GPTQ has 512 columns of 12 rows in them
    assertEquals(
        file()
            + ": tensor '"
            + gate
            + ".scales' is F16 [2, 96], expected F16 [16, 96] for '"
            + gate
            + ".weight': the file is damaged, or its parts belong to different models",
        problems(ChangedCheckpoint.named("awq").config("\"awq\"", "\"gptq\"")));
    // words [12, 64] hold 96 columns; AWQ has 12 in them, which are no whole group
    String down = "model.layers.0.mlp.down_proj";
    assertEquals(
        file()
            + ": tensor '"
            + down
            + ".qweight' has 12 input features, expected a multiple of 'group_size', which is 32: use"
            + " the configuration that belongs to these weights",
        problems(ChangedCheckpoint.named("gptq4").config("\"gptq\",", "\"awq\",")));
  }

  private Path file() {
    return temp.resolve("model.safetensors");
  }

  /**
   * Words packed nibble for nibble in order, as GPTQ packs them, have AWQ's shapes and no mark:
   * they are read as other weights. So the fixture's values tell the two orders apart, and those
   * that are read are AWQ's.
   */
  @Test
  void awqsOrderOfNibblesIsNotGptqs() throws IOException {
    int[] nibbleOf = {0, 4, 1, 5, 2, 6, 3, 7}; // of a row, in AWQ's words
    ChangedCheckpoint repacked = ChangedCheckpoint.named("awq");
    for (String part : List.of(".qweight", ".qzeros")) {
      repacked.ints(Q + part, words -> inOrder(words, nibbleOf));
    }
    ByteBuffer scales = repacked.bytes(Q + ".scales"); // float16 [2 groups, 64 rows]
    Path awq = QuantizedCheckpointTest.directory("awq");
    float[] golden = new SafetensorsFixture(awq.resolve("golden.safetensors")).floats(Q);
    float[] right = values(awq);
    float[] moved = values(repacked.write(temp));
    int different = 0;
    for (int row = 0; row < 64; row++) {
      int taken = row / 8 * 8 + nibbleOf[row % 8]; // whose code lies where this row's is read
      for (int column = 0; column < 64; column++) {
        int group = column / 32 * 64;
        int at = 64 * row + column;
        assertEquals(golden[at], right[at], "row " + row + ", column " + column);
        int code =
            Math.round(
                golden[64 * taken + column]
                    / Float16.toFloat(scales.getShort(2 * (group + taken))));
        float expected = code * Float16.toFloat(scales.getShort(2 * (group + row)));
        assertEquals(expected, moved[at], "row " + row + ", column " + column);
        different += moved[at] == golden[at] ? 0 : 1;
      }
    }
    assertTrue(different > 64 * 64 / 2, different + " values differ");
  }

  private static int[] inOrder(int[] words, int[] nibbleOf) {
    int[] packed = new int[words.length];
    for (int w = 0; w < words.length; w++) {
      for (int row = 0; row < 8; row++) {
        packed[w] |= (words[w] >>> 4 * nibbleOf[row] & 15) << 4 * row;
      }
    }
    return packed;
  }

  private static float[] values(Path base) {
    float[] values = new float[64 * 64];
    try (WeightSource source = WeightSource.open(base, notice -> {})) {
      source.read(Q + ".weight", 0, values, 0, values.length);
    }
    return values;
  }

  @Test
  void awqOfOtherLayoutsIsRefused() throws IOException {
    assertSays(
        ChangedCheckpoint.named("awq").config("\"gemm\"", "\"gemv\""),
        "version' is \"gemv\", expected");
    assertSays(
        ChangedCheckpoint.named("awq").config("\"zero_point\": true", "\"zero_point\": false"),
        "zero_point' is false, expected true");
  }

  @Test
  void aQuantisedBaseIsNotTrainedItself() {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () ->
                CausalLm.load(
                    QuantizedCheckpointTest.directory("nf4_double"),
                    LoadOptions.trained(DType.FLOAT32)));
    assertTrue(e.getMessage().contains("cannot be trained themselves"), e.getMessage());
  }
}
