package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** A small trusted safetensors file, read whole; independent of the project's own reader. */
public final class SafetensorsFixture {
  private static final Map<String, DType> DTYPES =
      Map.of(
          "F32", DType.FLOAT32,
          "F16", DType.FLOAT16,
          "BF16", DType.BFLOAT16,
          "U8", DType.UINT8,
          "I8", DType.INT8);

  private final JsonNode header;
  private final ByteBuffer data;

  public SafetensorsFixture(Path file) throws IOException {
    ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    byte[] json = new byte[Math.toIntExact(all.getLong())];
    all.get(json);
    header = new ObjectMapper().readTree(json);
    data = all.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  /** All tensors. */
  public List<String> names() {
    List<String> names = new ArrayList<>();
    header.fieldNames().forEachRemaining(names::add);
    names.remove("__metadata__");
    return names;
  }

  public long[] shape(String name) {
    JsonNode sizes = header.get(name).get("shape");
    long[] shape = new long[sizes.size()];
    for (int d = 0; d < shape.length; d++) {
      shape[d] = sizes.get(d).asLong();
    }
    return shape;
  }

  public byte[] bytes(String name) {
    JsonNode offsets = header.get(name).get("data_offsets");
    byte[] bytes = new byte[offsets.get(1).asInt() - offsets.get(0).asInt()];
    data.get(offsets.get(0).asInt(), bytes);
    return bytes;
  }

  public float[] floats(String name) {
    try (Tensor tensor = tensor(name)) {
      return tensor.toFloats();
    }
  }

  public Tensor tensor(String name) {
    byte[] bytes = bytes(name);
    Tensor tensor = Tensor.empty(DTYPES.get(header.get(name).get("dtype").asText()), shape(name));
    tensor.bytes(0, bytes.length).put(bytes);
    return tensor;
  }
}
