package ai.nibble.safetensors;

import ai.nibble.InvalidInputException;
import ai.nibble.StagedFile;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * Writes one safetensors file, whole or not at all.
 *
 * <p>The shapes are given first, then the bodies in any order and in pieces of any size, so that
 * memory never holds more than the caller's piece. Bytes go to a hidden file beside the target;
 * {@link #commit} syncs it, reads it back and compares checksums, renames it over the target and
 * syncs the directory. {@link #close} without a commit removes it: an existing target stays as it
 * was, also for those who have it open or mapped.
 *
 * <pre>{@code
 * try (SafetensorsWriter writer = SafetensorsWriter.create(path, specs)) {
 *   for (TensorSpec spec : specs) {
 *     writer.write(spec.name(), bytesOf(spec));
 *   }
 *   writer.commit();
 * }
 * }</pre>
 *
 * <p>Not for use by several threads at once.
 */
public final class SafetensorsWriter implements AutoCloseable {
  /** What PEFT and transformers write, and check for when they read. */
  public static final Map<String, String> PYTORCH = Map.of("format", "pt");

  private static final JsonFactory JSON = new JsonFactory();

  private final Path target;
  private final StagedFile file;
  private final Map<String, Body> bodies = new LinkedHashMap<>();
  private final Map<String, String> metadata;
  private final long bufferStart;

  private static final class Body {
    final SafetensorsTensor tensor;
    final CRC32C checksum = new CRC32C();
    long written;

    Body(SafetensorsTensor tensor) {
      this.tensor = tensor;
    }
  }

  private SafetensorsWriter(
      Path target, List<SafetensorsTensor> tensors, Map<String, String> metadata) {
    this.target = target.toAbsolutePath();
    this.metadata = metadata;
    tensors.forEach(tensor -> bodies.put(tensor.name(), new Body(tensor)));
    ByteBuffer header = header(tensors, metadata);
    this.bufferStart = header.remaining();
    this.file = StagedFile.create(target);
    try {
      file.write(header, 0);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /** Starts a file with metadata {@link #PYTORCH}. */
  public static SafetensorsWriter create(Path target, Collection<TensorSpec> tensors) {
    return create(target, tensors, PYTORCH);
  }

  /**
   * Starts a file; the bytes of all tensors are to follow.
   *
   * @param target where the file appears on {@link #commit}; an existing file is replaced then
   * @param metadata written in the map's order; left out when empty
   * @throws IllegalArgumentException if a name comes twice, is reserved, or a size overflows
   * @throws InvalidInputException if the target is a directory or its directory is missing
   * @throws UncheckedIOException if the file cannot be made
   */
  public static SafetensorsWriter create(
      Path target, Collection<TensorSpec> tensors, Map<String, String> metadata) {
    StagedFile.requirePlace(target);
    List<SafetensorsTensor> laidOut = layOut(tensors);
    return new SafetensorsWriter(target, laidOut, new LinkedHashMap<>(metadata));
  }

  /** Widest type first, then by name: the reference's order, which keeps elements aligned. */
  private static List<SafetensorsTensor> layOut(Collection<TensorSpec> specs) {
    List<TensorSpec> ordered = new ArrayList<>(specs);
    ordered.sort(
        Comparator.comparing(TensorSpec::type)
            .reversed()
            .thenComparing(
                spec -> spec.name().getBytes(StandardCharsets.UTF_8), Arrays::compareUnsigned));
    List<SafetensorsTensor> tensors = new ArrayList<>();
    Map<String, TensorSpec> seen = new HashMap<>();
    long begin = 0;
    for (TensorSpec spec : ordered) {
      if (seen.put(spec.name(), spec) != null) {
        throw new IllegalArgumentException("tensor '" + spec.name() + "' is given twice");
      }
      long end = Math.addExact(begin, spec.bytes());
      tensors.add(new SafetensorsTensor(spec.name(), spec.type(), spec.shape(), begin, end));
      begin = end;
    }
    return tensors;
  }

  /** Length and JSON, padded with spaces so that the buffer starts at a multiple of 8. */
  private static ByteBuffer header(List<SafetensorsTensor> tensors, Map<String, String> metadata) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    bytes.writeBytes(new byte[8]);
    try (JsonGenerator json = JSON.createGenerator(bytes)) {
      json.writeStartObject();
      if (!metadata.isEmpty()) {
        json.writeObjectFieldStart(HeaderParser.METADATA);
        for (Map.Entry<String, String> entry : metadata.entrySet()) {
          json.writeStringField(entry.getKey(), entry.getValue());
        }
        json.writeEndObject();
      }
      for (SafetensorsTensor tensor : tensors) {
        json.writeObjectFieldStart(tensor.name());
        json.writeStringField("dtype", tensor.type().name());
        json.writeFieldName("shape");
        long[] shape = tensor.dimensions();
        json.writeArray(shape, 0, shape.length);
        json.writeFieldName("data_offsets");
        json.writeArray(new long[] {tensor.begin(), tensor.end()}, 0, 2);
        json.writeEndObject();
      }
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e); // memory is never full to a stream
    }
    while (bytes.size() % 8 != 0) {
      bytes.write(' ');
    }
    if (bytes.size() - 8 > SafetensorsFile.MAX_HEADER_BYTES) {
      throw new IllegalArgumentException(
          "the header would be %d bytes, more than the format's %d"
              .formatted(bytes.size() - 8, SafetensorsFile.MAX_HEADER_BYTES));
    }
    ByteBuffer header = ByteBuffer.wrap(bytes.toByteArray()).order(ByteOrder.LITTLE_ENDIAN);
    return header.putLong(0, header.capacity() - 8);
  }

  /** The tensors in the order of their bytes; writing in this order is sequential on disk. */
  public List<SafetensorsTensor> tensors() {
    return bodies.values().stream().map(body -> body.tensor).toList();
  }

  /**
   * Appends to a tensor's bytes: row-major, little-endian. May be called any number of times.
   *
   * @param bytes consumed from position to limit
   * @throws IllegalArgumentException if there is no such tensor or this is more than it holds
   * @throws UncheckedIOException if writing fails; the target is untouched
   */
  public void write(String name, ByteBuffer bytes) {
    Body body = bodies.get(name);
    if (body == null) {
      throw new IllegalArgumentException(target + ": no tensor '" + name + "' was announced");
    }
    int n = bytes.remaining();
    if (n > body.tensor.bytes() - body.written) {
      throw new IllegalArgumentException(
          "%s: %d bytes after %d of tensor '%s', which has %d"
              .formatted(target, n, body.written, name, body.tensor.bytes()));
    }
    body.checksum.update(bytes.duplicate());
    file.write(bytes, bufferStart + body.tensor.begin() + body.written);
    body.written += n;
  }

  /**
   * Makes the file appear under its name. On any failure it does not, and {@link #close} cleans up.
   *
   * @throws IllegalStateException if a tensor's bytes are incomplete
   * @throws UncheckedIOException if syncing, reading back or renaming fails
   */
  public void commit() {
    for (Body body : bodies.values()) {
      if (body.written != body.tensor.bytes()) {
        throw new IllegalStateException(
            "%s: tensor '%s' got %d of its %d bytes"
                .formatted(target, body.tensor.name(), body.written, body.tensor.bytes()));
      }
    }
    file.commit(this::verify);
  }

  /** What is on disk must be what was given, else nobody may see it under the final name. */
  private void verify(Path written) throws IOException {
    try (SafetensorsFile back = SafetensorsFile.open(written)) {
      if (!back.metadata().equals(metadata)) {
        throw new IOException("the header read back differs from the one written");
      }
      ByteBuffer chunk = ByteBuffer.allocateDirect(1 << 20);
      for (Body body : bodies.values()) {
        SafetensorsTensor tensor = body.tensor;
        if (!back.tensor(tensor.name()).equals(tensor)) {
          throw new IOException("tensor '" + tensor.name() + "' reads back with another place");
        }
        CRC32C seen = new CRC32C();
        for (long at = 0; at < tensor.bytes(); at += chunk.limit()) {
          chunk.clear().limit((int) Math.min(chunk.capacity(), tensor.bytes() - at));
          back.read(tensor.name(), at, chunk);
          seen.update(chunk.flip());
        }
        if (seen.getValue() != body.checksum.getValue()) {
          throw new IOException("tensor '" + tensor.name() + "' reads back with other bytes");
        }
      }
    }
  }

  /** Removes what was written unless {@link #commit} succeeded; harmless when called twice. */
  @Override
  public void close() {
    file.close();
  }
}
