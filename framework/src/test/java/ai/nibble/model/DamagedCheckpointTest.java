package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Quantised checkpoints that are damaged, or say what is not so: one line names what. */
class DamagedCheckpointTest {
  private static final String Q = "model.layers.0.self_attn.q_proj";
  private static final String STATE = Q + ".weight.quant_state.bitsandbytes__nf4";

  @TempDir Path temp;

  /** A checkpoint's tensors and configuration, to be changed and written. */
  private final class Checkpoint {
    private final Map<String, TensorSpec> specs = new LinkedHashMap<>();
    private final Map<String, byte[]> values = new LinkedHashMap<>();
    private String config;

    Checkpoint(String name) throws IOException {
      Path from = QuantizedCheckpointTest.directory(name);
      config = Files.readString(from.resolve("config.json"));
      try (SafetensorsFile file = SafetensorsFile.open(from.resolve("model.safetensors"))) {
        for (String tensor : file.names()) {
          SafetensorsTensor header = file.tensor(tensor);
          byte[] bytes = new byte[(int) header.bytes()];
          file.read(tensor, 0, ByteBuffer.wrap(bytes));
          put(tensor, header.type(), header.shape(), bytes);
        }
      }
    }

    Checkpoint put(String name, SafetensorsType type, List<Long> shape, byte[] bytes) {
      specs.put(name, new TensorSpec(name, type, shape));
      values.put(name, bytes);
      return this;
    }

    Checkpoint remove(String name) {
      assertTrue(specs.containsKey(name), name);
      specs.remove(name);
      values.remove(name);
      return this;
    }

    Checkpoint state(String from, String to) {
      String text = new String(values.get(STATE), StandardCharsets.UTF_8);
      assertTrue(text.contains(from), text);
      byte[] bytes = text.replace(from, to).getBytes(StandardCharsets.UTF_8);
      return put(STATE, SafetensorsType.U8, List.of((long) bytes.length), bytes);
    }

    Checkpoint config(String from, String to) {
      assertTrue(config.contains(from), config);
      config = config.replace(from, to);
      return this;
    }

    Checkpoint ints(String name, UnaryOperator<int[]> change) {
      ByteBuffer bytes = ByteBuffer.wrap(values.get(name)).order(ByteOrder.LITTLE_ENDIAN);
      int[] ints = new int[bytes.limit() / 4];
      bytes.asIntBuffer().get(ints);
      bytes.asIntBuffer().put(change.apply(ints));
      return this;
    }

