package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterSet;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Decoder;
import ai.nibble.model.ModelConfig;
import ai.nibble.nn.KvCache;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ObjIntConsumer;

/**
 * Generates with a model: one answer token by token, or the answers to many prompts in batches. Its
 * weights, with the adapters attached, are made ready once and kept until it is closed; adapters
 * change by {@link #select}, and otherwise only after it is closed. Computes on one thread at a
 * time.
 *
 * <p>Sequences lie back to back in a batch, without padding, and each has its own cache: no answer
 * depends on another. Products over more rows sum in another order, so a batch's logits equal a
 * single sequence's up to rounding, and its tokens wherever no two candidates are that close.
 */
public final class Generator implements AutoCloseable {
  /** Sequences computed at once: beyond some, a token costs as much as it brings. */
  public static final int BATCH_SIZE = 32;

  /** Most tokens of prompts computed at once, unless a single prompt has more. */
  public static final int PREFILL_TOKENS = 2048;

  /** A long prompt is computed in parts, which bounds memory, and cancelled between them. */
  private static final int CHUNK_TOKENS = 512;

  private final Decoder decoder;
  private final int batchSize;
  private final int chunkTokens;
  private int selections;

  /**
   * @param weightBytes most memory for weights kept ready; see {@link WeightMemory}
   * @param batchSize most sequences computed at once
   */
  public Generator(CausalLm model, long weightBytes, int batchSize) {
    this(model, weightBytes, batchSize, CHUNK_TOKENS);
  }

  /** A generator that may use half of the memory that is available now. */
  public Generator(CausalLm model) {
    this(new Decoder(model, WeightMemory::half), BATCH_SIZE, CHUNK_TOKENS);
  }

  /**
   * @param chunkTokens a prompt of more is computed in parts of so many
   */
  Generator(CausalLm model, long weightBytes, int batchSize, int chunkTokens) {
    this(new Decoder(model, weightBytes), batchSize, chunkTokens);
  }

  private Generator(Decoder decoder, int batchSize, int chunkTokens) {
    if (batchSize < 1) {
      decoder.close();
      throw new IllegalArgumentException("batch size is " + batchSize + ", expected at least 1");
    }
    this.batchSize = batchSize;
    this.chunkTokens = chunkTokens;
    this.decoder = decoder;
  }

  /** One line that says which weights are kept ready. */
  public String description() {
    return decoder.description();
  }

  /**
   * Switches to another adapter, between answers. The base's weights stay as they are; an answer
   * that was begun before cannot go on.
   *
   * @param adapters on this generator's model
   * @param name of one of them, or {@link AdapterSet#OFF}
   * @throws InvalidInputException if there is none of that name; all stays as it was
   */
  public void select(AdapterSet adapters, String name) {
    if (name.equals(adapters.active())) {
      return;
    }
    adapters.select(name);
    selections++;
    decoder.adaptersChanged();
  }

  /** Counts {@link #select}: what was computed under another count is of no use. */
  int selections() {
    return selections;
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
    return complete(prompts, settings, (completion, index) -> {});
  }

  /**
   * As {@link #complete(List, GenerationSettings)}.
   *
   * @param listener hears each answer as soon as it is complete, with the index of its prompt
   */
  public List<Completion> complete(
      List<int[]> prompts, GenerationSettings settings, ObjIntConsumer<Completion> listener) {
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
            int index = sequence.history().sequence();
            completions[index] = sequence.completion();
            listener.accept(completions[index], index);
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
    int limit = limit(prompt, settings);
    KvCache cache = cache(prompt.length + limit);
    return new ActiveSequence(new TokenHistory(index, prompt), cache, true, settings, limit);
  }

  /** Room for a sequence; the caller closes it. */
  KvCache cache(int capacity) {
    return decoder.cache(capacity);
  }

  ModelConfig config() {
    return decoder.model().config();
  }

  /** Most tokens of an answer. */
  int limit(int[] prompt, GenerationSettings settings) {
    return Math.min(settings.maxNewTokens(), room(prompt));
  }

  /** Tokens that fit behind a prompt. */
  private int room(int[] prompt) {
    if (prompt.length == 0) {
      throw new IllegalArgumentException("a prompt has no token, expected at least one");
    }
    config().requirePrompt(prompt);
    return config().maxPositionEmbeddings() - prompt.length;
  }

  /** Computes one sequence's next token; returns whether there is one. */
  boolean advance(ActiveSequence sequence) {
    int before = sequence.history().length();
    advance(List.of(sequence));
    return sequence.history().length() > before;
  }

  private void advance(List<ActiveSequence> sequences) {
    for (ActiveSequence sequence : sequences) {
      while (sequence.pending() > chunkTokens) {
        if (sequence.finishIfCancelled()) {
          return; // only a stream can be, and it advances alone
        }
        decoder.next(List.of(sequence.due(chunkTokens)), List.of(sequence.cache())).close();
      }
    }
    List<int[]> due = sequences.stream().map(s -> s.due(chunkTokens)).toList();
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
