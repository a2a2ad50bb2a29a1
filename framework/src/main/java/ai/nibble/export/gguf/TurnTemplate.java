package ai.nibble.export.gguf;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a chat template puts around each turn, found by rendering probes: enough to write it as a Go
 * template for Ollama, where the template does no more than that.
 *
 * @param start what begins a conversation
 * @param system around a system turn
 * @param user around a user's turn
 * @param assistant around an answer
 * @param generation what the model goes on from
 * @param withoutSystem what stands before the turns of a conversation without a system turn, such
 *     as one that the template makes up
 */
record TurnTemplate(
    String start,
    Around system,
    Around user,
    Around assistant,
    String generation,
    String withoutSystem) {

  /** Text before and after a turn's own. */
  record Around(String before, String after) {
    private String of(String text) {
      return before + text + after;
    }
  }

  private static final String S = "Probe of a system turn.";
  private static final String U = "Probe of a question.";
  private static final String A = "Probe of an answer.";
  private static final String V = "Probe of another question.";

  /**
   * The template's turns; empty where it does more than put text around them, or refuses such a
   * conversation.
   *
   * @param bos the beginning-of-sequence token's text, which belongs to no turn; may be empty
   */
  static Optional<TurnTemplate> of(ChatTemplate template, String bos) {
    try {
      return probe(template, bos).filter(turns -> turns.agreesWith(template));
    } catch (InvalidInputException e) {
      return Optional.empty(); // such as a template without system turns
    }
  }

  private static Optional<TurnTemplate> probe(ChatTemplate template, String bos) {
    List<Map<String, Object>> all = turns("system", S, "user", U, "assistant", A, "user", V);
    String whole = template.render(all, List.of(), true);
    String open = template.render(all, List.of(), false);
    String answered = template.render(all.subList(0, 3), List.of(), false);
    String plain = template.render(turns("user", U), List.of(), true);
    String[] parts = split(whole, S, U, A, V);
    if (parts == null || !whole.startsWith(open) || !answered.contains(A)) {
      return Optional.empty();
    }
    String start = !bos.isEmpty() && whole.startsWith(bos) ? bos : "";
    String generation = whole.substring(open.length());
    String afterAnswer = answered.substring(answered.indexOf(A) + A.length());
    if (!parts[4].endsWith(generation) || !parts[3].startsWith(afterAnswer)) {
      return Optional.empty();
    }
    String afterUser = parts[4].substring(0, parts[4].length() - generation.length());
    String beforeUser = parts[3].substring(afterAnswer.length());
    String first = plain.contains(U) ? plain.substring(0, plain.indexOf(U)) : "";
    if (!parts[2].startsWith(afterUser)
        || !parts[1].endsWith(beforeUser)
        || !first.startsWith(start)
        || !first.endsWith(beforeUser)
        || first.length() < start.length() + beforeUser.length()) {
      return Optional.empty();
    }
    Around system =
        new Around(
            parts[0].substring(start.length()),
            parts[1].substring(0, parts[1].length() - beforeUser.length()));
    return Optional.of(
        new TurnTemplate(
            start,
            system,
            new Around(beforeUser, afterUser),
            new Around(parts[2].substring(afterUser.length()), afterAnswer),
            generation,
            first.substring(start.length(), first.length() - beforeUser.length())));
  }

  /** The texts between the probes, which must come once each and in this order; else null. */
  private static String[] split(String text, String... probes) {
    String[] parts = new String[probes.length + 1];
    int from = 0;
    for (int i = 0; i < probes.length; i++) {
      int at = text.indexOf(probes[i], from);
      if (at < 0 || text.indexOf(probes[i]) != text.lastIndexOf(probes[i])) {
        return null;
      }
      parts[i] = text.substring(from, at);
      from = at + probes[i].length();
    }
    parts[probes.length] = text.substring(from);
    return parts;
  }

  private boolean agreesWith(ChatTemplate template) {
    return List.of(
            turns("user", V),
            turns("system", S, "user", U),
            turns("user", U, "assistant", A, "user", V),
            turns("system", V, "user", U, "assistant", A, "user", S, "assistant", U, "user", A))
        .stream()
        .allMatch(turns -> template.render(turns, List.of(), true).equals(render(turns)));
  }

  /** A conversation's text up to where the model answers. */
  String render(List<Map<String, Object>> turns) {
    StringBuilder text = new StringBuilder(start);
    if (!turns.get(0).get("role").equals("system")) {
      text.append(withoutSystem);
    }
    for (Map<String, Object> turn : turns) {
      Around around =
          switch ((String) turn.get("role")) {
            case "system" -> system;
            case "user" -> user;
            default -> assistant;
          };
      text.append(around.of((String) turn.get("content")));
    }
    return text.append(generation).toString();
  }

  private static List<Map<String, Object>> turns(String... rolesAndTexts) {
    List<Map<String, Object>> turns = new ArrayList<>();
    for (int i = 0; i < rolesAndTexts.length; i += 2) {
      turns.add(Map.of("role", rolesAndTexts[i], "content", rolesAndTexts[i + 1]));
    }
    return turns;
  }
}
