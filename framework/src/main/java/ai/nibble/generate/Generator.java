package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Decoder;
import ai.nibble.model.ModelConfig;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Generates with a model: one answer token by token, or the answers to many prompts in batches. Its
 * weights, with the adapters attached, are made ready once and kept until it is closed; close it
 * before the adapters change or the model is closed. Computes on one thread at a time.
 */
public final class Generator implements AutoCloseable {
  /** Sequences computed at once: beyond some, a token costs as much as it brings. */
  public static final int BATCH_SIZE = 32;

  /** Most tokens of prompts computed at once, unless a single prompt has more. */
  private static final int PREFILL_TOKENS = 2048;

  private final Decoder decoder;
  private final int batchSize;

  /**
   * @param weightBytes most memory for weights kept ready; see {@link WeightMemory}
   * @param batchSize most sequences computed at once
   */
  public Generator(CausalLm model, long weightBytes, int batchSize) {
    if (batchSize < 1) {
      throw new IllegalArgumentException("batch size is " + batchSize + ", expected at least 1");
    }
    this.batchSize = batchSize;
    this.decoder = new Decoder(model, weightBytes);
  }

  /** A generator that may use half of the memory that is available now. */
  public Generator(CausalLm model) {
    this(model, WeightMemory.half(), BATCH_SIZE);
  }

  /** One line that says which weights are kept ready. */
  public String description() {
    return decoder.description();
  }

  /**
   * Begins an answer.
   *
   * @param prompt at least one token
   * @throws InvalidInputException if the prompt leaves no room in the model's context
   */
  public TokenStream stream(int[] prompt, GenerationSettings settings) {
    return new TokenStream(this, begin(0, prompt, settings));
  }

  /**
   * Answers prompts, in batches: a finished sequence makes room for the next prompt at once.
   *
   * @param prompts each at least one token
   * @return one for each prompt, in their order
   * @throws InvalidInputException if a prompt leaves no room in the model's context
   */
  public List<Completion> complete(List<int[]> prompts, GenerationSettings settings) {
    prompts.forEach(this::room);
    Completion[] completions = new Completion[prompts.size()];
    List<ActiveSequence> active = new ArrayList<>();
    int next = 0;
    try {
      while (next < prompts.size() || !active.isEmpty()) {
        int begun = active.size();
        int tokens = 0;
        while (active.size() < batchSize
            && next < prompts.size()
            && (tokens == 0 || tokens + prompts.get(next).length <= PREFILL_TOKENS)) {
          tokens += prompts.get(next).length;
          active.add(begin(next, prompts.get(next), settings));
          next++;
        }
        advance(tokens == 0 ? active : active.subList(begun, active.size()));
        for (ActiveSequence sequence : active) {
          if (sequence.isFinished()) {
            completions[sequence.index()] = sequence.completion();
          }
        }
        active.removeIf(ActiveSequence::isFinished);
      }
    } finally {
      active.forEach(ActiveSequence::close);
    }
    return List.of(completions);
  }

  private ActiveSequence begin(int index, int[] prompt, GenerationSettings settings) {
    int limit = Math.min(settings.maxNewTokens(), room(prompt));
    int[] copy = prompt.clone();
    return new ActiveSequence(index, copy, decoder.cache(prompt.length + limit), settings, limit);
  }

  /** Tokens that fit behind a prompt. */
  private int room(int[] prompt) {
    if (prompt.length == 0) {
      throw new IllegalArgumentException("a prompt has no token, expected at least one");
    }
    ModelConfig config = decoder.model().config();
    config.requirePrompt(prompt);
    return config.maxPositionEmbeddings() - prompt.length;
  }

  /** Computes one sequence's next token; returns whether there is one. */
  boolean advance(ActiveSequence sequence) {
    int before = sequence.count();
    advance(List.of(sequence));
    return sequence.count() > before;
  }

  private void advance(List<ActiveSequence> sequences) {
    List<int[]> due = sequences.stream().map(ActiveSequence::due).toList();
    try (Tensor logits =
        decoder.next(due, sequences.stream().map(ActiveSequence::cache).toList())) {
      FloatBuffer all = logits.floats();
      int vocabulary = (int) logits.size(1);
      for (int s = 0; s < sequences.size(); s++) {
        FloatBuffer row = all.slice(s * vocabulary, vocabulary);
        sequences.get(s).accept(row);
      }
    }
  }

  @Override
  public void close() {
    decoder.close();
  }
}
