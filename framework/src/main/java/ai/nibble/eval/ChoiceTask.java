package ai.nibble.eval;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.task.ChoiceItem;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Multiple choice: the answer is the choice that the model finds likeliest behind the context, in
 * all ({@code acc}) or by byte of its text ({@code acc_norm}); of equal ones the first.
 *
 * <p>As in lm-evaluation-harness, context and choice are encoded together and what counts are the
 * tokens beyond as many as the context alone has; white space that ends a context counts as the
 * choice's. A text longer than the model's context loses its beginning, and that is reported.
 */
public final class ChoiceTask implements EvalTask<ChoiceTask.Result> {
  private final String name;
  private final List<ChoiceItem> items;
  private final FewShot<ChoiceItem> fewShot;
  private final int limit;
  private final String fingerprint;

  /**
   * One item.
   *
   * @param scores log-likelihood of every choice, in nats
   * @param bytes of every choice's text in UTF-8, with the space before it
   * @param answer index of the right one, from 0
   * @param cut tokens that were left out to fit the model's context, of the choice with most
   */
  public record Result(double[] scores, int[] bytes, int answer, int cut) {
    private boolean isRight(boolean byByte) {
      double[] by =
          IntStream.range(0, scores.length)
              .mapToDouble(c -> byByte ? scores[c] / bytes[c] : scores[c])
              .toArray();
      int best = 0;
      for (int c = 1; c < by.length; c++) {
        best = by[c] > by[best] ? c : best;
      }
      return best == answer;
    }
  }

  /**
   * @param items at least one
   * @param limit most items
   * @throws InvalidInputException where an item has too few examples
   */
  public ChoiceTask(String name, List<ChoiceItem> items, FewShot<ChoiceItem> fewShot, int limit) {
    this.name = name;
    this.items = List.copyOf(items);
    this.fewShot = fewShot;
    this.limit = limit;
    this.fingerprint = Fingerprint.of(items);
    IntStream.range(0, items.size()).forEach(i -> fewShot.examples(items.get(i), i));
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Map<String, String> settings(ModelText text) {
    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("data", fingerprint);
    settings.putAll(fewShot.settings());
    return settings;
  }

  @Override
  public int items(ModelText text) {
    return Math.min(limit, items.size());
  }

  @Override
  public Class<Result> resultType() {
    return Result.class;
  }

  @Override
  public void evaluate(Subject subject, int begin, int end, Consumer<List<Result>> results) {
    ChoiceBatch batch = new ChoiceBatch();
    List<Encoded> waiting = new ArrayList<>();
    for (int i = begin; i < end; i++) {
      Encoded item = encode(subject.text(), i);
      if (subject.scoresApart()) {
        results.accept(List.of(item.scored(apart(subject, item.texts))));
        continue;
      }
      batch.add(item.texts);
      waiting.add(item);
      if (batch.tokens() >= subject.batchTokens() || i == end - 1) {
        List<double[]> sums = batch.sums(subject);
        List<Result> scored = new ArrayList<>();
        for (int w = 0; w < waiting.size(); w++) {
          scored.add(waiting.get(w).scored(sums.get(w)));
        }
        results.accept(scored);
        waiting.clear();
        batch = new ChoiceBatch();
      }
    }
  }

  /** Sums of texts of which none is computed beside another. */
  private static double[] apart(Subject subject, List<ChoiceBatch.Text> texts) {
    return texts.stream()
        .mapToDouble(
            text -> {
              ChoiceBatch alone = new ChoiceBatch();
              alone.add(List.of(text));
              return alone.sums(subject).get(0)[0];
            })
        .toArray();
  }

  /** An item's choices as tokens. */
  private record Encoded(List<ChoiceBatch.Text> texts, int[] bytes, int answer, int cut) {
    Result scored(double[] scores) {
      return new Result(scores, bytes, answer, cut);
    }
  }

  private Encoded encode(ModelText text, int index) {
    ChoiceItem item = items.get(index);
    String before =
        fewShot.examples(item, index).stream()
            .map(example -> example.solved() + FewShot.SEPARATOR)
            .collect(Collectors.joining("", item.description(), ""));
    List<ChoiceBatch.Text> texts = new ArrayList<>();
    int cut = 0;
    for (ChoiceItem.Choice choice : item.choices()) {
      try {
        ChoiceBatch.Text whole = encode(text, before + choice.context(), choice.continuation());
        ChoiceBatch.Text fitting = fitting(whole, text.config().maxPositionEmbeddings());
        cut = Math.max(cut, whole.ids().length - fitting.ids().length);
        texts.add(fitting);
      } catch (InvalidInputException e) {
        throw new InvalidInputException(
            item.where() + ": choice '" + choice.continuation() + "': " + e.getMessage(), e);
      }
    }
    int[] bytes =
        item.choices().stream()
            .mapToInt(c -> c.continuation().getBytes(StandardCharsets.UTF_8).length)
            .toArray();
    return new Encoded(texts, bytes, item.answer(), cut);
  }

  /** The tokens of a choice behind its context, with what stands before any text. */
  private static ChoiceBatch.Text encode(ModelText text, String context, String continuation) {
    String stripped = context.stripTrailing();
    int own = stripped.isEmpty() ? 0 : text.ids(stripped).length;
    int[] ids = text.ids(context + continuation);
    if (own >= ids.length) {
      throw new InvalidInputException("has no token of its own behind its context");
    }
    int[] prefix = text.tokenizer().textPrefix();
    if (prefix.length == 0 && own == 0) {
      prefix = new int[] {beginning(text)};
    }
    int[] all = Arrays.copyOf(prefix, prefix.length + ids.length);
    System.arraycopy(ids, 0, all, prefix.length, ids.length);
    return new ChoiceBatch.Text(all, prefix.length + own);
  }

  /** What predicts the first token of a choice without a context. */
  private static int beginning(ModelText text) {
    OptionalInt bos = text.tokenizer().bosId();
    return (bos.isPresent() ? bos : text.tokenizer().eosId())
        .orElseThrow(
            () ->
                new InvalidInputException(
                    "has no context, and the tokenizer names no bos_token or eos_token to begin"
                        + " with: give a context"));
  }

  /** The text's end, of which the model can compute all but the last token. */
  private static ChoiceBatch.Text fitting(ChoiceBatch.Text text, int context) {
    int cut = Math.max(0, text.fed() - context);
    if (text.from() - cut < 1) {
      throw new InvalidInputException(
          "has "
              + (text.ids().length - text.from())
              + " tokens, more than the model's max_position_embeddings, "
              + context);
    }
    int[] ids = Arrays.copyOfRange(text.ids(), cut, text.ids().length);
    return new ChoiceBatch.Text(ids, text.from() - cut);
  }

  @Override
  public List<Metric> metrics(List<Result> results) {
    return List.of(share("acc", results, false), share("acc_norm", results, true));
  }

  private static Metric share(String name, List<Result> results, boolean byByte) {
    boolean[] right = new boolean[results.size()];
    for (int i = 0; i < right.length; i++) {
      right[i] = results.get(i).isRight(byByte);
    }
    return Metric.share(name, right);
  }

  @Override
  public List<String> remarks(List<Result> results) {
    long cut = results.stream().filter(r -> r.cut > 0).count();
    return cut == 0
        ? List.of()
        : List.of(
            "%s: %d of %d items were cut at their beginning to fit the model's context"
                .formatted(name, cut, results.size()));
  }
}
