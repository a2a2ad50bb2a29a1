package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantizer4Bit;
import ai.nibble.quant.stored.BitsAndBytesTensors;
import ai.nibble.quant.stored.QuantState;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model whose output head is quantised with its linears, which some tools do. */
class QuantizedHeadTest {
  private static final String HEAD = "lm_head.weight";
  private static final Quant4Config NF4 = new Quant4Config(Quant4Type.NF4, 64, false);

  @TempDir Path temp;

  /** The base with its head in NF4, or with the values that this gives. */
  private Path write(String name, boolean packed) throws IOException {
    Path base = QuantizedCheckpointTest.directory("base");
    Path directory = Files.createDirectory(temp.resolve(name));
    String config = Files.readString(base.resolve("config.json"));
    Files.writeString(
        directory.resolve("config.json"), config.replace("\"bfloat16\"", "\"float32\""));
    try (SafetensorsFile file = SafetensorsFile.open(base.resolve("model.safetensors"));
        Quantized4Bit head = head(file)) {
      QuantState state = new QuantState(NF4, DType.FLOAT32, 40, 64, OptionalDouble.empty());
      List<TensorSpec> specs = new ArrayList<>();
      for (String tensor : file.names()) {
        SafetensorsTensor header = file.tensor(tensor);
        if (!tensor.equals(HEAD)) {
          specs.add(new TensorSpec(tensor, header.type(), header.shape()));
        } else if (!packed) {
          specs.add(TensorSpec.of(HEAD, DType.FLOAT32, 40, 64));
        }
      }
      if (packed) {
        specs.addAll(BitsAndBytesTensors.specs(HEAD, state));
      }
      Path weights = directory.resolve("model.safetensors");
      try (SafetensorsWriter writer = SafetensorsWriter.create(weights, specs)) {
        for (String tensor : file.names()) {
          if (!tensor.equals(HEAD)) {
            ByteBuffer bytes = ByteBuffer.allocate((int) file.tensor(tensor).bytes());
            file.read(tensor, 0, bytes);
            writer.write(tensor, bytes.flip());
          }
        }
        if (packed) {
          BitsAndBytesTensors.write(head, state, writer);
        } else {
          try (Tensor values = Tensor.empty(DType.FLOAT32, 40, 64)) {
            head.dequantize(values);
            writer.write(HEAD, values.bytes(0, 4 * 40 * 64));
          }
        }
        writer.commit();
      }
    }
    return directory;
  }

  private static Quantized4Bit head(SafetensorsFile file) {
    float[] values = new float[40 * 64];
    file.readFloats(HEAD, 0, values, 0, values.length);
    try (Tensor tensor = Tensor.of(values, 40, 64)) {
      return Quantizer4Bit.quantize(HEAD, tensor, NF4);
    }
  }

  private static float[] logits(Path base, DType compute) {
    int[] ids = {1, 5, 9};
    try (CausalLm model = CausalLm.load(base, LoadOptions.unquantized(compute));
        Tensor logits = model.logits(ids, Pass.evaluating(0, 3), new int[] {0, 1, 2})) {
      return logits.toFloats();
    }
  }

  @Test
  void itsLogitsAreThoseOfItsValues() throws IOException {
    Path packed = write("packed", true);
    Path plain = write("plain", false);
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      assertArrayEquals(logits(plain, compute), logits(packed, compute));
    }
    try (WeightSource source = WeightSource.open(packed, notice -> {})) {
      assertTrue(source.quantized(HEAD).isPresent());
      assertEquals("nf4, blocks of 64", source.quantization().orElseThrow());
    }
  }
}
