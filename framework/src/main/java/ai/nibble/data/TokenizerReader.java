package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Reads a {@code tokenizer.json} in one pass, with a second over its merges: vocabulary and merges,
 * which can be a million strings, are checked as they pass by and never held as a tree. What the
 * library is given are the file's own bytes, but for some values that become null, and merges in
 * their older form, of which it makes half the copies.
 */
final class TokenizerReader {
  /** What would add, cut or pad: none of that is the library's to do. */
  static final List<String> NOT_THE_LIBRARYS = List.of("truncation", "padding", "post_processor");

  /** The library ends the process over a decoder that nests deeper than 128. */
  private static final int MAX_DEPTH = 64;

  private static final JsonFactory FACTORY =
      JsonFactory.builder()
          // each name of a vocabulary stands there once: a table of names would only grow
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxStringLength(64 << 20)
                  .maxNameLength(1 << 20)
                  .build())
          .build();

  private static final ObjectReader TREE =
      JsonFiles.mapper()
          .readerFor(JsonNode.class)
          .with(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private static final byte[] NULL = "null".getBytes(StandardCharsets.US_ASCII);

  private final Path path;
  private final byte[] bytes;
  private final VocabularyReader vocabulary;
  private final ObjectNode outline = JsonNodeFactory.instance.objectNode();

  /** Parts of the file that are others for the library. */
  private final List<Cut> cuts = new ArrayList<>();

  private Part merges;
  private TokenizerFile file;

  /**
   * A value's place in the file.
   *
   * @param begin in UTF-16 code units, as the parser counts
   */
  private record Part(long begin, long end) {
    static Part at(JsonParser parser) {
      return new Part(parser.currentTokenLocation().getCharOffset(), 0);
    }

    Part to(JsonParser parser) {
      return new Part(begin, parser.currentLocation().getCharOffset());
    }

    /** The same in bytes. */
    Part in(byte[] utf8) {
      return new Part(Utf8Check.byteOffset(utf8, begin), Utf8Check.byteOffset(utf8, end));
    }
  }

  /** What stands in the place of a part. */
  private record Cut(Part part, byte[] instead) {}

  private TokenizerReader(Path path, byte[] bytes) {
    this.path = path;
    this.bytes = bytes;
    this.vocabulary = new VocabularyReader(path, Utf8Check.spellsSurrogates(bytes));
  }

  /**
   * @throws InvalidInputException where the file is absent, malformed, or of a kind that the
   *     library does not survive
   */
  static TokenizerReader read(Path path) {
    TokenizerReader reader =
        new TokenizerReader(path, Utf8Check.require(path, TokenizerFile.bytes(path)));
    try {
      reader.read();
    } catch (JsonProcessingException e) {
      throw new InvalidInputException(path + JsonFiles.problem(e), e);
    } catch (IOException e) {
      throw new InvalidInputException(path + " cannot be read: " + FileProblem.reason(e), e);
    }
    return reader;
  }

  TokenizerFile file() {
    return file;
  }

  /** What the library is given. */
  InputStream forLibrary() {
    List<InputStream> parts = new ArrayList<>();
    int from = 0;
    cuts.sort(Comparator.comparingLong(cut -> cut.part().begin()));
    for (Cut cut : cuts) {
      Part part = cut.part().in(bytes);
      parts.add(new ByteArrayInputStream(bytes, from, (int) part.begin() - from));
      parts.add(new ByteArrayInputStream(cut.instead()));
      from = (int) part.end();
    }
    parts.add(new ByteArrayInputStream(bytes, from, bytes.length - from));
    return new SequenceInputStream(Collections.enumeration(parts));
  }

  private void read() throws IOException {
    try (JsonParser parser = FACTORY.createParser(bytes)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new InvalidInputException(path + ": expected a JSON object");
      }
      while (parser.nextToken() != JsonToken.END_OBJECT) {
        String name = nameOf(parser, outline);
        parser.nextToken();
        if (name.equals("model") && parser.currentToken() == JsonToken.START_OBJECT) {
          outline.set(name, model(parser));
        } else {
          outline.set(name, value(parser, NOT_THE_LIBRARYS.contains(name)));
        }
      }
      if (parser.nextToken() != null) {
        throw new InvalidInputException(
            path
                + ":"
                + parser.currentTokenLocation().getLineNr()
                + ":"
                + parser.currentTokenLocation().getColumnNr()
                + ": something follows the JSON object: fetch the file again");
      }
    }
    finish();
  }

  private String nameOf(JsonParser parser, ObjectNode into) throws IOException {
    String name = parser.currentName();
    if (into.has(name)) {
      throw new InvalidInputException(
          path + ": '" + JsonFiles.shown(name) + "' stands there twice, expected once");
    }
    return name;
  }

  /**
   * @param cut whether the library is given null instead
   */
  private JsonNode value(JsonParser parser, boolean cut) throws IOException {
    Part part = Part.at(parser);
    JsonNode value = TREE.readValue(parser);
    if (cut && value != null && !value.isNull()) {
      cuts.add(new Cut(part.to(parser), NULL));
    }
    return value == null ? JsonNodeFactory.instance.nullNode() : value;
  }

  private ObjectNode model(JsonParser parser) throws IOException {
    ObjectNode model = JsonNodeFactory.instance.objectNode();
    Set<String> lengthy = Set.of("vocab", "merges");
    List<String> seen = new ArrayList<>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String name = nameOf(parser, model);
      parser.nextToken();
      if (!lengthy.contains(name) || !parser.currentToken().isStructStart()) {
        model.set(name, value(parser, name.equals("dropout")));
        continue;
      }
      if (seen.contains(name)) {
        throw new InvalidInputException(path + ": '" + name + "' stands there twice");
      }
      seen.add(name);
      if (name.equals("vocab")) {
        vocabulary.read(parser);
      } else if (parser.currentToken() == JsonToken.START_ARRAY) {
        Part part = Part.at(parser);
        parser.skipChildren();
        merges = part.to(parser);
      } else {
        throw new InvalidInputException(path + ": 'merges' is an object, expected a list");
      }
    }
    if (!seen.contains("vocab")) {
      throw new InvalidInputException(
          path
              + (model.has("vocab")
                  ? ": 'vocab' is neither an object nor a list"
                  : ": 'model' has no 'vocab', expected a tokenizer"));
    }
    return model;
  }

  private void finish() throws IOException {
    if (!(outline.get("model") instanceof ObjectNode model)) {
      throw new InvalidInputException(path + ": 'model' has no 'vocab', expected a tokenizer");
    }
    UnicodeCheck.check(path, "", outline);
    TokenizerModelCheck.check(path, model);
    Map<String, Integer> ids = vocabulary.ids();
    if (merges != null) {
      Part list = merges.in(bytes);
      int length = (int) (list.end() - list.begin());
      try (JsonParser parser = FACTORY.createParser(bytes, (int) list.begin(), length)) {
        Optional<byte[]> older = new MergeCheck(path, model, ids).check(parser);
        older.ifPresent(instead -> cuts.add(new Cut(merges, instead)));
      }
    } else if (!model.path("merges").isMissingNode() && !model.path("merges").isNull()) {
      throw new InvalidInputException(
          path + ": 'merges' is " + JsonFiles.shown(model.get("merges")) + ", expected a list");
    }
    TextLimits limits = ComponentCheck.check(path, outline);
    List<TokenizerFile.AddedToken> added = new AddedTokens(path, vocabulary).read(outline);
    file =
        new TokenizerFile(
            path,
            outline,
            ids,
            added,
            vocabulary.size(),
            limits,
            TokenizerModelCheck.notice(path, model),
            Sha256.start().digest(bytes));
  }
}
