package ai.nibble.quant;

import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.LongBuffer;

/**
 * The loop around {@link GroupDecoder}: cuts a range of a weight into chunks that stay in the
 * first-level cache, brings codes and absmax onto the heap and values back to raw memory.
 *
 * <p>Heap staging is what makes this fast. HotSpot removes bounds checks and unrolls over arrays,
 * not over buffers, and the bulk copies between the two run at memory speed.
 */
final class Dequantizer4Bit {
  /** Elements in the eight bytes read at a time; it divides every block size. */
  static final int GROUP = 16;

  /** Groups staged at a time: 2048 elements. */
  static final int CHUNK = 128;

  /** Groups a parallel range: 65536 elements, some 40 µs. */
  private static final long GRAIN = 4096;

  private static final int MAX_BLOCKS =
      CHUNK * GROUP / Quant4Config.MIN_BLOCK_SIZE + 1; // a chunk may start inside a block

  private Dequantizer4Bit() {}

  static void dequantize(Quantized4Bit weight, long begin, Tensor out) {
    long end = begin + out.numel();
    long firstGroup = begin / GROUP;
    long groups = (end + GROUP - 1) / GROUP - firstGroup;
    if (begin < end) {
      Parallel.forRanges(
          groups,
          GRAIN,
          (from, to) -> range(weight, begin, end, out, firstGroup + from, firstGroup + to));
    }
  }

  /** Decodes the groups {@code [from, to)} and writes those of their values in [begin, end). */
  private static void range(
      Quantized4Bit weight, long begin, long end, Tensor out, long from, long to) {
    long first = Math.max(begin, from * GROUP);
    long last = Math.min(end, to * GROUP);
    int unit = out.dtype().bytes();
    ByteBuffer target = out.bytes((first - begin) * unit, (int) (last - first) * unit);
    ByteBuffer packed =
        weight
            .packed()
            .bytes(from * 8, (int) (Math.min(to * 8, weight.packed().numel()) - from * 8));
    int blockGroups = weight.config().blockSize() / GROUP;
    int shift = Integer.numberOfTrailingZeros(blockGroups);
    long windowStart = from >> shift;
    int absmaxUnit = weight.absmax().dtype().bytes();
    int blocks = (int) ((to - 1 >> shift) + 1 - windowStart);
    ByteBuffer absmax = weight.absmax().bytes(windowStart * absmaxUnit, blocks * absmaxUnit);

    GroupDecoder decoder = GroupDecoder.of(out.dtype(), weight.config().type());
    LongBuffer wholeGroups = packed.asLongBuffer();
    long[] codes = new long[CHUNK];
    float[] scales = new float[MAX_BLOCKS];
    for (long at = from; at < to; at += CHUNK) {
      int n = (int) Math.min(CHUNK, to - at);
      load(packed, wholeGroups, (int) (at - from), n, codes);
      long firstBlock = at >> shift;
      int spanned = (int) ((at + n - 1 >> shift) + 1 - firstBlock);
      weight.absmax(absmax, windowStart, (int) (firstBlock - windowStart), scales, spanned);
      int phase = (int) (at & blockGroups - 1);
      decoder.decode(codes, n, scales, phase, shift);

      long valid = Math.max(first, at * GROUP);
      int count = (int) (Math.min(last, (at + n) * GROUP) - valid);
      target.position((int) (valid - first) * unit);
      decoder.write(target, (int) (valid - at * GROUP), count);
    }
  }

  /** Reads groups; the bytes that the weight's last one lacks count as zero. */
  private static void load(
      ByteBuffer packed, LongBuffer wholeGroups, int group, int n, long[] codes) {
    int whole = Math.min(n, wholeGroups.limit() - group);
    wholeGroups.get(group, codes, 0, whole);
    if (whole < n) {
      long tail = 0;
      int at = (group + whole) * Long.BYTES;
      for (int k = 0; at + k < packed.limit(); k++) {
        tail |= (packed.get(at + k) & 0xFFL) << 8 * k;
      }
      codes[whole] = tail;
    }
  }
}
