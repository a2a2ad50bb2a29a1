package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Row;
import ai.nibble.data.RowFile;
import ai.nibble.data.RowProblems;
import ai.nibble.data.Sample;
import ai.nibble.data.format.RowFormat;
import ai.nibble.lora.AdapterSet;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A prompt.
 *
 * @param ids what the model goes on from
 * @param request its text, of a conversation the last turn's; for people
 * @param adapter that answers it, or {@code off}
 */
record Prompt(int[] ids, String request, String adapter) {

  /**
   * The prompts of a request, at least one.
   *
   * @throws InvalidInputException with the place of one that is malformed
   */
  static List<Prompt> read(GenerateRequest request, ModelFiles files) {
    if (request.prompt().isPresent()) {
      return List.of(of(request.prompt().get(), request, files, request.use()));
    }
    Path file = request.promptsFile().orElseThrow();
    List<Prompt> prompts = new ArrayList<>();
    try (RowFile rows = new RowFile(file, Map.of())) {
      RowProblems.forEach(file.toString(), rows, row -> prompts.add(of(row, request, files)));
    }
    if (prompts.isEmpty()) {
      throw new InvalidInputException(file + ": no prompts, expected at least one");
    }
    return prompts;
  }

  private static Prompt of(String text, GenerateRequest request, ModelFiles files, String adapter) {
    if (request.raw()) {
      return new Prompt(files.encoder(adapter).encode(text), text, adapter);
    }
    if (text.isBlank()) {
      throw new InvalidInputException("the prompt is empty, expected some text");
    }
    List<Map<String, Object>> messages = system(request);
    messages.add(Map.of("role", "user", "content", text));
    return new Prompt(files.encoder(adapter).encode(messages, List.of()), text, adapter);
  }

  private static Prompt of(Row row, GenerateRequest request, ModelFiles files) {
    String adapter = row.optionalText("adapter").orElse(request.use());
    AdapterSet.requireKnown(adapter, request.model().adapterNames());
    if (!row.has("messages")) {
      if (!row.has("prompt") && !row.has("text")) {
        throw new InvalidInputException(
            row.where()
                + ": expected 'prompt', 'text' or 'messages', the row has "
                + row.columns().keySet());
      }
      return of(row.text(row.has("text") ? "text" : "prompt"), request, files, adapter);
    }
    if (request.raw()) {
      throw row.wrong("messages", "given", "'prompt', as --raw leaves the chat template out");
    }
    Sample.Conversation given = (Sample.Conversation) RowFormat.named("messages").read(row);
    List<Map<String, Object>> messages = system(request);
    messages.addAll(given.messages());
    Map<String, Object> last = messages.get(messages.size() - 1);
    if ("assistant".equals(last.get("role"))) {
      throw row.wrong("messages", "closed by the assistant", "a turn for it to answer");
    }
    int[] ids = files.encoder(adapter).encode(messages, given.tools());
    return new Prompt(ids, String.valueOf(last.get("content")), adapter);
  }

  private static List<Map<String, Object>> system(GenerateRequest request) {
    List<Map<String, Object>> messages = new ArrayList<>();
    request.system().ifPresent(text -> messages.add(Map.of("role", "system", "content", text)));
    return messages;
  }
}
