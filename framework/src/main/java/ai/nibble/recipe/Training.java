package ai.nibble.recipe;

import ai.nibble.model.Checkpointing;
import java.util.Optional;

/**
 * Batches and the length of the run.
 *
 * @param microBatchSize rows computed at once, or packs of rows
 * @param gradientAccumulationSteps micro-batches of one optimizer step
 * @param devices that share a step's micro-batches, each with a copy of the model
 * @param numEpochs passes over the data; not used where {@code maxSteps} is given
 * @param maxSteps optimizer steps, through as many passes as they take
 * @param keepDequantizedLayers decoder layers whose weights are not dequantised for each product
 * @param samplePacking several rows in a pack of at most {@code sequence_len} tokens
 * @param evalSamplePacking the same in evaluation
 * @param groupByLength rows of about one length in a micro-batch
 * @param neftuneNoiseAlpha noise on the embeddings; 0: none
 */
public record Training(
    @Key(
            value = "micro_batch_size",
            byDefault = "1",
            range = "[1, 65536]",
            doc = "Rows computed at once; with `sample_packing` packs of rows")
        int microBatchSize,
    @Key(
            value = "gradient_accumulation_steps",
            byDefault = "1",
            range = "[1, 1048576]",
            doc = "Micro-batches of one optimizer step")
        int gradientAccumulationSteps,
    @Key(
            value = "devices",
            byDefault = "1",
            doc =
                "How many GPUs share a step's micro-batches, each with a copy of the model, or which:"
                    + " `2`, `[0, 1]`. The step is the same with any number, to the bit:"
                    + " `gradient_accumulation_steps` are all of its micro-batches, not each GPU's"
                    + " (docs/gpu.md). On a CPU as many workers share its cores")
        Devices devices,
    @Key(
            value = "num_epochs",
            byDefault = "1",
            range = "(0, 1e6]",
            doc = "Passes over the training rows; may be a fraction")
        double numEpochs,
    @Key(
            value = "max_steps",
            byDefault = "null",
            range = "[1, inf)",
            doc = "Stop after this many optimizer steps, whatever `num_epochs` says")
        Optional<Integer> maxSteps,
    @Key(
            value = "gradient_checkpointing",
            byDefault = "auto",
            doc =
                "What of each block is kept for the backward pass and what computed again: `none`"
                    + " keeps all, `selective` the outputs of products and attention (less memory,"
                    + " hardly more time), `partial` the same but those of gate and up, `block` only"
                    + " hidden states and attention's output (least"
                    + " memory, a fifth more time), `offload` the same in the main memory instead of"
                    + " a GPU's; `auto` is the first of them that fits the"
                    + " machine's memory (see docs/plan.md)",
            means = {
              @Key.Means(value = "true|True|TRUE", as = "block"),
              @Key.Means(value = "false|False|FALSE", as = "none"),
              @Key.Means(value = "unsloth", as = "offload")
            },
            refuse =
                @Key.Refuse(
                    value = "offload_disk|disk",
                    why = "not supported: use offload, which keeps them in the main memory"))
        GradientCheckpointing gradientCheckpointing,
    @Key(
            value = "keep_dequantized_layers",
            byDefault = "auto",
            doc =
                "How many decoder layers, from the first on, keep their weights dequantised for the"
                    + " whole run, instead of dequantising them in each forward and backward: a"
                    + " number, or `all`. `auto` is as many as a GPU has room for beside the run,"
                    + " and none on a CPU. Every choice trains the same bits (docs/gpu.md)")
        KeptDequantized keepDequantizedLayers,
    @Key(
            value = "sample_packing",
            byDefault = "false",
            doc =
                "Several rows in a pack of at most `sequence_len` tokens, each still a sequence of"
                    + " its own: no row sees another")
        boolean samplePacking,
    @Key(
            value = "eval_sample_packing",
            derived = "as `sample_packing`",
            doc = "The same in evaluation")
        boolean evalSamplePacking,
    @Key(
            value = "group_by_length",
            byDefault = "false",
            doc = "Rows of about one length in a micro-batch")
        boolean groupByLength,
    @Key(
            value = "neftune_noise_alpha",
            byDefault = "0",
            range = "[0, 1000000]",
            doc =
                "NEFTune: noise on the embeddings in training, uniform on ±alpha/√(tokens of the"
                    + " row · hidden size); 5 to 15 are usual, 0 is none")
        double neftuneNoiseAlpha) {

  /** What is kept for the backward pass; all ways train the same bits. */
  public enum GradientCheckpointing {
    /** The first of the others that fits. */
    AUTO,
    NONE,
    SELECTIVE,
    PARTIAL,
    BLOCK,
    OFFLOAD;

    /** The way; empty: what fits. */
    Optional<Checkpointing> mode() {
      return this == AUTO ? Optional.empty() : Optional.of(Checkpointing.valueOf(name()));
    }
  }
}
