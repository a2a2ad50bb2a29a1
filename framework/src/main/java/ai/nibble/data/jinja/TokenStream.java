package ai.nibble.data.jinja;

import ai.nibble.data.jinja.Token.Kind;
import java.util.List;

/** The tokens with a place, and how deep the parser is. */
final class TokenStream {
  private final List<Token> tokens;
  private int at;
  private int depth;
  private int deepest;

  TokenStream(List<Token> tokens) {
    this.tokens = tokens;
  }

  Token current() {
    return tokens.get(at);
  }

  Token look() {
    return tokens.get(Math.min(at + 1, tokens.size() - 1));
  }

  Token next() {
    Token token = current();
    at = Math.min(at + 1, tokens.size() - 1);
    return token;
  }

  boolean skipName(String name) {
    boolean found = current().isName(name);
    if (found) {
      next();
    }
    return found;
  }

  boolean skipOperator(String operator) {
    boolean found = current().isOperator(operator);
    if (found) {
      next();
    }
    return found;
  }

  Token expect(Kind kind, String what) {
    if (current().kind() != kind) {
      throw unexpected(what);
    }
    return next();
  }

  void expectOperator(String operator) {
    if (!skipOperator(operator)) {
      throw unexpected("'" + operator + "'");
    }
  }

  void expectName(String name) {
    if (!skipName(name)) {
      throw unexpected("'" + name + "'");
    }
  }

  TemplateError unexpected(String expected) {
    return new TemplateError(
        "expected " + expected + ", got " + current().describe(), current().line());
  }

  TemplateError error(String message) {
    return new TemplateError(message, current().line());
  }

  /** One level deeper into blocks, brackets or operands; each takes room on the stack. */
  void enter() {
    if (++depth > Budget.MAX_DEPTH) {
      throw error("nested deeper than " + Budget.MAX_DEPTH + " levels");
    }
    deepest = Math.max(deepest, depth);
  }

  void leave() {
    depth--;
  }

  int depth() {
    return depth;
  }

  /** Starts measuring the deepest level reached; returns what to hand to {@link #measured}. */
  int measure() {
    int before = deepest;
    deepest = depth;
    return before;
  }

  /** Levels below the current one since {@link #measure}, at least 1. */
  int measured(int before) {
    int levels = deepest - depth + 1;
    deepest = Math.max(before, deepest);
    return levels;
  }
}
