package ai.nibble.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("golden")
class GgufModelTest {
  private static Path model() {
    return Shared.path("models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf");
  }

  /** The resource holds a hash of each tensor's values as the reference package gives them. */
  @Test
  void everyTensorOfTheModelHasTheReferencesBits() throws IOException, NoSuchAlgorithmException {
    List<String> lines = BlockDecoderTest.lines("smollm2-135m-instruct.txt");
    Map<GgmlType, Integer> seen = new TreeMap<>();
    try (GgufFile file = GgufFile.open(model())) {
      assertEquals(lines.stream().map(l -> l.split(" ")[0]).toList(), List.copyOf(file.names()));
      for (String line : lines) {
        String[] fields = line.split(" ");
        GgufTensor tensor = file.tensor(fields[0]);
        assertEquals(fields[1], tensor.type().toString());
        String shape =
            tensor.shape().stream().map(String::valueOf).collect(Collectors.joining("x"));
        assertEquals(fields[2], shape, tensor.name());
        assertEquals(fields[3], hash(file, tensor), tensor.name());
        seen.merge(tensor.type(), 1, Integer::sum);
      }
    }
    assertTrue(seen.size() >= 3, "types seen: " + seen);
    System.out.println("GGUF tensors equal to the reference bit for bit: " + seen);
  }

  /** Streams the tensor by some rows at a time. */
  private static String hash(GgufFile file, GgufTensor tensor) throws NoSuchAlgorithmException {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    int row = Math.toIntExact(tensor.rowElements());
    float[] values = new float[37 * row];
    ByteBuffer bits = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    for (long at = 0; at < tensor.elements(); at += values.length) {
      int n = (int) Math.min(values.length, tensor.elements() - at);
      file.dequantize(tensor.name(), at, n, values, 0);
      bits.asFloatBuffer().put(values);
      digest.update(bits.array(), 0, 4 * n);
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  @Test
  void theModelsMetadataIsRead() {
    try (GgufFile file = GgufFile.open(model())) {
      GgufMetadata metadata = file.metadata();
      assertEquals(33, metadata.keys().size());
      assertEquals("llama", metadata.getString("general.architecture"));
      assertEquals(30, metadata.getInt("llama.block_count", 1, 512));
      assertEquals(100_000f, metadata.getFloat("llama.rope.freq_base"));
      assertEquals(1e-5f, metadata.getFloat("llama.attention.layer_norm_rms_epsilon"));
      assertEquals(List.of("en"), metadata.getStrings("general.languages"));
      List<String> tokens = metadata.getStrings("tokenizer.ggml.tokens");
      assertEquals(49152, tokens.size());
      assertEquals("<|im_start|>", tokens.get(1));
      assertEquals(49152, metadata.getLongs("tokenizer.ggml.token_type").length);
    }
  }
}
