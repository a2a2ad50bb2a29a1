package ai.nibble.export.merge;

import ai.nibble.export.PlainTensor;
import ai.nibble.export.ShardWriter;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import java.util.Collection;
import java.util.List;

/**
 * A source's tensors as they are, all in one dtype.
 *
 * @param dtype bfloat16, float16 or float32
 */
record MergedContent(WeightSource source, DType dtype) implements ShardWriter.Content {
  private PlainTensor tensor(String name) {
    return new PlainTensor(source, name, dtype);
  }

  @Override
  public Collection<String> names() {
    return source.names();
  }

  @Override
  public long bytes(String name) {
    return tensor(name).spec().bytes();
  }

  @Override
  public List<TensorSpec> specs(String name) {
    return List.of(tensor(name).spec());
  }

  @Override
  public void write(String name, SafetensorsWriter writer) {
    tensor(name).write(writer);
  }
}
