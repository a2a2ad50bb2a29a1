package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** All the keys a recipe may hold. */
final class Schema {
  /** The keys that do something. */
  static final RecordType RECIPE = RecordType.of(Recipe.class);

  /** The keys that say how adapters are made. */
  static final Set<String> LORA = RecordType.of(Lora.class).settings().keySet();

  /** The keys that say how preferences are weighed. */
  static final Set<String> PREFERENCE = RecordType.of(Preference.class).settings().keySet();

  /** Files whose keys come first; not a setting, so that it is gone once they are merged. */
  static final String INCLUDE = "include";

  private Schema() {}

  /** A key that is known, and refused where it is switched on. */
  enum Later {
    REF_MODEL(
        "a reference model of its own",
        "remove it; the reference is the base, or with ref_adapter: start the adapter that training"
            + " begins with, and neither takes a second model"),
    SYNC_REF_MODEL("a reference that follows the model, TR-DPO", "remove it"),
    USE_WEIGHTING("weights of pairs by the model's own probabilities, WPO", "remove it"),
    LD_ALPHA(
        "less weight on what the longer answer has beyond the shorter, LD-DPO",
        "remove it; loss_type: sigmoid_norm and method: simpo take means a token"),
    MAX_PROMPT_LENGTH(
        "a length for prompts alone",
        "set sequence_len, and excess_length_strategy for prompts and answers that are longer"
            + " together"),
    ADDED_TOKENS_OVERRIDES(
        "other texts for reserved tokens",
        "add new ones with tokens, which take spare rows of the embedding where it has some");

    private final String doc;
    private final String remedy;

    Later(String doc, String remedy) {
      this.doc = doc;
      this.remedy = remedy;
    }

    String key() {
      return name().toLowerCase(Locale.ROOT);
    }

    String doc() {
      return doc;
    }

    static Optional<Later> of(String key) {
      return Arrays.stream(values()).filter(later -> later.key().equals(key)).findFirst();
    }

    /** Whether the value asks for nothing: false, empty, none, zero. */
    private static boolean isOff(Node node) {
      if (node instanceof Node.Scalar scalar) {
        return scalar.kind() == ScalarKind.NULL
            || List.of("false", "False", "FALSE", "none", "0").contains(scalar.text());
      }
      return node.size() == 1;
    }
  }

  /** Reports the keys that are no settings. */
  static void checkNames(Node.Fields fields, Problems problems) {
    fields.fields().forEach((name, field) -> checkName(name, field, problems));
  }

  private static void checkName(String name, Node.Field field, Problems problems) {
    if (RECIPE.settings().containsKey(name)) {
      return;
    }
    Optional<Later> later = Later.of(name);
    if (later.isPresent()) {
      if (!Later.isOff(field.value())) {
        String what = "'" + name + "' is " + field.value().seen() + ", which is not supported yet";
        String why = " (" + later.get().doc + "): " + later.get().remedy;
        problems.add(field.value().at(), what + why);
      }
      return;
    }
    String remedy =
        name.equals("<<")
            ? ": merge keys are not supported, use 'include'"
            : NearestName.hint(name, names()) + ": recipes/README.md lists all keys";
    problems.add(field.keyAt(), "unknown key '" + Problems.shown(name) + "'" + remedy);
  }

  /** Every name a recipe may hold at its top, our own ones first. */
  static List<String> names() {
    List<String> names = new ArrayList<>(RECIPE.settings().keySet());
    names.add(INCLUDE);
    Arrays.stream(Later.values()).map(Later::key).forEach(names::add);
    names.addAll(Aliases.names());
    return names;
  }

  /** Defaults that follow from other keys' values, for keys that are not there. */
  static Node.Fields derived(Node.Fields fields) {
    Map<String, Node.Field> all = new LinkedHashMap<>(fields.fields());
    Position at = fields.at().whole();
    Node.Field adapter = fields.fields().get("adapter");
    boolean qlora =
        adapter == null || adapter.value() instanceof Node.Scalar s && s.text().equals("qlora");
    all.putIfAbsent("load_in_4bit", scalar(Boolean.toString(qlora), at));
    all.putIfAbsent(
        "adam_beta2", scalar(isText(fields, "optimizer", "lion") ? "0.99" : "0.999", at));
    boolean decomposes =
        fields.fields().get("init_lora_weights") != null
            && fields.fields().get("init_lora_weights").value() instanceof Node.Scalar s
            && InitLoraWeights.of(s.text()).filter(InitLoraWeights::isSubtracted).isPresent();
    boolean goesOn =
        fields.fields().get("lora_model_dir") != null
            && fields.fields().get("lora_model_dir").value() instanceof Node.Scalar s
            && s.kind() != ScalarKind.NULL;
    boolean compares = isText(fields, "method", "dpo") || isText(fields, "method", "kto");
    boolean exact = decomposes || goesOn && compares;
    all.putIfAbsent("lora_dropout", scalar(exact ? "0" : "0.05", at));
    all.putIfAbsent("ref_adapter", scalar(goesOn ? "start" : "none", at));
    boolean kto = isText(fields, "method", "kto");
    all.putIfAbsent("loss_type", scalar(kto ? "kto" : "sigmoid", at));
    all.putIfAbsent("momentum", scalar(isText(fields, "optimizer", "muon") ? "0.95" : "0", at));
    boolean simpo = isText(fields, "method", "simpo");
    all.putIfAbsent("beta", scalar(simpo ? "2" : "0.1", at));
    all.putIfAbsent("rpo_alpha", scalar(isText(fields, "method", "cpo") ? "1" : "0", at));
    follow(all, "eval_batch_size", "micro_batch_size", at);
    follow(all, "eval_sample_packing", "sample_packing", at);
    return new Node.Fields(all, fields.at());
  }

  /** A key that is not there gets another one's value, if that can be read. */
  private static void follow(
      Map<String, Node.Field> all, String key, String followed, Position at) {
    Node.Field field = all.get(followed);
    Setting setting = RECIPE.settings().get(followed);
    if (field == null) {
      all.putIfAbsent(key, scalar(setting.key().byDefault(), at));
    } else if (setting.type().read(field.value(), Reading.begin(new Problems())) != null) {
      all.putIfAbsent(key, field);
    }
  }

  private static boolean isText(Node.Fields fields, String key, String text) {
    Node.Field field = fields.fields().get(key);
    return field != null && field.value() instanceof Node.Scalar s && s.text().equals(text);
  }

  /** Whether a key's value is its default, so that naming it asks for nothing. */
  static boolean isDefault(String key, Object value) {
    Position nowhere = new Position("", 0, 0, Path.of(""));
    Node.Fields none = derived(new Node.Fields(Map.of(), nowhere));
    Object byDefault = RECIPE.settings().get(key).read(none, Reading.begin(new Problems()));
    return value.equals(byDefault);
  }

  private static Node.Field scalar(String text, Position at) {
    return new Node.Field(at, new Node.Scalar(text, false, at));
  }
}
