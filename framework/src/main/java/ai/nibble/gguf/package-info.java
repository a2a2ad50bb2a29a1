/**
 * Reading GGUF, the file format of llama.cpp, versions 2 and 3, little-endian, and writing version
 * 3.
 *
 * <pre>
 * u32  magic        bytes "GGUF"
 * u32  version      2 or 3 (3 differs only in allowing big-endian files, which are refused here)
 * u64  tensor count
 * u64  metadata count
 * metadata:  string key | u32 type | value            string = u64 byte length | UTF-8
 *            array value = u32 element type | u64 count | elements
 * tensors:   string name | u32 dimensions n | u64[n] sizes, fastest-varying first
 *            | u32 ggml type | u64 offset from the start of the data
 * padding to the alignment (metadata key general.alignment, 32 without it)
 * data:      each tensor padded to the alignment, in the order of the table
 * </pre>
 *
 * <p>Metadata types: 0 uint8, 1 int8, 2 uint16, 3 int16, 4 uint32, 5 int32, 6 float32, 7 bool (one
 * byte, 0 or 1), 8 string, 9 array, 10 uint64, 11 int64, 12 float64.
 *
 * <p>Quantised blocks of 32 elements, with {@code d} and {@code m} binary16 and {@code qs} holding
 * element i of the first half of the block in the low nibble of byte i, of the second half in the
 * high nibble:
 *
 * <pre>
 * Q4_0  d | qs[16]             x = d * (q - 8)
 * Q4_1  d | m | qs[16]         x = d * q + m
 * Q5_0  d | qh u32 | qs[16]    x = d * (q - 16), bit i of qh is the fifth bit of element i
 * Q5_1  d | m | qh u32 | qs[16]  x = d * q + m
 * Q8_0  d | i8[32]             x = d * q
 * IQ4_NL  d | qs[16]           x = d * v[q], of the sixteen values v of {@link
 *                              ai.nibble.gguf.BlockDecoder}
 * </pre>
 *
 * <p>Super-blocks of 256 elements, the K types, with {@code d} and {@code dmin} binary16; scales s
 * and minima m count from 0 for each 16 (Q2_K, Q3_K, Q6_K) or 32 elements. {@link
 * ai.nibble.gguf.SuperBlock} says where the bits of the planes lie:
 *
 * <pre>
 * Q2_K  s | m &lt;&lt; 4 u8[16] | pairs[64] | d | dmin              x = d s q - dmin m
 * Q3_K  bits[32] | pairs[64] | s[12] of 6 bits | d            x = d (s - 32) (q - 4), the bit is q's third
 * Q4_K  d | dmin | s, m[12] of 6 bits | nibbles[128]          x = d s q - dmin m
 * Q5_K  d | dmin | s, m[12] | bits[32] | nibbles[128]         x = d s q - dmin m, the bit is q's fifth
 * Q6_K  nibbles[128] | pairs[64] | s i8[16] | d               x = d s (q - 32), the pair is q's upper two bits
 * IQ4_XS  d | s's upper two bits u16 | lower four u8[4] | qs[128]  x = d (s - 32) v[q], qs as IQ4_NL's for each 32
 * </pre>
 *
 * <p>A split model is several such files, {@code NAME-00001-of-0000N.gguf} and so on: the first
 * holds the metadata of all, each its own tensors, and {@code split.no} (from 0), {@code
 * split.count} and {@code split.tensors.count} (of all parts).
 *
 * <p>The arithmetic is float32, each product and sum rounded once, as in the reference package
 * {@code gguf}. Source: ggml's {@code docs/gguf.md}, {@code ggml-quants.c}, {@code
 * gguf-py/gguf/quants.py}.
 */
package ai.nibble.gguf;
