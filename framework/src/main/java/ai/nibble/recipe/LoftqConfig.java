package ai.nibble.recipe;

/**
 * How LoftQ makes up for quantisation, by PEFT's names.
 *
 * @param bits of the base
 * @param iterations each of which quantises what the one before left for the adapter
 */
public record LoftqConfig(
    @Key(
            value = "loftq_bits",
            byDefault = "4",
            choices = 4,
            doc = "Bits of the base's linears, which `bnb_4bit_quant_type` says more of")
        int bits,
    @Key(
            value = "loftq_iter",
            byDefault = "1",
            range = "[1, 100]",
            doc =
                "Iterations: 1 leaves the base as it is quantised anyway; more quantise another one,"
                    + " which is written to `loftq_base` in `output_dir`")
        int iterations) {}
