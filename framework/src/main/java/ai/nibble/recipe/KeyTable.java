package ai.nibble.recipe;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** The tables of {@code recipes/README.md}, from the records themselves. */
final class KeyTable {
  private KeyTable() {}

  static String markdown() {
    StringBuilder out = new StringBuilder();
    header(out);
    out.append(
        "| `include` | text, or a list (each text) | `[]` | Recipes whose keys come first, in order |\n");
    Schema.RECIPE.settings().values().forEach(setting -> row(out, setting));
    out.append("\nAn entry of `datasets` and `test_datasets`:\n\n");
    header(out);
    RecordType.of(Dataset.class).settings().values().forEach(setting -> row(out, setting));
    out.append("\nThe keys of `generation_eval`:\n\n");
    header(out);
    RecordType.of(GenerationEval.class).settings().values().forEach(setting -> row(out, setting));
    out.append("\nThe keys of `lr_scheduler_kwargs`:\n\n");
    header(out);
    RecordType.of(SchedulerKwargs.class).settings().values().forEach(setting -> row(out, setting));
    out.append("\nThe keys of `loftq_config`:\n\n");
    header(out);
    RecordType.of(LoftqConfig.class).settings().values().forEach(setting -> row(out, setting));
    out.append("\nKnown, and refused when switched on, because they are not supported yet:\n\n");
    out.append("| key | what it would do |\n|---|---|\n");
    for (Schema.Later later : Schema.Later.values()) {
      String doc = later.doc().substring(0, 1).toUpperCase(Locale.ROOT) + later.doc().substring(1);
      out.append("| `").append(later.key()).append("`").append(names(later.key()));
      out.append(" | ").append(doc).append(" |\n");
    }
    return out.toString();
  }

  private static void header(StringBuilder out) {
    out.append("| key | what fits | default | what it does |\n");
    out.append("|---|---|---|---|\n");
  }

  private static void row(StringBuilder out, Setting setting) {
    Key key = setting.key();
    String byDefault =
        !key.derived().isEmpty()
            ? key.derived()
            : setting.isRequired() ? "required" : "`" + key.byDefault() + "`";
    String cells =
        String.join(
            " | ",
            "`" + setting.name() + "`" + names(setting.name()),
            cell(fits(setting)),
            byDefault,
            cell(key.doc()));
    out.append("| ").append(cells).append(" |\n");
  }

  /** A list of entries has a table of its own. */
  private static String fits(Setting setting) {
    if (setting.type() instanceof GroupTypes.Maybe maybe && maybe.type() instanceof RecordType) {
      return "a map, below";
    }
    boolean entries =
        setting.type() instanceof GroupTypes.ListOf list && list.type() instanceof RecordType;
    return entries ? "a list of entries, below" : setting.type().expected();
  }

  private static String names(String key) {
    List<String> aliases = Aliases.of(key);
    return aliases.isEmpty()
        ? ""
        : aliases.stream().collect(Collectors.joining("`, `", " (also `", "`)"));
  }

  private static String cell(String text) {
    return text.replace("|", "\\|");
  }
}