    Path write() throws IOException {
      Files.writeString(temp.resolve("config.json"), config);
      Path file = temp.resolve("model.safetensors");
      try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs.values())) {
        values.forEach((name, bytes) -> writer.write(name, ByteBuffer.wrap(bytes)));
        writer.commit();
      }
      return temp;
    }
  }

  /** The one line of what opening or reading it says, without the directory's name. */
  private String problem(Checkpoint checkpoint) throws IOException {
    Path base = checkpoint.write();
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32)).close());
    assertEquals(1, e.problems().size(), e.getMessage());
    assertTrue(
        e.getMessage().contains(Q) || e.getMessage().contains("config.json"), e.getMessage());
    return e.problems().get(0).replace(temp.toString(), "DIR");
  }

  private void assertSays(Checkpoint checkpoint, String part) throws IOException {
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
    assertSays(new Checkpoint("nf4_double").state(from, to), part);
  }

  @Test
  void aSecondQuantisationStateIsRefused() throws IOException {
    Checkpoint both = new Checkpoint("nf4_double");
    byte[] fp4 =
        new String(both.values.get(STATE), StandardCharsets.UTF_8)
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
        new Checkpoint("nf4_double").remove(weight + ".absmax"), "absmax' is missing, without");
    assertSays(
        new Checkpoint("nf4_double").remove(weight + ".nested_absmax"),
        "nested_absmax' is missing, without");
    assertSays(new Checkpoint("nf4_double").remove(weight), "belongs to '" + weight + "', which");
    assertSays(
        new Checkpoint("nf4_double").remove(STATE),
        "absmax' has no quantisation state beside it, expected");
    assertSays(
        new Checkpoint("fp4_skip")
            .put(Q + ".weight.nested_absmax", SafetensorsType.F32, List.of(1L), new byte[4]),
        "nested_absmax' is there, but the quantisation state has no 'nested_offset'");
    assertSays(
        new Checkpoint("nf4_double")
            .put(weight, SafetensorsType.I32, List.of(512L, 1L), new byte[2048]),
        "is I32 [512, 1], 2048 bytes, but its quantisation state says");
    byte[] infinite = new byte[4];
    ByteBuffer.wrap(infinite).order(ByteOrder.LITTLE_ENDIAN).putFloat(Float.POSITIVE_INFINITY);
    assertSays(
        new Checkpoint("nf4_double")
            .put(weight + ".nested_absmax", SafetensorsType.F32, List.of(1L), infinite),
        "absmax of block 0 is");
  }

  @Test
  void aConfigurationOfOtherWeightsIsRefused() throws IOException {
    String problem =
        problems(
            new Checkpoint("nf4_double")
                .config("\"bnb_4bit_quant_type\": \"nf4\"", "\"bnb_4bit_quant_type\": \"fp4\""));
    assertTrue(
        problem.contains("says nf4, but 'bnb_4bit_quant_type' of config.json is fp4"), problem);
    Checkpoint plain = new Checkpoint("base");
    plain.config(
        "\"vocab_size\"",
        "\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}, \"vocab_size\"");
    assertSays(plain, "config.json has a 'quantization_config', but no weight here is quantised");
  }

  @Test
  void int8ThatDoesNotFitIsRefused() throws IOException {
    assertSays(
        new Checkpoint("int8")
            .put(Q + ".weight_format", SafetensorsType.U8, List.of(), new byte[] {2}),
        "weight_format' is 2, expected 0: rows");
    assertSays(
        new Checkpoint("int8").put(Q + ".SCB", SafetensorsType.F32, List.of(32L), new byte[128]),
        "SCB' is F32 [32], expected F32 [64]");
    assertSays(
        new Checkpoint("int8").remove(Q + ".SCB").remove(Q + ".weight_format"),
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
    String problem = problems(new Checkpoint("gptq4").config(from, to));
    assertTrue(problem.contains(part), problem);
  }

  /** The first line of what is wrong in every linear alike. */
  private String problems(Checkpoint checkpoint) throws IOException {
    Path base = checkpoint.write();
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
        new Checkpoint("gptq4_act_order").ints(group, g -> with(g, 5, 2)),
        "column 5 is in group 2, expected one of 2 groups");
    assertSays(
        new Checkpoint("gptq4_act_order").ints(group, g -> with(g, 5, -1)),
        "column 5 is in group -1");
    assertSays(
        new Checkpoint("gptq4_act_order").ints(group, g -> with(g, 5, 1 - g[5])),
        " columns, expected 32: the file is damaged");
    assertSays(
        new Checkpoint("gptq4_act_order").remove(group), "has no g_idx beside it, expected one");
  }

  private static int[] with(int[] values, int at, int value) {
    values[at] = value;
    return values;
  }

  /** A wrong version of zeros reads well and computes nonsense. */
  @Test
  void zerosThatContradictWhatIsSaidAreRefused() throws IOException {
    String zeros = Q + ".qzeros";
    assertSays(
        new Checkpoint("gptq4").ints(zeros, z -> with(z, 0, 0x77777776)),
        "qzeros' holds 6, expected 7, as 'sym' is true and 'checkpoint_format' is gptq: the file"
            + " is damaged");
    assertSays(
        new Checkpoint("gptq4")
            .config("\"sym\": true", "\"sym\": false")
            .ints(zeros, z -> with(z, 0, 0xFFFFFFFF)),
        "holds 15 at 0, which no zero of checkpoint_format gptq is");
  }

  @Test
  void integersWithoutAConfigurationAreRefused() throws IOException {
    Checkpoint bare =
        new Checkpoint("gptq4_one_group"); // its configuration is in a file of its own
    Path base = bare.write();
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
            new Checkpoint("gptq4")
                .put(Q + ".bias", SafetensorsType.F16, List.of(64L), bias)
                .write(),
            LoadOptions.unquantized(DType.FLOAT32))
        .close();
    byte[] some = bias.clone();
    some[1] = 0x3C;
    assertSays(
        new Checkpoint("gptq4").put(Q + ".bias", SafetensorsType.F16, List.of(64L), some),
        "q_proj.bias' is not part of the model");
  }

  /** AWQ's codes in GPTQ's order, and the other way round, have other shapes. */
  @Test
  void oneMethodIsNotReadAsTheOther() throws IOException {
    String awq = problems(new Checkpoint("awq").config("\"awq\"", "\"gptq\""));
    assertTrue(awq.contains("expected"), awq);
    String gptq = problems(new Checkpoint("gptq4").config("\"gptq\",", "\"awq\","));
    assertTrue(gptq.contains("expected"), gptq);
  }

  @Test
  void awqOfOtherLayoutsIsRefused() throws IOException {
    assertSays(
        new Checkpoint("awq").config("\"gemm\"", "\"gemv\""), "version' is \"gemv\", expected");
    assertSays(
        new Checkpoint("awq").config("\"zero_point\": true", "\"zero_point\": false"),
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
