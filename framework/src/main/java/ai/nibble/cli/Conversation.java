package ai.nibble.cli;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** What was said in a chat. */
final class Conversation {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final List<Map<String, Object>> turns = new ArrayList<>();
  private final Set<Path> saved = new HashSet<>();
  private Optional<String> system;

  Conversation(Optional<String> system) {
    this.system = system;
  }

  /** Sets the system's turn, or leaves it out; what was said stays. */
  void system(Optional<String> text) {
    system = text;
  }

  void add(String role, String content) {
    turns.add(message(role, content));
  }

  /** A turn, whose keys always stand in the same order: files that are saved can be compared. */
  private static Map<String, Object> message(String role, String content) {
    Map<String, Object> message = new LinkedHashMap<>();
    message.put("role", role);
    message.put("content", content);
    return message;
  }

  void removeLast() {
    turns.remove(turns.size() - 1);
  }

  /** Forgets all turns but the system's. */
  void clear() {
    turns.clear();
  }

  boolean isEmpty() {
    return turns.isEmpty();
  }

  /** All turns, the system's first. */
  List<Map<String, Object>> messages() {
    List<Map<String, Object>> messages = new ArrayList<>();
    system.ifPresent(text -> messages.add(message("system", text)));
    messages.addAll(turns);
    return messages;
  }

  /**
   * Writes {@code {"messages": […]}} on one line, as rows to train on are.
   *
   * @throws InvalidInputException if there is a file that this conversation did not write, or it
   *     cannot be written
   */
  void save(Path file) {
    Path absolute = file.toAbsolutePath().normalize();
    if (Files.exists(absolute) && !saved.contains(absolute)) {
      throw new InvalidInputException(file + " exists: give a new file's name");
    }
    try {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("messages", messages());
      WholeFile.write(absolute, JSON.writeValueAsString(row) + "\n");
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be written: " + FileProblem.reason(e), e);
    }
    saved.add(absolute);
  }
}
