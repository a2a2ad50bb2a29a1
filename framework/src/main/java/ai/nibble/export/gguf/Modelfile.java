package ai.nibble.export.gguf;

import java.util.List;
import java.util.Optional;

/** The text that makes a GGUF file a model of Ollama's: {@code ollama create NAME -f FILE}. */
final class Modelfile {
  private static final String QUOTES = "\"\"\"";

  private final StringBuilder text = new StringBuilder();
  private boolean hasTemplate;

  /**
   * @param ggufName the file's name, beside the Modelfile
   * @param turns the chat template; empty where it cannot be written in Go's language
   * @param writesBos whether Ollama itself begins with the beginning-of-sequence token
   * @param stops texts that end an answer
   */
  Modelfile(String ggufName, Optional<TurnTemplate> turns, boolean writesBos, List<String> stops) {
    line("FROM ./" + ggufName);
    Optional<String> template = turns.flatMap(t -> goTemplate(t, writesBos));
    template.ifPresent(
        go -> {
          hasTemplate = true;
          line("TEMPLATE " + QUOTES + go + QUOTES);
        });
    stops.stream()
        .filter(stop -> !stop.contains("\"") && !stop.contains("\n"))
        .forEach(stop -> line("PARAMETER stop \"" + stop + "\""));
  }

  private void line(String line) {
    text.append(line).append('\n');
  }

  /** Whether the template is in it; else Ollama has only the GGUF file's own to go by. */
  boolean hasTemplate() {
    return hasTemplate;
  }

  @Override
  public String toString() {
    return text.toString();
  }

  private static Optional<String> goTemplate(TurnTemplate turns, boolean writesBos) {
    String literal =
        turns.start()
            + turns.system().before()
            + turns.system().after()
            + turns.user().before()
            + turns.user().after()
            + turns.assistant().before()
            + turns.assistant().after()
            + turns.generation()
            + turns.withoutSystem();
    if (literal.contains("{{") || literal.contains("}}") || literal.contains("\"")) {
      return Optional.empty();
    }
    return Optional.of(
        (writesBos ? "" : turns.start())
            + (turns.withoutSystem().isEmpty()
                ? ""
                : "{{ if not .System }}" + turns.withoutSystem() + "{{ end }}")
            + "{{ range .Messages }}{{ if eq .Role \"system\" }}"
            + around(turns.system())
            + "{{ else if eq .Role \"user\" }}"
            + around(turns.user())
            + "{{ else if eq .Role \"assistant\" }}"
            + around(turns.assistant())
            + "{{ end }}{{ end }}"
            + turns.generation());
  }

  private static String around(TurnTemplate.Around turn) {
    return turn.before() + "{{ .Content }}" + turn.after();
  }
}
