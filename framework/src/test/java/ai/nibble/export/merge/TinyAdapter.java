package ai.nibble.export.merge;

import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.lora.AdapterStore;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

/** A random adapter for {@link ai.nibble.model.TinyModel}, to be changed and written. */
public final class TinyAdapter {
  final Map<String, float[]> values = new LinkedHashMap<>();
  final Map<String, long[]> shapes = new LinkedHashMap<>();
  public final Map<String, String> fields = new LinkedHashMap<>();
  private final Random random;

  public TinyAdapter(long seed) {
    random = new Random(seed);
    fields.put("peft_type", "\"LORA\"");
    fields.put("task_type", "\"CAUSAL_LM\"");
    fields.put("r", "2");
    fields.put("lora_alpha", "4");
    fields.put("target_modules", "[\"q_proj\", \"down_proj\"]");
  }

  /** One with A and B for all that {@code target_modules} names. */
  public static TinyAdapter plain(long seed) {
    TinyAdapter adapter = new TinyAdapter(seed);
    for (int layer = 0; layer < 2; layer++) {
      adapter.module("model.layers." + layer + ".self_attn.q_proj", 24, 12, 2);
      adapter.module("model.layers." + layer + ".mlp.down_proj", 12, 20, 2);
    }
    return adapter;
  }

  void module(String path, long out, long in, long r) {
    add(AdapterNames.loraA(path), 0.3, r, in);
    add(AdapterNames.loraB(path), 0.3, out, r);
  }

  /** DoRA's magnitudes of a module, from 1 to 2. */
  void magnitudes(String path, long out) {
    add(AdapterNames.name(path, Kind.LORA_MAGNITUDE_VECTOR), 0, out);
    float[] magnitudes = values.get(AdapterNames.name(path, Kind.LORA_MAGNITUDE_VECTOR));
    for (int i = 0; i < magnitudes.length; i++) {
      magnitudes[i] = 1 + random.nextFloat();
    }
  }

  void add(String name, double std, long... shape) {
    int n = 1;
    for (long size : shape) {
      n *= (int) size;
    }
    float[] tensor = new float[n];
    for (int i = 0; i < n; i++) {
      tensor[i] = (float) (std * random.nextGaussian());
    }
    values.put(name, tensor);
    shapes.put(name, shape);
  }

  public Path write(Path directory) throws IOException {
    Files.createDirectories(directory);
    Files.writeString(
        directory.resolve("adapter_config.json"),
        fields.entrySet().stream()
            .map(e -> "\"" + e.getKey() + "\": " + e.getValue())
            .collect(Collectors.joining(", ", "{", "}")));
    try (SafetensorsWriter writer =
        SafetensorsWriter.create(
            directory.resolve(AdapterStore.WEIGHTS),
            shapes.entrySet().stream()
                .map(e -> TensorSpec.of(e.getKey(), DType.FLOAT32, e.getValue()))
                .toList())) {
      values.forEach(
          (name, tensor) -> {
            ByteBuffer bytes = ByteBuffer.allocate(4 * tensor.length);
            bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(tensor);
            writer.write(name, bytes);
          });
      writer.commit();
    }
    return directory;
  }
}
