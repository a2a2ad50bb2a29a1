package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;

/**
 * The loop around {@link GroupDecoder}: cuts part of a weight into chunks that stay in the
 * first-level cache, brings codes and scales onto the heap and values back to raw memory.
 *
 * <p>Heap staging is what makes this fast. HotSpot removes bounds checks and unrolls over arrays,
 * not over buffers, and the bulk copies between the two run at memory speed.
 */
final class Dequantizer4Bit {
  /** Elements in the eight bytes read at a time; it divides every block size. */
  static final int GROUP = 16;

  /** Groups staged at a time: 2048 elements. */
  static final int CHUNK = 128;

  /** Groups a parallel range: 65536 elements, some 30 µs. */
  private static final long GRAIN = 4096;

  /** Groups behind one buffer: 1 GiB of float32. */
  private static final long WINDOW = 1 << 24;

  /** Blocks that a chunk touches: it may start inside one. */
  private static final int CHUNK_BLOCKS = CHUNK * GROUP / Quant4Config.MIN_BLOCK_SIZE + 1;

  private final Packed4Bit weight;
  private final DType dtype;

  /** The window's groups are numbered from this one, its values are elements [first, last). */
  private final long firstGroup;

  private final long first;
  private final long last;
  private final ByteBuffer packed;
  private final LongBuffer wholeGroups;
  private final ByteBuffer scales;

  /** Of the window's blocks; null where they have none. */
  private final ByteBuffer zeros;

  private final ByteBuffer target;

  /** Binary logarithm of the groups in a block. */
  private final int shift;

  private Dequantizer4Bit(
      Packed4Bit weight, long begin, Tensor out, long firstGroup, long endGroup) {
    this.weight = weight;
    this.dtype = out.dtype();
    this.firstGroup = firstGroup;
    this.first = Math.max(begin, firstGroup * GROUP);
    this.last = Math.min(begin + out.numel(), endGroup * GROUP);
    this.shift = Integer.numberOfTrailingZeros(weight.blockSize() / GROUP);
    long packedEnd = Math.min(endGroup * Long.BYTES, weight.packed().numel());
    this.packed =
        weight.packed().bytes(firstGroup * Long.BYTES, (int) (packedEnd - firstGroup * Long.BYTES));
    this.wholeGroups = packed.asLongBuffer();
    long firstBlock = firstGroup >> shift;
    int blocks = (int) ((endGroup - 1 >> shift) + 1 - firstBlock);
    int statistic = weight.scaleTensor().dtype().bytes();
    this.scales = weight.scaleTensor().bytes(firstBlock * statistic, blocks * statistic);
    this.zeros = weight.zeros() == null ? null : weight.zeros().bytes(firstBlock, blocks);
    int unit = dtype.bytes();
    this.target = out.bytes((first - begin) * unit, (int) (last - first) * unit);
  }

  /** Decodes elements [begin, begin + out.numel()). */
  static void dequantize(Packed4Bit weight, long begin, Tensor out) {
    if (out.numel() == 0) {
      return;
    }
    long endGroup = (begin + out.numel() + GROUP - 1) / GROUP;
    for (long group = begin / GROUP; group < endGroup; group += WINDOW) {
      long end = Math.min(endGroup, group + WINDOW);
      Dequantizer4Bit window = new Dequantizer4Bit(weight, begin, out, group, end);
      Parallel.forRanges(end - group, GRAIN, (from, to) -> window.decode((int) from, (int) to));
    }
  }

  /** Decodes groups [from, to) of the window; threads do so at the same time. */
  private void decode(int from, int to) {
    GroupDecoder decoder = GroupDecoder.of(dtype, weight.codes(), zeros != null);
    ByteBuffer output = target.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    long[] codes = new long[CHUNK];
    float[] blockScales = new float[CHUNK_BLOCKS];
    byte[] blockZeros = new byte[CHUNK_BLOCKS];
    long windowBlock = firstGroup >> shift;
    for (int at = from; at < to; at += CHUNK) {
      int n = Math.min(CHUNK, to - at);
      load(at, n, codes);
      long group = firstGroup + at;
      long block = group >> shift;
      int blocks = (int) ((group + n - 1 >> shift) + 1 - block);
      int skip = (int) (block - windowBlock);
      weight.scales(scales, windowBlock, skip, blockScales, blocks);
      if (zeros != null) {
        zeros.get(skip, blockZeros, 0, blocks);
        decoder.zeros(blockZeros);
      }
      decoder.decode(codes, n, blockScales, (int) (group - (block << shift)), shift);

      long begin = Math.max(first, group * GROUP);
      int count = (int) (Math.min(last, (group + n) * GROUP) - begin);
      output.position((int) (begin - first) * dtype.bytes());
      decoder.write(output, (int) (begin - group * GROUP), count);
    }
  }

  /** Reads groups; the bytes that the weight's last one lacks count as zero. */
  private void load(int group, int n, long[] codes) {
    int whole = Math.min(n, wholeGroups.limit() - group);
    wholeGroups.get(group, codes, 0, whole);
    if (whole < n) {
      int at = (group + whole) * Long.BYTES;
      long tail = 0;
      for (int k = 0; at + k < packed.limit(); k++) {
        tail |= (packed.get(at + k) & 0xFFL) << 8 * k;
      }
      codes[whole] = tail;
    }
  }
}
