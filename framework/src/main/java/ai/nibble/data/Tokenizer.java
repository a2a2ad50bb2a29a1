package ai.nibble.data;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import ai.nibble.InvalidInputException;
import ai.nibble.data.jinja.Rendering;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A model's tokenizer: Hugging Face's own library behind {@code tokenizer.json}, so ids are
 * identical. Nothing is added, cut or padded; {@link #textPrefix()} says what Hugging Face would
 * put before plain text.
 *
 * <p>Holds native memory until closed. Safe for use from several threads.
 */
public final class Tokenizer implements AutoCloseable {
  static {
    // The library reports usage to its makers unless told not to, before its classes load.
    System.setProperty("OPT_OUT_TRACKING", "true");
  }

  private final TokenizerFile file;
  private final SpecialTokens special;
  private final ControlTokens control;
  private final HuggingFaceTokenizer library;
  private HuggingFaceTokenizer masked;

  private Tokenizer(TokenizerFile file, SpecialTokens special, HuggingFaceTokenizer library) {
    this.file = file;
    this.special = special;
    this.control = new ControlTokens(file.added());
    this.library = library;
  }

  /**
   * Loads a tokenizer.
   *
   * @param directoryOrFile a model directory or its {@code tokenizer.json}
   * @throws InvalidInputException where the file is absent, malformed, or of a kind that the
   *     library does not survive
   */
  public static Tokenizer load(Path directoryOrFile) {
    boolean isDirectory = Files.isDirectory(directoryOrFile);
    Path path = isDirectory ? directoryOrFile.resolve("tokenizer.json") : directoryOrFile;
    Path directory = path.toAbsolutePath().getParent();
    if (!Files.exists(path)) {
      throw absent(path, directory);
    }
    TokenizerReader reader = TokenizerReader.read(path);
    TokenizerFile file = reader.file();
    SpecialTokens special = SpecialTokens.read(directory);
    special
        .texts()
        .forEach(
            (name, text) -> {
              if (!file.ids().containsKey(text)) {
                throw new InvalidInputException(
                    directory
                        + ": '"
                        + JsonFiles.shown(name)
                        + "' is '"
                        + JsonFiles.shown(text)
                        + "', which is no token of "
                        + path);
              }
            });
    return new Tokenizer(file, special, open(path, reader.forLibrary()));
  }

  private static InvalidInputException absent(Path path, Path directory) {
    for (String other : List.of("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")) {
      if (Files.exists(directory.resolve(other))) {
        return new InvalidInputException(
            directory
                + " has only "
                + other
                + ", expected tokenizer.json: convert it once with transformers'"
                + " AutoTokenizer.from_pretrained(dir).save_pretrained(dir)");
      }
    }
    return new InvalidInputException(
        path + " does not exist, expected the model's tokenizer.json there, beside its weights");
  }

  private static HuggingFaceTokenizer open(Path path, InputStream json) {
    Map<String, String> options =
        Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false");
    try {
      return HuggingFaceTokenizer.newInstance(json, options);
    } catch (IOException | RuntimeException e) {
      throw new InvalidInputException(
          path + ": the tokenizer library refuses it: " + refusal(e), e);
    }
  }

  /** The library's reason, which may quote the file at length. */
  private static String refusal(Exception e) {
    String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
    String line = reason.replaceAll("\\p{Cntrl}", "\uFFFD");
    return line.length() <= 300 ? line : line.substring(0, 300) + "…";
  }

  /**
   * The ids Hugging Face gives with {@code add_special_tokens=False}, and where each token stands.
   *
   * @throws InvalidInputException where the text has half of a surrogate pair, which no encoding of
   *     Unicode can hold
   */
  public Encoding encode(String text) {
    return encode(library, text);
  }

  /**
   * As {@link #encode(String)}, except that control tokens count only where the template wrote
   * them: in what messages contributed their text is plain text and cannot end or forge a turn.
   */
  public Encoding encode(Rendering rendering) {
    return control.hasForged(rendering) ? encodeMasked(rendering) : encode(rendering.text());
  }

  /** With the control tokens under private names; the same ids where no message spells one. */
  Encoding encodeMasked(Rendering rendering) {
    ControlTokens.Masked text = control.mask(rendering);
    Encoding encoding = encode(maskedLibrary(), text.text());
    int controls = 0;
    int[] starts = new int[encoding.length()];
    int[] ends = new int[encoding.length()];
    for (int i = 0; i < starts.length; i++) {
      starts[i] = text.original(encoding.starts()[i]);
      ends[i] = text.original(encoding.ends()[i]);
      controls += control.isControl(encoding.ids()[i]) ? 1 : 0;
    }
    if (controls != text.tokens()) {
      throw new InvalidInputException(
          "a text that contains a control token, such as '"
              + control.firstForged(rendering)
              + "', cannot be kept apart from real ones by this tokenizer; remove it from the row");
    }
    return new Encoding(encoding.ids(), starts, ends);
  }

  private synchronized HuggingFaceTokenizer maskedLibrary() {
    if (masked == null) {
      ObjectNode json = file.tree();
      TokenizerReader.NOT_THE_LIBRARYS.forEach(json::putNull);
      ((ObjectNode) json.get("model")).putNull("dropout");
      masked = open(file.path(), JsonFiles.stream(control.maskedFile(json)));
    }
    return masked;
  }

  private Encoding encode(HuggingFaceTokenizer library, String text) {
    file.limits().require(file.path(), text);
    int[] index = utf16Index(text);
    ai.djl.huggingface.tokenizers.Encoding encoding;
    try {
      encoding = library.encode(text, false, false);
    } catch (RuntimeException e) {
      throw new InvalidInputException(
          file.path()
              + ": the tokenizer library cannot encode a text of "
              + text.length()
              + " characters with it: "
              + refusal(e)
              + ": use the tokenizer.json that belongs to the model",
          e);
    }
    long[] ids = encoding.getIds();
    CharSpan[] spans = encoding.getCharTokenSpans();
    int[] small = new int[ids.length];
    int[] starts = new int[ids.length];
    int[] ends = new int[ids.length];
    for (int i = 0; i < ids.length; i++) {
      small[i] = Math.toIntExact(ids[i]);
      // A token that stands for no character of the text keeps its place among the others.
      int previous = i == 0 ? 0 : ends[i - 1];
      starts[i] = spans[i] == null ? previous : at(index, spans[i].getStart());
      ends[i] = spans[i] == null ? previous : at(index, spans[i].getEnd());
    }
    return new Encoding(small, starts, ends);
  }

  private static int at(int[] index, int codePoint) {
    return index == null ? codePoint : index[codePoint];
  }

  /** From the library's code points to Java's indices; null where they are the same. */
  private static int[] utf16Index(String text) {
    int codePoints = 0;
    boolean wide = false;
    for (int i = 0; i < text.length(); i++, codePoints++) {
      if (Character.isSurrogate(text.charAt(i))) {
        int c = text.codePointAt(i);
        if (c < Character.MIN_SUPPLEMENTARY_CODE_POINT) {
          throw new InvalidInputException(
              "the text has an unpaired surrogate U+"
                  + Integer.toHexString(c).toUpperCase(java.util.Locale.ROOT)
                  + " at character "
                  + i
                  + ", expected valid Unicode");
        }
        wide = true;
        i++;
      }
    }
    if (!wide) {
      return null;
    }
    int[] index = new int[codePoints + 1];
    for (int i = 1; i <= codePoints; i++) {
      index[i] = text.offsetByCodePoints(index[i - 1], 1);
    }
    return index;
  }

  /**
   * The text of these ids.
   *
   * @param skipSpecial leaves control tokens out
   */
  public String decode(int[] ids, boolean skipSpecial) {
    long[] wide = new long[ids.length];
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] < 0 || ids[i] >= file.vocabSize()) {
        throw new IllegalArgumentException(
            "id " + ids[i] + ", expected 0 to " + (file.vocabSize() - 1));
      }
      wide[i] = ids[i];
    }
    try {
      return library.decode(wide, skipSpecial);
    } catch (RuntimeException e) {
      throw new InvalidInputException(
          file.path() + ": the tokenizer library cannot decode with it: " + refusal(e), e);
    }
  }

  /** One line about what the file asks for and is not done. */
  public Optional<String> notice() {
    return file.notice();
  }

  /** Highest id + 1; a model's embedding must have at least as many rows. */
  public int vocabSize() {
    return file.vocabSize();
  }

  /** The id of a token by its exact text. */
  public OptionalInt tokenToId(String token) {
    Integer id = file.ids().get(token);
    return id == null ? OptionalInt.empty() : OptionalInt.of(id);
  }

  /** The special tokens that the directory names. */
  public SpecialTokens specialTokens() {
    return special;
  }

  public OptionalInt bosId() {
    return idOf("bos_token");
  }

  public OptionalInt eosId() {
    return idOf("eos_token");
  }

  public OptionalInt unkId() {
    return idOf("unk_token");
  }

  /** The padding token, where none is named the end-of-sequence token. */
  public OptionalInt padId() {
    OptionalInt pad = idOf("pad_token");
    return pad.isPresent() ? pad : eosId();
  }

  private OptionalInt idOf(String name) {
    String text = special.texts().get(name);
    return text == null ? OptionalInt.empty() : tokenToId(text);
  }

  /** Whether the id is a control token: one the library calls special. */
  public boolean isControl(int id) {
    return control.isControl(id);
  }

  /** Whether a message spells a control token. */
  boolean isForged(Rendering rendering) {
    return control.hasForged(rendering);
  }

  /** The control tokens the template itself wrote, in order. */
  List<ControlTokens.Match> controlTokens(Rendering rendering) {
    return control.written(rendering);
  }

  /**
   * What Hugging Face puts before plain text with {@code add_special_tokens=True}: usually nothing
   * or the beginning-of-sequence token.
   */
  public int[] textPrefix() {
    Optional<Boolean> addBos = special.addBos();
    if (addBos.isPresent()) {
      return addBos.get() && bosId().isPresent() ? new int[] {bosId().getAsInt()} : new int[0];
    }
    List<Integer> prefix = new ArrayList<>();
    TextTemplate.prefix(file.outline().path("post_processor"), prefix);
    return prefix.stream().mapToInt(Integer::intValue).toArray();
  }

  /** Feeds a sum with all that decides its ids. */
  void feed(MessageDigest sum) {
    sum.update(file.sum());
    sum.update(special.toString().getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public void close() {
    library.close();
    if (masked != null) {
      masked.close();
    }
  }
}
