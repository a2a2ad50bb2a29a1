package ai.nibble;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.exc.StreamReadException;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** What is wrong with a text of JSON, in a person's words. */
public final class JsonProblem {
  private static final int LONGEST = 200;

  /** A place within a message. A text of one line has a first line only. */
  private static final Pattern SOURCE =
      Pattern.compile("\\[Source: [^\\]]*?; line: (\\d+), column: (\\d+)\\]");

  private JsonProblem() {}

  /**
   * The parser's words without its advice to programmers and its own names, on one line; for what
   * failed before it the file system's.
   */
  public static String reason(IOException e) {
    if (e instanceof JsonMappingException mapping) {
      return reason(mapping);
    }
    if (e instanceof JacksonException jackson) {
      return words(jackson.getOriginalMessage());
    }
    // the parser's own decoder of other encodings raises a plain exception
    return e instanceof CharConversionException || e instanceof CharacterCodingException
        ? "not valid UTF-8"
        : FileProblem.reason(e);
  }

  /** {@code line 3, column 7: } before a reason, or nothing where the parser knows no place. */
  public static String place(JacksonException e) {
    return e.getLocation() == null
        ? ""
        : "line %d, column %d: "
            .formatted(e.getLocation().getLineNr(), e.getLocation().getColumnNr());
  }

  /** A value that no record takes: the parser's words name Java's types. */
  private static String reason(JsonMappingException e) {
    if (e.getCause() instanceof StreamReadException text) {
      return words(text.getOriginalMessage()); // the text was no good, on the way to the value
    }
    String path =
        e.getPath().stream()
            .map(step -> step.getFieldName() == null ? "" + step.getIndex() : step.getFieldName())
            .collect(Collectors.joining("."));
    if (e instanceof UnrecognizedPropertyException) {
      return "unknown key '" + oneLine(path) + "'";
    }
    if (!path.isEmpty()) {
      return "'" + oneLine(path) + "' has a value of another kind than expected";
    }
    String words = words(e.getOriginalMessage());
    return words.contains("`") ? "a value of another kind than expected" : words;
  }

  private static String words(String message) {
    String first = String.valueOf(message).lines().findFirst().orElse("no reason given");
    String plain =
        SOURCE
            .matcher(first)
            .replaceAll(
                at ->
                    (at.group(1).equals("1") ? "" : "line " + at.group(1) + ", ")
                        + "column "
                        + at.group(2))
            .replaceFirst("^Trailing token .*", "text follows the value")
            .replaceFirst("^(Duplicate field '.*') for `.*", "$1")
            .replaceFirst("^No content to map due to end-of-input$", "it is empty")
            .replaceFirst(": enable `.*` to allow$", ", which JSON does not have")
            .replaceFirst(", from `[^`]*`\\)", ")");
    return oneLine(plain);
  }

  private static String oneLine(String text) {
    String line = text.replaceAll("\\p{Cntrl}", "\uFFFD");
    return line.length() <= LONGEST ? line : line.substring(0, LONGEST) + "…";
  }
}
