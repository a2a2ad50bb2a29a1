package ai.nibble.recipe;

import ai.nibble.data.ExtendedBases;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import ai.nibble.report.RunFile;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * What a recipe does to the base's vocabulary and to the two tables that have a row for each of its
 * tokens: embedding and output head.
 *
 * @param added ids of the tokens that it adds, by text, ascending
 * @param before rows of the tables as they are stored
 * @param after rows that they have in the run
 * @param rows ids of the tokens whose rows are trained by themselves, by table ({@code
 *     embed_tokens}, {@code lm_head})
 * @param tied whether the base has one table that is both
 * @param parts the setting by which the two part where the base ties them; empty: they stay as they
 *     are
 */
public record VocabularyChange(
    Map<String, Integer> added,
    int before,
    int after,
    Map<String, List<Integer>> rows,
    boolean tied,
    Optional<String> parts) {
  /** Tokens and ids that a line names. */
  private static final int SHOWN = 8;

  private static final String SAVED = "lora_modules_to_save";
  private static final String TARGETED = "lora_target_modules";

  public VocabularyChange {
    added = Collections.unmodifiableMap(new LinkedHashMap<>(added));
    rows = Collections.unmodifiableMap(new LinkedHashMap<>(rows));
  }

  /**
   * @param base the configuration as the weights have it
   */
  static VocabularyChange of(Recipe recipe, ModelConfig base) {
    boolean adapts = recipe.adapter() != Recipe.Adapter.NONE;
    LoraConfig lora = adapts ? LoraSettings.of(recipe, base) : null;
    Map<String, List<Integer>> rows = new TreeMap<>();
    if (adapts) {
      lora.extras().trainableTokens().ids().forEach((path, ids) -> rows.put(name(path), ids));
    }
    int before =
        recipe.vocabulary().isEmpty()
            ? base.vocabSize()
            : ModelConfig.read(
                    WeightSource.directory(recipe.baseModel()).resolve(ModelStore.CONFIG),
                    notice -> {})
                .vocabSize();
    return new VocabularyChange(
        recipe.vocabulary().isEmpty() ? Map.of() : ExtendedBases.added(recipe.base()),
        before,
        base.vocabSize(),
        rows,
        base.tieWordEmbeddings(),
        adapts && base.tieWordEmbeddings() ? parting(lora) : Optional.empty());
  }

  /** As {@code run.json} has it; empty where nothing is done to them. */
  Optional<RunFile.Vocabulary> ofRun() {
    return added.isEmpty() && rows.isEmpty() && parts.isEmpty()
        ? Optional.empty()
        : Optional.of(new RunFile.Vocabulary(added, rows, parts.orElse(null)));
  }

  private static Optional<String> parting(LoraConfig lora) {
    TargetMatcher targets = new TargetMatcher(lora);
    List<String> tables = List.of(CausalLm.EMBEDDING, CausalLm.HEAD);
    return tables.stream().anyMatch(lora.extras()::saves)
        ? Optional.of(SAVED)
        : tables.stream().anyMatch(targets::targets) ? Optional.of(TARGETED) : Optional.empty();
  }

  private static String name(String path) {
    return path.substring(path.lastIndexOf('.') + 1);
  }

  /** The same for people, a line each; none where nothing is done to them. */
  public List<String> lines() {
    List<String> lines = new ArrayList<>();
    if (!added.isEmpty()) {
      lines.add(
          "new tokens: "
              + listed(
                  added.entrySet().stream()
                      .map(e -> "'" + Problems.shown(e.getKey()) + "' " + e.getValue())
                      .toList())
              + (after > before
                  ? String.format(
                      Locale.ROOT,
                      "; embedding and head grow from %,d to %,d rows, new ones begin as the mean",
                      before,
                      after)
                  : String.format(
                      Locale.ROOT, "; they take spare rows of the base's %,d as they are", after)));
    }
    if (!rows.isEmpty()) {
      lines.add(
          "trained rows: "
              + rows.entrySet().stream()
                  .map(e -> e.getKey() + " " + listed(e.getValue()))
                  .collect(Collectors.joining(", "))
              + (tied ? "; the base ties lm_head to it, so they are the head's rows too" : ""));
    }
    parts.ifPresent(key -> lines.add(untied(key)));
    return lines;
  }

  /** What PEFT does, and says nothing of. */
  private static String untied(String key) {
    return "the base ties lm_head to embed_tokens, and "
        + key
        + " ends that: "
        + (key.equals(SAVED)
            ? "what it names is trained as a copy of its own"
            : "an adapter on one leaves the other as it is")
        + ", as in PEFT; a merged model has two tables (tie_word_embeddings: false)";
  }

  private static String listed(List<?> all) {
    String shown = all.stream().limit(SHOWN).map(String::valueOf).collect(Collectors.joining(", "));
    return all.size() <= SHOWN
        ? shown
        : shown + String.format(Locale.ROOT, " and %,d more", all.size() - SHOWN);
  }
}
