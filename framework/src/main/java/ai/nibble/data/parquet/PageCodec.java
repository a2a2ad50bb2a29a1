package ai.nibble.data.parquet;

import ai.nibble.InvalidInputException;
import io.airlift.compress.Decompressor;
import io.airlift.compress.lz4.Lz4Decompressor;
import io.airlift.compress.snappy.SnappyDecompressor;
import io.airlift.compress.zstd.ZstdDecompressor;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.zip.GZIPInputStream;
import org.apache.parquet.format.CompressionCodec;

/** How the pages of a column are compressed. */
interface PageCodec {
  /**
   * A page's bytes.
   *
   * @param size how many they are; a page that has other than these is damaged
   */
  byte[] decompress(byte[] page, int size) throws IOException;

  /**
   * @param column for the message
   * @throws InvalidInputException without the file's name, for a codec that is not supported
   */
  static PageCodec of(CompressionCodec codec, String column) {
    if (codec != null) {
      switch (codec) {
        case UNCOMPRESSED:
          return (page, size) -> exactly(page, size);
        case SNAPPY:
          return (page, size) -> block(new SnappyDecompressor(), page, size);
        case ZSTD:
          return (page, size) -> block(new ZstdDecompressor(), page, size);
        case LZ4_RAW:
          return (page, size) -> block(new Lz4Decompressor(), page, size);
        case GZIP:
          return PageCodec::gzip;
        default:
      }
    }
    throw new InvalidInputException(
        "has column '"
            + column
            + "' compressed with "
            + (codec == null ? "an unknown codec" : codec)
            + ", expected one of [snappy, zstd, gzip, lz4_raw, uncompressed]: write it again");
  }

  private static byte[] block(Decompressor decompressor, byte[] page, int size) {
    byte[] bytes = new byte[size];
    int made =
        size == 0 && page.length == 0
            ? 0
            : decompressor.decompress(page, 0, page.length, bytes, 0, size);
    return made == size ? bytes : exactly(new byte[made], size);
  }

  private static byte[] gzip(byte[] page, int size) throws IOException {
    try (GZIPInputStream in = new GZIPInputStream(new ByteArrayInputStream(page))) {
      byte[] bytes = in.readNBytes(size);
      if (in.read() >= 0) {
        throw new InvalidInputException(
            "a page unfolds to more than the " + size + " bytes claimed");
      }
      return exactly(bytes, size);
    }
  }

  private static byte[] exactly(byte[] bytes, int size) {
    if (bytes.length != size) {
      throw new InvalidInputException(
          "a page has " + bytes.length + " bytes, not the " + size + " claimed");
    }
    return bytes;
  }
}
