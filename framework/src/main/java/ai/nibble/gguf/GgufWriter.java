package ai.nibble.gguf;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.StagedFile;
import ai.nibble.tensor.Parallel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * Writes one GGUF file of version 3, whole or not at all.
 *
 * <p>Metadata and the table of tensors are given first, then the values tensor by tensor in any
 * order: they are read row by row, turned into blocks on all threads, and written in pieces of some
 * megabytes, so that memory holds no whole tensor. Bytes go to a hidden file beside the target;
 * {@link #commit} syncs it, reads it back and compares checksums, renames it and syncs the
 * directory. {@link #close} without a commit removes it.
 *
 * <pre>{@code
 * try (GgufWriter writer = GgufWriter.create(path, header, specs)) {
 *   for (GgufTensorSpec spec : specs) {
 *     writer.write(spec.name(), (row, into) -> read(spec, row, into));
 *   }
 *   writer.commit();
 * }
 * }</pre>
 *
 * <p>Not for use by several threads at once; it makes use of several itself.
 */
public final class GgufWriter implements AutoCloseable {
  /** Bytes written at a time: every thread has some ranges of rows to encode. */
  private static final int PIECE_BYTES = 1 << 23;

  /** Elements of a range of rows, which one thread encodes. */
  private static final int RANGE_ELEMENTS = 1 << 16;

  /** The least magnitude that rounds to infinity in binary16, which scales and minima are. */
  private static final float HALF_OVERFLOW = 65_520f;

  /** Reads rows of a tensor. */
  @FunctionalInterface
  public interface RowSource {
    /**
     * Fills {@code into}, which is as long as a row. Called from several threads at once.
     *
     * @param row in the file's order
     */
    void read(long row, float[] into);
  }

  private static final class Body {
    final GgufTensorSpec spec;
    final long position;
    final CRC32C checksum = new CRC32C();
    boolean written;

    Body(GgufTensorSpec spec, long position) {
      this.spec = spec;
      this.position = position;
    }
  }

  private final Path target;
  private final StagedFile file;
  private final Map<String, Body> bodies = new LinkedHashMap<>();

  private GgufWriter(Path target, GgufHeader header, Collection<GgufTensorSpec> tensors) {
    this.target = target.toAbsolutePath();
    ByteBuffer front = front(header, tensors);
    long position = front.remaining();
    for (GgufTensorSpec spec : tensors) {
      bodies.put(spec.name(), new Body(spec, position));
      position = padded(position + spec.bytes());
    }
    if (bodies.size() != tensors.size()) {
      throw new IllegalArgumentException(target + ": a tensor is given twice");
    }
    requireSpace(position);
    this.file = StagedFile.create(target);
    try {
      // the padding behind the last tensor is zeros that nothing else writes
      file.write(ByteBuffer.wrap(new byte[1]), position - 1);
      file.write(front, 0);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /**
   * Starts a file; the values of all tensors are to follow.
   *
   * @param target where the file appears on {@link #commit}; an existing file is replaced then
   * @param tensors in the order of their bytes
   * @throws IllegalArgumentException if a name comes twice
   * @throws InvalidInputException if the target is a directory, its directory is missing, or the
   *     disk has too little room
   * @throws UncheckedIOException if the file cannot be made
   */
  public static GgufWriter create(
      Path target, GgufHeader header, Collection<GgufTensorSpec> tensors) {
    StagedFile.requirePlace(target);
    return new GgufWriter(target, header, tensors);
  }

  private void requireSpace(long needed) {
    long free;
    try {
      free = Files.getFileStore(target.getParent()).getUsableSpace();
    } catch (IOException e) {
      throw new UncheckedIOException(target + ": cannot be written: " + FileProblem.reason(e), e);
    }
    if (needed > free) {
      throw new InvalidInputException(
          "%s: needs %d bytes, but its disk has %d free: free some, or write elsewhere"
              .formatted(target, needed, free));
    }
  }

  /** All that precedes the data, padded. */
  private static ByteBuffer front(GgufHeader header, Collection<GgufTensorSpec> tensors) {
    Map<String, byte[]> values = header.values();
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes(
        little(24)
            .putInt(GgufReader.MAGIC)
            .putInt(3)
            .putLong(tensors.size())
            .putLong(values.size())
            .array());
    values.forEach(
        (key, value) -> {
          writeString(out, key);
          out.writeBytes(value);
        });
    long offset = 0;
    for (GgufTensorSpec spec : tensors) {
      List<Long> shape = spec.shape();
      writeString(out, spec.name());
      ByteBuffer entry = little(4 + 8 * shape.size() + 4 + 8).putInt(shape.size());
      for (int d = shape.size() - 1; d >= 0; d--) {
        entry.putLong(shape.get(d));
      }
      out.writeBytes(entry.putInt(spec.type().number()).putLong(offset).array());
      offset = padded(offset + spec.bytes());
    }
    out.writeBytes(new byte[(int) (padded(out.size()) - out.size())]);
    return ByteBuffer.wrap(out.toByteArray());
  }

  private static void writeString(ByteArrayOutputStream out, String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    out.writeBytes(little(8).putLong(bytes.length).array());
    out.writeBytes(bytes);
  }

  private static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static long padded(long position) {
    return GgufReader.padded(position, GgufReader.DEFAULT_ALIGNMENT);
  }

  /**
   * Writes all of a tensor.
   *
   * @throws IllegalArgumentException if there is no such tensor
   * @throws IllegalStateException if it has been written before
   * @throws InvalidInputException if a value is not finite, or too large for the tensor's type
   * @throws UncheckedIOException if writing fails; the target is untouched
   */
  public void write(String name, RowSource rows) {
    Body body = unwritten(name);
    GgufTensorSpec spec = body.spec;
    pieces(body, (first, count, piece) -> encode(spec, rows, first, count, piece));
  }

  /**
   * Writes all of a tensor as another file has it, byte for byte: nothing is rounded again.
   *
   * @param from has a tensor of that name, type and shape
   * @throws IllegalArgumentException if there is no such tensor here or there
   * @throws IllegalStateException if it has been written before
   * @throws InvalidInputException if a value is not finite, or the other file was cut short
   * @throws UncheckedIOException if writing fails; the target is untouched
   */
  public void copy(String name, GgufFile from) {
    Body body = unwritten(name);
    GgufTensorSpec spec = body.spec;
    GgufTensor tensor = from.tensors().get(name);
    if (tensor == null || tensor.type() != spec.type() || !tensor.shape().equals(spec.shape())) {
      throw new IllegalArgumentException(
          "%s: tensor '%s' is %s there, expected %s".formatted(from.path(), name, tensor, spec));
    }
    int rowBytes = Math.toIntExact(spec.bytes() / spec.rows());
    pieces(
        body,
        (first, count, piece) -> {
          from.readBlocks(tensor, first * rowBytes, piece, count * rowBytes);
          requireFinite(spec, first, count, piece);
        });
  }

  /** Fills {@code count} rows from {@code first} on. */
  @FunctionalInterface
  private interface Piece {
    void fill(long first, int count, byte[] piece);
  }

  private Body unwritten(String name) {
    Body body = bodies.get(name);
    if (body == null) {
      throw new IllegalArgumentException(target + ": no tensor '" + name + "' was announced");
    }
    if (body.written) {
      throw new IllegalStateException(target + ": tensor '" + name + "' has been written");
    }
    return body;
  }

  private void pieces(Body body, Piece source) {
    GgufTensorSpec spec = body.spec;
    int rowBytes = Math.toIntExact(spec.bytes() / spec.rows());
    int rowsAPiece = (int) Math.min(spec.rows(), Math.max(1, PIECE_BYTES / rowBytes));
    byte[] piece = new byte[rowsAPiece * rowBytes];
    for (long first = 0; first < spec.rows(); first += rowsAPiece) {
      int count = (int) Math.min(rowsAPiece, spec.rows() - first);
      source.fill(first, count, piece);
      ByteBuffer bytes = ByteBuffer.wrap(piece, 0, count * rowBytes);
      body.checksum.update(bytes.duplicate());
      file.write(bytes, body.position + first * rowBytes);
    }
    body.written = true;
  }

  /** Rows {@code [first, first + count)} to the start of the piece, on all threads. */
  private void encode(GgufTensorSpec spec, RowSource rows, long first, int count, byte[] piece) {
    int width = spec.rowElements();
    int blocks = width / spec.type().blockElements();
    int rowBytes = blocks * spec.type().blockBytes();
    Parallel.forRanges(
        count,
        Math.max(1, RANGE_ELEMENTS / width),
        (begin, end) -> {
          float[] row = new float[width];
          for (long r = begin; r < end; r++) {
            rows.read(first + r, row);
            requireStorable(spec, first + r, row);
            BlockEncoder.encode(spec.type(), row, blocks, piece, (int) r * rowBytes);
          }
        });
  }

  private void requireFinite(GgufTensorSpec spec, long first, int count, byte[] piece) {
    int width = spec.rowElements();
    int blocks = width / spec.type().blockElements();
    int rowBytes = blocks * spec.type().blockBytes();
    Parallel.forRanges(
        count,
        Math.max(1, RANGE_ELEMENTS / width),
        (begin, end) -> {
          float[] row = new float[width];
          for (long r = begin; r < end; r++) {
            int at = (int) r * rowBytes;
            byte[] bytes = Arrays.copyOfRange(piece, at, at + rowBytes);
            BlockDecoder.decode(spec.type(), bytes, blocks, row, 0);
            requireFinite(spec, first + r, row);
          }
        });
  }

  private void requireFinite(GgufTensorSpec spec, long r, float[] row) {
    for (int c = 0; c < row.length; c++) {
      if (!Float.isFinite(row[c])) {
        throw new InvalidInputException(
            "%s: tensor '%s' holds %s at [%d, %d], expected finite weights: not written"
                .formatted(target, spec.name(), row[c], r, c));
      }
    }
  }

  private void requireStorable(GgufTensorSpec spec, long r, float[] row) {
    requireFinite(spec, r, row);
    boolean wide = spec.type() == GgmlType.F32 || spec.type() == GgmlType.BF16;
    for (int c = 0; c < row.length && !wide; c++) {
      if (Math.abs(row[c]) >= HALF_OVERFLOW) {
        throw new InvalidInputException(
            "%s: tensor '%s' holds %s at [%d, %d], beyond 65504, the largest of float16, which %s"
                    .formatted(target, spec.name(), row[c], r, c, spec.type())
                + " is built on: write BF16 or F32");
      }
    }
  }

  /**
   * Makes the file appear under its name. On any failure it does not, and {@link #close} cleans up.
   *
   * @throws IllegalStateException if a tensor was not written
   * @throws UncheckedIOException if syncing, reading back or renaming fails
   */
  public void commit() {
    for (Body body : bodies.values()) {
      if (!body.written) {
        throw new IllegalStateException(
            target + ": tensor '" + body.spec.name() + "' was not written");
      }
    }
    file.commit(this::verify);
  }

  /** What is on disk must be what was given, else nobody may see it under the final name. */
  private void verify(Path written) throws IOException {
    try (GgufFile back = GgufFile.open(written)) {
      byte[] chunk = new byte[PIECE_BYTES];
      for (Body body : bodies.values()) {
        GgufTensorSpec spec = body.spec;
        GgufTensor tensor = back.tensor(spec.name());
        if (tensor.type() != spec.type() || !tensor.shape().equals(spec.shape())) {
          throw new IOException("tensor '" + spec.name() + "' reads back as " + tensor);
        }
        CRC32C seen = new CRC32C();
        for (long at = 0; at < spec.bytes(); at += chunk.length) {
          int count = (int) Math.min(chunk.length, spec.bytes() - at);
          back.readBlocks(tensor, at, chunk, count);
          seen.update(chunk, 0, count);
        }
        if (seen.getValue() != body.checksum.getValue()) {
          throw new IOException("tensor '" + spec.name() + "' reads back with other bytes");
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
