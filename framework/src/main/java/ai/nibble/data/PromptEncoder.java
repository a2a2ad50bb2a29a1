package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.jinja.Rendering;
import ai.nibble.model.ModelConfig;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Turns what a model is asked into the token ids that it goes on from: those of a training row up
 * to where the answer begins.
 */
public final class PromptEncoder {
  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final Optional<ModelConfig> model;

  /**
   * @param template null where only text is encoded
   */
  public PromptEncoder(Tokenizer tokenizer, ChatTemplate template) {
    this(tokenizer, template, Optional.empty());
  }

  /**
   * An encoder that refuses what a model cannot go on from ({@link ModelConfig#requirePrompt}).
   *
   * @param template null where only text is encoded
   */
  public PromptEncoder(Tokenizer tokenizer, ChatTemplate template, ModelConfig model) {
    this(tokenizer, template, Optional.of(model));
  }

  private PromptEncoder(Tokenizer tokenizer, ChatTemplate template, Optional<ModelConfig> model) {
    this.tokenizer = tokenizer;
    this.template = template;
    this.model = model;
  }

  /**
   * A conversation that the assistant is to answer. Control tokens that a message spells are plain
   * text.
   *
   * @param messages at least one
   * @param tools function descriptions, possibly none
   * @throws InvalidInputException where there is no template, it refuses the conversation, or the
   *     model the prompt
   */
  public int[] encode(List<Map<String, Object>> messages, List<Map<String, Object>> tools) {
    if (template == null) {
      throw new InvalidInputException(
          "a conversation needs a chat template; put chat_template.jinja beside the model, or give"
              + " the text as it is");
    }
    Sample.Conversation given = new Sample.Conversation(messages, tools, 0);
    Rendering rendering = template.trace(given.messages(), given.tools(), true);
    Sample.Conversation shown = ExampleEncoder.withVisibleCalls(given, rendering);
    if (shown != given) {
      rendering = template.trace(shown.messages(), shown.tools(), true);
    }
    return checked(tokenizer.encode(rendering).ids());
  }

  /**
   * Text that the model goes on from, with what Hugging Face puts before plain text. Control tokens
   * in it count.
   *
   * @throws InvalidInputException where there is no token in it, or the model refuses it
   */
  public int[] encode(String text) {
    int[] prefix = tokenizer.textPrefix();
    int[] ids = tokenizer.encode(text).ids();
    boolean prefixed =
        ids.length >= prefix.length && Arrays.equals(prefix, Arrays.copyOf(ids, prefix.length));
    int added = prefixed ? 0 : prefix.length;
    int[] all = new int[added + ids.length];
    System.arraycopy(prefix, 0, all, 0, added);
    System.arraycopy(ids, 0, all, added, ids.length);
    return checked(all);
  }

  private int[] checked(int[] ids) {
    if (ids.length == 0) {
      throw new InvalidInputException("the prompt is empty, expected at least one token");
    }
    model.ifPresent(config -> config.requirePrompt(ids));
    return ids;
  }

  /** The token with which the template ends the assistant's turn, where it is a single one. */
  public OptionalInt endOfTurn() {
    if (template == null) {
      return OptionalInt.empty();
    }
    List<Map<String, Object>> messages =
        List.of(
            Map.of("role", "user", "content", "a"), Map.of("role", "assistant", "content", "b"));
    try {
      Sample.Conversation turn = new Sample.Conversation(messages, List.of(), 0);
      Rendering rendering = template.trace(messages, List.of(), false);
      int eos = tokenizer.eosId().orElse(-1);
      RenderedTurns.Turn found =
          new RenderedTurns(template, turn, rendering, tokenizer::controlTokens, eos).find(1, true);
      if (found == null || found.close() == null) {
        return OptionalInt.empty();
      }
      return tokenizer.controlTokens(rendering).stream()
          .filter(match -> match.begin() == found.close().begin())
          .mapToInt(ControlTokens.Match::id)
          .findFirst();
    } catch (InvalidInputException e) {
      return OptionalInt.empty(); // a template that refuses this conversation says nothing of it
    }
  }
}
