package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.data.jinja.JinjaTemplate;
import ai.nibble.data.jinja.Rendering;
import ai.nibble.data.jinja.Traced;
import ai.nibble.model.ModelStore;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The template that turns a conversation into a model's text. Immutable. */
public final class ChatTemplate {
  /** Origin, in a {@link Rendering}, of what the tools contributed. */
  static final int TOOLS = Integer.MAX_VALUE;

  // Older names under which data sets keep a message's reasoning, in the order transformers reads.
  private static final List<String> REASONING =
      List.of("reasoning_content", "thinking", "reasoning");

  private final JinjaTemplate template;
  private final JinjaTemplate toolTemplate;
  private final Map<String, Object> variables;
  private final String source;
  private final String toolSource;

  private ChatTemplate(
      Source chosen, Source forTools, SpecialTokens special, Map<String, Object> more) {
    this.template = JinjaTemplate.compile(chosen.text(), chosen.name());
    this.toolTemplate =
        forTools == null ? template : JinjaTemplate.compile(forTools.text(), forTools.name());
    this.variables = new LinkedHashMap<>(special.texts());
    this.variables.putAll(more);
    this.source = chosen.text();
    this.toolSource = forTools == null ? source : forTools.text();
  }

  private record Source(String text, String name) {}

  /**
   * The template beside a model: {@code chat_template.jinja}, or {@code chat_template} of {@code
   * tokenizer_config.json} (a text, or a list of named ones of which {@code tool_use} serves rows
   * with tools).
   *
   * @param variables given to the template besides the conversation, for example {@code
   *     enable_thinking}
   * @throws InvalidInputException where there is none, or it does not compile
   */
  public static ChatTemplate load(Path directory, Map<String, Object> variables) {
    SpecialTokens special = SpecialTokens.read(directory);
    Path file = directory.resolve(ModelStore.CHAT_TEMPLATE);
    if (Files.exists(file)) {
      Path tools = directory.resolve("additional_chat_templates").resolve("tool_use.jinja");
      Source forTools = Files.exists(tools) ? read(tools) : null;
      return new ChatTemplate(read(file), forTools, special, variables);
    }
    Path config = directory.resolve("tokenizer_config.json");
    JsonNode node = Files.exists(config) ? JsonFiles.tree(config).get("chat_template") : null;
    Map<String, Source> named = new LinkedHashMap<>();
    String name = config + ": chat_template";
    if (node != null && node.isTextual()) {
      named.put("default", new Source(node.asText(), name));
    } else if (node != null && node.isArray()) {
      for (JsonNode each : node) {
        String label = each.path("name").asText();
        named.put(label, new Source(each.path("template").asText(), name + " '" + label + "'"));
      }
    }
    if (!named.containsKey("default")) {
      throw new InvalidInputException(
          directory
              + " has no chat template (chat_template.jinja, or chat_template in"
              + " tokenizer_config.json), which conversations need: set chat_template to a template"
              + " file, or train on text rows");
    }
    return new ChatTemplate(named.get("default"), named.get("tool_use"), special, variables);
  }

  /** Whether there is a template beside a model, good or bad. */
  public static boolean isThere(Path directory) {
    Path config = directory.resolve("tokenizer_config.json");
    return Files.exists(directory.resolve(ModelStore.CHAT_TEMPLATE))
        || Files.exists(config) && JsonFiles.tree(config).hasNonNull("chat_template");
  }

  /**
   * A template from a file of its own.
   *
   * @param file Jinja text
   * @param directory of the model, for the names of its special tokens
   * @throws InvalidInputException where the file cannot be read or does not compile
   */
  public static ChatTemplate load(Path file, Path directory, Map<String, Object> variables) {
    return new ChatTemplate(read(file), null, SpecialTokens.read(directory), variables);
  }

  /** A template from its text; {@code name} stands in messages. */
  public static ChatTemplate of(
      String text, String name, SpecialTokens special, Map<String, Object> variables) {
    return new ChatTemplate(new Source(text, name), null, special, variables);
  }

