package ai.nibble.checkpoint;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.OptimizerState;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * Trained values and the optimizer's memory in float32: tensors {@code BUFFER/PARAMETER} of the
 * parameter's shape, where BUFFER is {@code value} or one of the optimizer's. They are found by
 * name, so the order of parameters does not matter. What else an optimizer remembers are vectors
 * {@code KIND/PARAMETER}.
 */
final class StateTensors {
  static final String NAME = "training_state.safetensors";

  private static final String VALUE = "value";
  private static final String STEP = "optimizer_step";
  private static final int PIECE = 1 << 16;

  private StateTensors() {}

  static void write(Path directory, ParameterSet parameters, OptimizerState optimizer)
      throws IOException {
    Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    buffers.put(VALUE, parameters.hostValues());
    buffers.putAll(optimizer.buffers());
    List<TensorSpec> specs = new ArrayList<>();
    for (String buffer : buffers.keySet()) {
      for (Parameter p : parameters.parameters()) {
        specs.add(TensorSpec.of(name(buffer, p), DType.FLOAT32, p.value().shape()));
      }
    }
    optimizer
        .vectors()
        .forEach((name, values) -> specs.add(TensorSpec.of(name, DType.FLOAT32, values.limit())));
    Map<String, String> metadata = Map.of(STEP, Long.toString(optimizer.step()));
    Path file = directory.resolve(NAME);
    try (SafetensorsWriter writer = SafetensorsWriter.create(file, specs, metadata)) {
      for (Map.Entry<String, FloatBuffer> buffer : buffers.entrySet()) {
        for (Parameter p : parameters.parameters()) {
          int offset = Math.toIntExact(parameters.offset(p.name()));
          int length = Math.toIntExact(p.value().numel());
          write(writer, name(buffer.getKey(), p), buffer.getValue().slice(offset, length));
        }
      }
      for (Map.Entry<String, FloatBuffer> vector : optimizer.vectors().entrySet()) {
        write(writer, vector.getKey(), vector.getValue());
      }
      writer.commit();
    }
  }

  private static String name(String buffer, Parameter p) {
    return buffer + "/" + p.name();
  }

  private static void write(SafetensorsWriter writer, String name, FloatBuffer values)
      throws IOException {
    ByteBuffer piece = ByteBuffer.allocate(PIECE * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (int at = 0; at < values.limit(); at += PIECE) {
      int n = Math.min(PIECE, values.limit() - at);
      piece.clear();
      piece.asFloatBuffer().put(values.slice(at, n));
      writer.write(name, piece.limit(n * Float.BYTES));
    }
  }

  /**
   * Copies what was saved into the parameters and the optimizer.
   *
   * @throws InvalidInputException naming every tensor that is missing, is not known or has another
   *     shape; nothing has changed then
   */
  static void read(Path directory, ParameterSet parameters, Optimizer optimizer) {
    try (SafetensorsFile file = SafetensorsFile.open(directory.resolve(NAME))) {
      Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
      buffers.put(VALUE, parameters.hostValues());
      OptimizerState own = optimizer.state();
      buffers.putAll(own.buffers());
      requireSame(file, parameters, buffers.keySet().stream().toList(), own.vectors());
      Map<String, FloatBuffer> saved = new LinkedHashMap<>();
      buffers.forEach((name, buffer) -> saved.put(name, read(file, name, parameters)));
      FloatBuffer values = saved.remove(VALUE);
      Map<String, FloatBuffer> vectors = new LinkedHashMap<>();
      own.vectors().keySet().forEach(name -> vectors.put(name, read(file, name)));
      optimizer.restore(new OptimizerState(step(file), saved, vectors));
      parameters.setValues(values);
    }
  }

  /**
   * Copies the saved values into the parameters.
   *
   * @throws InvalidInputException as {@link #read}
   */
  static void readValues(Path directory, ParameterSet parameters) {
    try (SafetensorsFile file = SafetensorsFile.open(directory.resolve(NAME))) {
      requireShapes(file, parameters, List.of(VALUE), Map.of(), new TreeSet<>());
      parameters.setValues(read(file, VALUE, parameters));
    }
  }

  private static void requireSame(
      SafetensorsFile file,
      ParameterSet parameters,
      List<String> buffers,
      Map<String, FloatBuffer> vectors) {
    requireShapes(file, parameters, buffers, vectors, new TreeSet<>(file.names()));
  }

  /**
   * @param unknown names of which none may be left that is nothing of this run
   */
  private static void requireShapes(
      SafetensorsFile file,
      ParameterSet parameters,
      List<String> buffers,
      Map<String, FloatBuffer> vectors,
      TreeSet<String> unknown) {
    Map<String, long[]> expected = new LinkedHashMap<>();
    for (String buffer : buffers) {
      parameters.parameters().forEach(p -> expected.put(name(buffer, p), p.value().shape()));
    }
    vectors.forEach((name, values) -> expected.put(name, new long[] {values.limit()}));
    List<String> problems = new ArrayList<>();
    expected.forEach(
        (name, shape) -> {
          unknown.remove(name);
          if (!file.names().contains(name)) {
            problems.add(file.path() + ": no tensor '" + name + "', which this run trains");
          } else if (!Arrays.equals(file.tensor(name).dimensions(), shape)) {
            problems.add(
                file.path()
                    + ": '"
                    + name
                    + "' has the shape "
                    + Arrays.toString(file.tensor(name).dimensions())
                    + ", expected "
                    + Arrays.toString(shape));
          }
        });
    unknown.forEach(
        name -> problems.add(file.path() + ": '" + name + "' is nothing this run trains"));
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private static FloatBuffer read(SafetensorsFile file, String buffer, ParameterSet parameters) {
    FloatBuffer all =
        ByteBuffer.allocateDirect(Math.toIntExact(parameters.numel() * Float.BYTES))
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    for (Parameter p : parameters.parameters()) {
      float[] values = new float[Math.toIntExact(p.value().numel())];
      file.readFloats(name(buffer, p), 0, values, 0, values.length);
      all.put(Math.toIntExact(parameters.offset(p.name())), values);
    }
    return all;
  }

  private static FloatBuffer read(SafetensorsFile file, String vector) {
    float[] values = new float[Math.toIntExact(file.tensor(vector).dimensions()[0])];
    file.readFloats(vector, 0, values, 0, values.length);
    return FloatBuffer.wrap(values);
  }

  private static long step(SafetensorsFile file) {
    String step = file.metadata().getOrDefault(STEP, "");
    if (!step.matches("\\d{1,18}")) {
      throw new InvalidInputException(
          file.path() + ": metadata '" + STEP + "' is '" + step + "', expected a number");
    }
    return Long.parseLong(step);
  }
}
