package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSettings.TrainOnEos;
import ai.nibble.data.jinja.JinjaTemplate;
import ai.nibble.data.jinja.Rendering;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Turns samples into examples: a conversation is rendered once and tokenised whole, so that ids are
 * those of Hugging Face's {@code apply_chat_template}, and loss is decided by position.
 */
public final class ExampleEncoder {
  private static final JinjaTemplate CALLS =
      JinjaTemplate.compile(
          "{% for c in calls %}{{ (c.function if c.function else c)|tojson }}"
              + "{% if not loop.last %}\n\n{% endif %}{% endfor %}",
          "tool calls");

  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final EncodingSettings settings;

  /**
   * @param template null where only text is encoded
   */
  public ExampleEncoder(Tokenizer tokenizer, ChatTemplate template, EncodingSettings settings) {
    this.tokenizer = tokenizer;
    this.template = template;
    this.settings = settings;
  }

  /**
   * An example and what was unusual about it.
   *
   * @param callsAsText tool calls that the template does not write stand in the text as JSON
   * @param toolsUnseen the template wrote nothing of the tools
   * @param controlsAsText a message spelled a control token, which became plain text
   */
  record Encoded(
      Example example, boolean callsAsText, boolean toolsUnseen, boolean controlsAsText) {}

  EncodingSettings settings() {
    return settings;
  }

  /**
   * Feeds a sum with all that decides what a sample becomes: the tokenizer, the template and the
   * settings. Not the code: {@link EncodingCode} does that.
   */
  void feed(MessageDigest sum) {
    tokenizer.feed(sum);
    String rest = (template == null ? "" : template.identity()) + "\n" + settings;
    sum.update(rest.getBytes(StandardCharsets.UTF_8));
  }

  /**
   * The sample's tokens, however many.
   *
   * @throws InvalidInputException where the template refuses it, or it cannot be encoded
   */
  public Example encode(Sample sample) {
    return encoded(sample).example();
  }

  Encoded encoded(Sample sample) {
    if (sample instanceof Sample.Pair pair) {
      Encoded chosen = single(pair.chosen(), false);
      Encoded rejected = single(pair.rejected(), false);
      return new Encoded(
          Example.pair(chosen.example(), rejected.example()),
          chosen.callsAsText || rejected.callsAsText,
          chosen.toolsUnseen || rejected.toolsUnseen,
          chosen.controlsAsText || rejected.controlsAsText);
    }
    if (sample instanceof Sample.Judged judged) {
      Encoded answer = single(judged.answer(), false);
      return new Encoded(
          Example.judged(answer.example(), judged.desirable()),
          answer.callsAsText,
          answer.toolsUnseen,
          answer.controlsAsText);
    }
    return single((Sample.Single) sample, settings.trainOnInputs());
  }

  /**
   * @param whole whether every token carries loss; of answers that are judged never
   */
  private Encoded single(Sample.Single sample, boolean whole) {
    return sample instanceof Sample.Conversation conversation
        ? conversation(conversation, whole)
        : new Encoded(text((Sample.Text) sample, whole), false, false, false);
  }

  private Encoded conversation(Sample.Conversation given, boolean whole) {
    if (template == null) {
      throw new InvalidInputException(
          "a conversation needs a chat template; set chat_template, or train on text rows");
    }
    Rendering rendering = template.trace(given.messages(), given.tools(), false);
    Sample.Conversation conversation = withVisibleCalls(given, rendering);
    boolean rewritten = conversation != given;
    if (rewritten) {
      rendering = template.trace(conversation.messages(), conversation.tools(), false);
    }
    Encoding encoding = tokenizer.encode(rendering);
    if (encoding.length() == 0) {
      throw new InvalidInputException("the chat template renders nothing of the conversation");
    }
    int[] labels = encoding.ids().clone();
    if (!whole) {
      int eos = tokenizer.eosId().orElse(-1);
      TurnMask mask =
          new TurnMask(template, conversation, rendering, tokenizer::controlTokens, eos);
      mask(encoding, mask.trained(settings), labels);
    }
    boolean unseen =
        !conversation.tools().isEmpty()
            && rendering.runs().stream().noneMatch(run -> run.origin() == ChatTemplate.TOOLS);
    return new Encoded(
        new Example(encoding.ids(), labels), rewritten, unseen, tokenizer.isForged(rendering));
  }

  private static void mask(Encoding encoding, List<Rendering.Span> trained, int[] labels) {
    for (int i = 0; i < labels.length; i++) {
      int begin = encoding.starts()[i];
      int end = encoding.ends()[i];
      if (trained.stream().noneMatch(span -> TurnMask.overlaps(span, begin, end))) {
        labels[i] = Example.IGNORED;
      }
    }
  }

  /** The conversation with such tool calls as the template ignores written out as its text. */
  static Sample.Conversation withVisibleCalls(
      Sample.Conversation conversation, Rendering rendering) {
    List<Map<String, Object>> messages = new ArrayList<>(conversation.messages());
    boolean changed = false;
    for (int i = 0; i < messages.size(); i++) {
      int origin = ChatTemplate.toolCallsOf(i);
      boolean calls = messages.get(i).get("tool_calls") instanceof List<?> list && !list.isEmpty();
      if (calls && rendering.runs().stream().noneMatch(run -> run.origin() == origin)) {
        messages.set(i, withCallsAsText(messages.get(i)));
        changed = true;
      }
    }
    return changed
        ? new Sample.Conversation(messages, conversation.tools(), conversation.context())
        : conversation;
  }

  private static Map<String, Object> withCallsAsText(Map<String, Object> message) {
    Object toolCalls = CallArguments.asObjects(message).get("tool_calls");
    String calls = CALLS.render(Map.of("calls", toolCalls));
    Map<String, Object> plain = new LinkedHashMap<>(message);
    plain.remove("tool_calls");
    Object content = plain.get("content");
    boolean alone = !(content instanceof String text) || text.isEmpty();
    plain.put("content", alone ? calls : content + "\n" + calls);
    return plain;
  }

  private Example text(Sample.Text sample, boolean whole) {
    if (tokenizer.eosId().isEmpty()) {
      throw new InvalidInputException(
          "the tokenizer names no eos_token, with which text rows end; add it to"
              + " tokenizer_config.json");
    }
    int eos = tokenizer.eosId().getAsInt();
    Encoding encoding = tokenizer.encode(sample.prompt() + sample.completion());
    int[] prefix = tokenizer.textPrefix();
    int[] text = encoding.ids();
    boolean prefixed =
        text.length >= prefix.length && Arrays.equals(prefix, Arrays.copyOf(text, prefix.length));
    int added = prefixed ? 0 : prefix.length;
    boolean ended = text.length > 0 && text[text.length - 1] == eos;
    int[] ids = new int[added + text.length + (ended ? 0 : 1)];
    System.arraycopy(prefix, 0, ids, 0, added);
    System.arraycopy(text, 0, ids, added, text.length);
    ids[ids.length - 1] = eos;
    int[] labels = ids.clone();
    boolean all = whole || sample.prompt().isEmpty();
    Rendering.Span completion = new Rendering.Span(sample.prompt().length(), Integer.MAX_VALUE);
    for (int i = 0; i < added + text.length && !all; i++) {
      int at = i - added;
      if (at < 0 || !TurnMask.overlaps(completion, encoding.starts()[at], encoding.ends()[at])) {
        labels[i] = Example.IGNORED;
      }
    }
    if (settings.trainOnEos() == TrainOnEos.NONE && !whole) {
      labels[ids.length - 1] = Example.IGNORED;
    }
    return new Example(ids, labels);
  }
}