  private static Source read(Path file) {
    try {
      if (!Files.exists(file)) {
        throw new InvalidInputException(file + ": there is no such chat template: check the path");
      }
      if (!Files.isRegularFile(file) || Files.size(file) > 1 << 20) {
        throw new InvalidInputException(file + " is no template: expected a file of at most 1 MiB");
      }
      return new Source(Files.readString(file, StandardCharsets.UTF_8), file.toString());
    } catch (IOException e) {
      throw new InvalidInputException(
          file + " cannot be read as UTF-8: " + FileProblem.reason(e), e);
    }
  }

  /** The template's text. */
  public String source() {
    return source;
  }

  /** All that decides what a conversation becomes; a template that asks for the date, that too. */
  String identity() {
    boolean dated = (source + toolSource).contains("strftime_now");
    return String.join(
        "\n", source, toolSource, variables.toString(), dated ? LocalDate.now().toString() : "");
  }

  /**
   * The conversation's text.
   *
   * @param messages maps with {@code role}, {@code content} and whatever else the template knows
   * @param tools function descriptions, possibly none
   * @throws InvalidInputException where the template refuses the conversation
   */
  public String render(
      List<Map<String, Object>> messages, List<?> tools, boolean addGenerationPrompt) {
    return trace(messages, tools, addGenerationPrompt).text();
  }

  /**
   * The conversation's text, with the origin of all that a message contributed other than its role
   * (which the template decides by, and which formats check); {@link #messageOf} reads it.
   * Arguments of calls that are JSON text are given as objects, unless the template refuses these.
   */
  Rendering trace(List<Map<String, Object>> messages, List<?> tools, boolean addGenerationPrompt) {
    List<Map<String, Object>> objects = CallArguments.asObjects(messages);
    if (objects.equals(messages)) {
      return traceAsGiven(messages, tools, addGenerationPrompt);
    }
    try {
      return traceAsGiven(objects, tools, addGenerationPrompt);
    } catch (InvalidInputException e) { // it may be one of those that take text
      return traceAsGiven(messages, tools, addGenerationPrompt);
    }
  }

  private Rendering traceAsGiven(
      List<Map<String, Object>> messages, List<?> tools, boolean addGenerationPrompt) {
    List<Object> traced = new ArrayList<>(messages.size());
    for (int i = 0; i < messages.size(); i++) {
      traced.add(traced(withReasoning(messages.get(i)), i));
    }
    Map<String, Object> all = new LinkedHashMap<>(variables);
    all.put("messages", traced);
    boolean withTools = tools != null && !tools.isEmpty();
    all.put("tools", withTools ? new Traced(TOOLS, tools) : null);
    all.put("documents", null);
    all.put("add_generation_prompt", addGenerationPrompt);
    return (withTools ? toolTemplate : template).trace(all);
  }

  private static Map<String, Object> traced(Map<String, Object> message, int index) {
    Map<String, Object> traced = new LinkedHashMap<>();
    message.forEach(
        (key, value) -> {
          int origin = 2 * index + (key.equals("tool_calls") ? 2 : 1);
          traced.put(key, key.equals("role") ? value : new Traced(origin, value));
        });
    return traced;
  }

  /** The index of the message behind an origin, −1 for the template and the tools. */
  static int messageOf(int origin) {
    return origin == TOOLS || origin == 0 ? -1 : (origin - 1) / 2;
  }

  /** The origin of a message's tool calls. */
  static int toolCallsOf(int message) {
    return 2 * message + 2;
  }

  /** Reasoning under each of the names that templates read. */
  private static Map<String, Object> withReasoning(Map<String, Object> message) {
    Optional<Object> reasoning =
        REASONING.stream().map(message::get).filter(java.util.Objects::nonNull).findFirst();
    if (reasoning.isEmpty()) {
      return message;
    }
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("thinking", reasoning.get());
    all.putAll(message);
    all.put("reasoning_content", reasoning.get());
    return all;
  }
}
