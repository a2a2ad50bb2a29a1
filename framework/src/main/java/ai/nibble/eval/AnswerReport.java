package ai.nibble.eval;

import ai.nibble.WholeFile;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MappingIterator;
import com.fasterxml.jackson.databind.RuntimeJsonMappingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Shows answers to people, and writes them down. */
public final class AnswerReport {
  private static final int WIDTH = 300;
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final List<Question> questions;

  public AnswerReport(List<Question> questions) {
    this.questions = List.copyOf(questions);
  }

  /**
   * Prints the first questions with what was expected and what came.
   *
   * @param after empty before training
   */
  public void print(PrintStream out, int show, Answers before, Optional<Answers> after) {
    for (int i = 0; i < Math.min(show, questions.size()); i++) {
      out.println();
      line(out, "request", questions.get(i).request(), "");
      line(out, "expected", questions.get(i).expected(), "");
      answer(out, "before", before.answers().get(i));
      if (after.isPresent()) {
        answer(out, "after", after.get().answers().get(i));
      }
    }
    out.println();
    out.flush();
  }

  private static void answer(PrintStream out, String label, Answers.Answer answer) {
    line(out, label, answer.text(), answer.right() ? "  [exact]" : "");
  }

  /** Control characters are shown as blanks: a model may write any, and a terminal obeys some. */
  private static void line(PrintStream out, String label, String text, String mark) {
    String shown = text.strip().replaceAll("[\\p{Cntrl}\\s]+", " ");
    if (shown.length() > WIDTH) {
      int end = Character.isHighSurrogate(shown.charAt(WIDTH - 1)) ? WIDTH - 1 : WIDTH;
      shown = shown.substring(0, end) + " …";
    }
    out.printf("  %-9s %s%s%n", label, shown, mark);
  }

  /**
   * Writes one JSON object a line: {@code request}, {@code expected}, {@code before}, {@code
   * before_exact}, and after training {@code after} and {@code after_exact}. The file appears whole
   * or not at all.
   */
  public void write(Path file, Answers before, Optional<Answers> after) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < questions.size(); i++) {
      ObjectNode json = JSON.createObjectNode();
      json.put("request", questions.get(i).request());
      json.put("expected", questions.get(i).expected());
      put(json, "before", before.answers().get(i));
      if (after.isPresent()) {
        put(json, "after", after.get().answers().get(i));
      }
      lines.append(JSON.writeValueAsString(json)).append('\n');
    }
    WholeFile.write(file, lines.toString());
  }

  /**
   * Reads the answers before training of a file that {@link #write} wrote.
   *
   * @return empty where there is none, or one of other questions
   */
  public Optional<Answers> readBefore(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    List<Answers.Answer> answers = new ArrayList<>();
    try (MappingIterator<JsonNode> lines =
        JSON.readerFor(JsonNode.class).readValues(file.toFile())) {
      while (lines.hasNext()) {
        JsonNode json = lines.next();
        int row = answers.size();
        if (row == questions.size()
            || !json.path("request").asText().equals(questions.get(row).request())
            || !json.path("expected").asText().equals(questions.get(row).expected())) {
          return Optional.empty();
        }
        answers.add(
            new Answers.Answer(
                json.path("before").asText(), json.path("before_exact").asBoolean()));
      }
    } catch (JsonProcessingException | RuntimeJsonMappingException e) {
      return Optional.empty(); // not ours, or damaged
    }
    return answers.size() == questions.size()
        ? Optional.of(new Answers(answers, 0, 0))
        : Optional.empty();
  }

  private static void put(ObjectNode json, String key, Answers.Answer answer) {
    json.put(key, answer.text());
    json.put(key + "_exact", answer.right());
  }
}
