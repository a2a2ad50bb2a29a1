package ai.nibble.data.jinja;

import ai.nibble.data.jinja.Token.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * Splits a template into tokens, as Jinja's lexer does with {@code trim_blocks} and {@code
 * lstrip_blocks}: the newline after a block or comment goes, and so does white space before one
 * that begins a line; {@code -} strips more, {@code +} keeps.
 */
final class Lexer {
  private static final String[] OPERATORS = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";"
  };

  private final String source;
  private final List<Token> tokens = new ArrayList<>();
  private int at;
  private int line = 1;

  private Lexer(String source) {
    this.source = source;
  }

  static List<Token> tokenize(String template) {
    String source = template.replace("\r\n", "\n").replace('\r', '\n');
    if (source.endsWith("\n")) {
      source = source.substring(0, source.length() - 1);
    }
    Lexer lexer = new Lexer(source);
    lexer.run();
    return lexer.tokens;
  }

  private void run() {
    while (at < source.length()) {
      int tag = nextTag(at);
      if (tag < 0) {
        data(source.substring(at));
        moveTo(source.length());
        break;
      }
      char kind = source.charAt(tag + 1);
      int inside = tag + 2;
      char sign = inside < source.length() ? source.charAt(inside) : ' ';
      boolean signed = sign == '-' || sign == '+';
      data(leftStripped(source.substring(at, tag), signed ? sign : ' ', kind));
      moveTo(tag + (signed ? 3 : 2));
      if (kind == '#') {
        comment();
      } else if (kind == '{') {
        tag(Kind.VARIABLE_BEGIN, Kind.VARIABLE_END, "}}");
      } else if (!raw()) {
        tag(Kind.BLOCK_BEGIN, Kind.BLOCK_END, "%}");
      }
    }
    add(Kind.EOF, "");
  }

  private int nextTag(int from) {
    for (int i = source.indexOf('{', from); i >= 0; i = source.indexOf('{', i + 1)) {
      if (i + 1 < source.length() && "{%#".indexOf(source.charAt(i + 1)) >= 0) {
        return i;
      }
    }
    return -1;
  }

  private String leftStripped(String text, char sign, char kind) {
    if (sign == '-') {
      int end = text.length();
      while (end > 0 && isSpace(text.charAt(end - 1))) {
        end--;
      }
      return text.substring(0, end);
    }
    int lineStart = text.lastIndexOf('\n') + 1;
    boolean beginsLine = lineStart > 0 || at == 0 || source.charAt(at - 1) == '\n';
    if (sign != '+'
        && kind != '{'
        && beginsLine
        && text.substring(lineStart).chars().allMatch(Lexer::isSpace)) {
      return text.substring(0, lineStart);
    }
    return text;
  }

  private static boolean isSpace(int c) {
    return StringMethods.isSpace(c);
  }

  private void comment() {
    int end = source.indexOf("#}", at);
    if (end < 0) {
      throw new TemplateError("Missing end of comment tag", line);
    }
    char sign = end > at ? source.charAt(end - 1) : ' ';
    moveTo(end + 2);
    afterTag(sign, true);
  }

  /** What follows a closing tag: {@code -} takes all white space, otherwise one newline goes. */
  private void afterTag(char sign, boolean trimNewline) {
    if (sign == '-') {
      skipSpace();
    } else if (sign != '+' && trimNewline && at < source.length() && source.charAt(at) == '\n') {
      moveTo(at + 1);
    }
  }

  private void skipSpace() {
    int end = at;
    while (end < source.length() && isSpace(source.charAt(end))) {
      end++;
    }
    moveTo(end);
  }

  /** A raw section, read whole; false where this block is another. */
  private boolean raw() {
    int start = at;
    int startLine = line;
    skipSpace();
    if (source.startsWith("raw", at)) {
      moveTo(at + 3);
      skipSpace();
      boolean strip = source.startsWith("-%}", at);
      if (strip || source.startsWith("%}", at)) {
        moveTo(at + (strip ? 3 : 2));
        if (strip) {
          skipSpace();
        }
        rawBody();
        return true;
      }
    }
    at = start;
    line = startLine;
    return false;
  }

  private void rawBody() {
    for (int open = source.indexOf("{%", at); open >= 0; open = source.indexOf("{%", open + 2)) {
      int i = open + 2;
      char sign = i < source.length() ? source.charAt(i) : ' ';
      boolean signed = sign == '-' || sign == '+';
      int name = spaceEnd(signed ? i + 1 : i);
      if (!source.startsWith("endraw", name)) {
        continue;
      }
      int close = spaceEnd(name + 6);
      boolean closeSigned = source.startsWith("-%}", close) || source.startsWith("+%}", close);
      if (closeSigned || source.startsWith("%}", close)) {
        data(leftStripped(source.substring(at, open), signed ? sign : ' ', '%'));
        moveTo(close + (closeSigned ? 3 : 2));
        afterTag(closeSigned ? source.charAt(close) : ' ', true);
        return;
      }
    }
    throw new TemplateError("Missing end of raw directive", line);
  }

  private int spaceEnd(int from) {
    int end = from;
    while (end < source.length() && isSpace(source.charAt(end))) {
      end++;
    }
    return end;
  }

  private void tag(Kind begin, Kind end, String close) {
    add(begin, close);
    Deque<String> open = new ArrayDeque<>();
    while (true) {
      skipSpace();
      if (at >= source.length()) {
        throw new TemplateError("unexpected end of template, expected '" + close + "'", line);
      }
      if (open.isEmpty()) {
        char sign = source.charAt(at);
        boolean block = begin == Kind.BLOCK_BEGIN;
        boolean signed =
            (sign == '-' || (sign == '+' && block)) && source.startsWith(close, at + 1);
        if (signed || source.startsWith(close, at)) {
          add(end, close);
          moveTo(at + (signed ? 3 : 2));
          afterTag(signed ? sign : ' ', block);
          return;
        }
      }
      expressionToken(open);
    }
  }

  private void expressionToken(Deque<String> open) {
    char c = source.charAt(at);
    if (c >= '0' && c <= '9') {
      int end = LiteralReader.numberEnd(source, at, lastIsDot());
      add(Kind.NUMBER, LiteralReader.number(source.substring(at, end), line));
      moveTo(end);
    } else if (Character.isUnicodeIdentifierStart(c) || c == '_') {
      int end = at + 1;
      while (end < source.length() && isNamePart(source.charAt(end))) {
        end++;
      }
      add(Kind.NAME, source.substring(at, end));
      moveTo(end);
    } else if (c == '"' || c == '\'') {
      int end = LiteralReader.stringEnd(source, at, line);
      add(Kind.STRING, LiteralReader.unescape(source.substring(at + 1, end - 1), line));
      moveTo(end);
    } else {
      operator(open);
    }
  }

  /** A number right after a dot is an index, as in {@code a.0.1}. */
  private boolean lastIsDot() {
    return tokens.get(tokens.size() - 1).isOperator(".");
  }

  private static boolean isNamePart(char c) {
    return c == '_'
        || (Character.isUnicodeIdentifierPart(c) && !Character.isIdentifierIgnorable(c));
  }

  private void operator(Deque<String> open) {
    for (String operator : OPERATORS) {
      if (source.startsWith(operator, at)) {
        balance(operator, open);
        add(Kind.OPERATOR, operator);
        moveTo(at + operator.length());
        return;
      }
    }
    throw new TemplateError("unexpected char '" + source.charAt(at) + "'", line);
  }

  private void balance(String operator, Deque<String> open) {
    switch (operator) {
      case "(" -> open.push(")");
      case "[" -> open.push("]");
      case "{" -> open.push("}");
      case ")", "]", "}" -> {
        if (open.isEmpty() || !open.pop().equals(operator)) {
          throw new TemplateError("unexpected '" + operator + "'", line);
        }
      }
      default -> {}
    }
  }

  private void data(String text) {
    if (!text.isEmpty()) {
      add(Kind.DATA, text);
    }
  }

  private void add(Kind kind, Object value) {
    tokens.add(new Token(kind, value, line));
  }

  private void moveTo(int end) {
    for (int i = at; i < end; i++) {
      line += source.charAt(i) == '\n' ? 1 : 0;
    }
    at = end;
  }
}
