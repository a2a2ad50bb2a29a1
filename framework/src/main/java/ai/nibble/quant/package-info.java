/**
 * Quantised weights, equal to bitsandbytes: in 4 bits NF4 and FP4, plain and double-quantised
 * statistics; in 8 bits the rows of LLM.int8(). What follows is of 4 bits, but for the last
 * section.
 *
 * <h2>Blocks</h2>
 *
 * A weight of shape [out, in] is one flat row-major array of n elements; {@code blockSize}
 * consecutive elements form a block, so blocks straddle rows where {@code in} is no multiple of it,
 * and the last block may be short. There are ceil(n / blockSize) of them. All arithmetic is float32
 * without fused multiply-add.
 *
 * <h2>Bytes</h2>
 *
 * <ul>
 *   <li>{@code packed}, uint8 [ceil(n / 2), 1]: element 2k is the <em>high</em> nibble of byte k,
 *       element 2k + 1 the low one. An odd n is filled up with the code of zero.
 *   <li>{@code absmax}, float32 [blocks], little-endian: the greatest magnitude of each block. Or,
 *       double-quantised, uint8 [blocks] indices into {@code map}, with
 *   <li>{@code absmax2} ({@code nested_absmax}), float32 [ceil(blocks / 256)],
 *   <li>{@code map} ({@code nested_quant_map}), float32 [256], ascending, and
 *   <li>{@code offset} ({@code nested_offset}), one float32.
 * </ul>
 *
 * <h2>Quantising</h2>
 *
 * A full block is multiplied by 1 / max(absmax, 1e-38). A short one is divided by max(absmax,
 * 1e-38), which is also what is stored as its absmax. The code is the number of thresholds strictly
 * below the result, by rank ({@link ai.nibble.quant.Quant4Type}). An all-zero block so holds the
 * code of zero: 7 in NF4, 0 in FP4; bitsandbytes on CUDA leaves 0 in NF4, and both dequantise to a
 * zero. Its CUDA build also approximates 1 / absmax; bfloat16 weights get the same NF4 codes either
 * way, of float32 weights about one byte in a million differs.
 *
 * <h2>Double quantisation</h2>
 *
 * offset is the mean absmax, absmax2[j] the greatest |absmax − offset| of 256 consecutive blocks,
 * and a block's index names the map entry nearest to (absmax − offset) · (1 / absmax2). Back:
 * {@code absmax[b] = map[index[b]] · absmax2[b / 256] + offset}, product and sum rounded one after
 * the other. bitsandbytes' CPU backend searches the map through a coarse table and picks the
 * neighbouring entry for about 0.2 % of blocks; indices here are the nearest, as on CUDA. Where
 * absmax2 is 0 every index is 0. Indices and maps from a checkpoint are used as they are.
 *
 * <h2>Dequantising</h2>
 *
 * {@code value = codes[code] · absmax}, one float32 product, rounded to nearest even to bfloat16 or
 * float16. FP4's code 8 is +0 as in the stored {@code quant_map}; bitsandbytes' kernels disagree
 * among themselves on the sign of that zero.
 *
 * <h2>8 bits</h2>
 *
 * A weight [out, in] is int8 [out, in], row-major ({@code weight}), and float32 [out], the greatest
 * magnitude of each row ({@code SCB}), both of the weight rounded to float16: {@code code = round(w
 * · (1 / absmax · 127))}, half to even, {@code value = code · absmax / 127}, each operation rounded
 * to float32. A row with absmax below 1e-36 has zeros. Activations have the same codes, without the
 * rounding to float16; in a product of both, the sum of codes' products is an int32 and the result
 * {@code sum · 6.200012e-05 · absmax of the activations' row · absmax of the weight's}, from left
 * to right.
 *
 * <p>Sources: LLM.int8(), Dettmers et al. 2022; bitsandbytes 0.50 ({@code functional.py}, {@code
 * backends/default/ops.py}, {@code csrc/kernels.cu}); QLoRA, Dettmers et al. 2023.
 */
package ai.nibble.quant;
