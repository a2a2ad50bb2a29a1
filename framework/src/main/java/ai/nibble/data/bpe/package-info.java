/**
 * Training of byte-level BPE tokenizers, merge for merge as Hugging Face's {@code BpeTrainer} does.
 *
 * <p>Texts are split into words ({@link ai.nibble.data.bpe.SplitPattern}), words become bytes in
 * GPT-2's printable alphabet, and the pair of neighbours that comes up most often is joined again
 * and again (Sennrich et al. 2016, arXiv:1508.07909). Only the distinct words and their counts are
 * held in memory.
 */
package ai.nibble.data.bpe;
