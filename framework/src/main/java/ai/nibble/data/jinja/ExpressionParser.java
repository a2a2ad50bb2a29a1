package ai.nibble.data.jinja;

import ai.nibble.data.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Parses expressions, with Jinja's precedences. */
final class ExpressionParser {
  private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");

  private final TokenStream stream;
  // An unknown filter or test is an error of the template, but inside an `if` only when it runs.
  private boolean lenient;
  // Unknown names seen since the last check; those inside an inline `if` are taken back.
  private final List<TemplateError> unknown = new ArrayList<>();

  ExpressionParser(TokenStream stream) {
    this.stream = stream;
  }

  /** Whether unknown filters and tests wait until they run; returns what it was. */
  boolean lenient(boolean now) {
    boolean before = lenient;
    lenient = now;
    return before;
  }

  /** Throws where an expression since the last check named an unknown filter or test. */
  void checkNames() {
    if (!unknown.isEmpty()) {
      throw unknown.get(0);
    }
  }

  private void unknown(String what) {
    if (!lenient) {
      unknown.add(new TemplateError(what, stream.current().line()));
    }
  }

  Expr expression() {
    stream.enter();
    int known = unknown.size();
    Expr value = or();
    while (stream.skipName("if")) {
      Expr test = or();
      Expr otherwise = stream.skipName("else") ? expression() : null;
      value = new Expr.Conditional(test, value, otherwise);
      unknown.subList(known, unknown.size()).clear();
    }
    stream.leave();
    return value;
  }

  /** An expression, or a tuple without brackets; what ends it stays. */
  Expr tuple(boolean conditional, boolean emptyAllowed) {
    List<Expr> items = new ArrayList<>();
    boolean tuple = false;
    while (!endsTuple()) {
      items.add(conditional ? expression() : or());
      if (!stream.skipOperator(",")) {
        break;
      }
      tuple = true;
    }
    if (items.isEmpty() && !emptyAllowed) {
      throw stream.unexpected("an expression");
    }
    return tuple || items.isEmpty() ? new Expr.Items(items, true) : items.get(0);
  }

  private boolean endsTuple() {
    Token token = stream.current();
    return token.kind() == Kind.BLOCK_END
        || token.kind() == Kind.VARIABLE_END
        || token.isOperator(")")
        || token.isName("recursive");
  }

  Expr or() {
    List<Expr> operands = new ArrayList<>();
    do {
      operands.add(and());
    } while (stream.skipName("or"));
    return operands.size() == 1 ? operands.get(0) : new Expr.Logic(false, operands);
  }

  private Expr and() {
    List<Expr> operands = new ArrayList<>();
    do {
      operands.add(not());
    } while (stream.skipName("and"));
    return operands.size() == 1 ? operands.get(0) : new Expr.Logic(true, operands);
  }

  private Expr not() {
    if (!stream.skipName("not")) {
      return compare();
    }
    stream.enter();
    Expr operand = not();
    stream.leave();
    return new Expr.Not(operand);
  }

  private Expr compare() {
    Expr first = sum();
    List<String> ops = new ArrayList<>();
    List<Expr> operands = new ArrayList<>();
    while (true) {
      Token token = stream.current();
      if (token.kind() == Kind.OPERATOR && COMPARISONS.contains(token.value())) {
        ops.add((String) stream.next().value());
      } else if (stream.skipName("in")) {
        ops.add("in");
      } else if (token.isName("not") && stream.look().isName("in")) {
        stream.next();
        stream.next();
        ops.add("not in");
      } else {
        return ops.isEmpty() ? first : new Expr.Compare(first, ops, operands);
      }
      operands.add(sum());
    }
  }

  private Expr sum() {
    return chain(Set.of("+", "-"), this::concat);
  }

  private Expr concat() {
    List<Expr> parts = new ArrayList<>();
    do {
      parts.add(product());
    } while (stream.skipOperator("~"));
    return parts.size() == 1 ? parts.get(0) : new Expr.Concat(parts);
  }

  private Expr product() {
    return chain(Set.of("*", "/", "//", "%"), this::power);
  }

  private Expr power() {
    return chain(Set.of("**"), () -> unary(true));
  }

  private Expr chain(Set<String> operators, java.util.function.Supplier<Expr> operand) {
    Expr first = operand.get();
    List<String> ops = new ArrayList<>();
    List<Expr> operands = new ArrayList<>();
    while (stream.current().kind() == Kind.OPERATOR
        && operators.contains(stream.current().value())) {
      ops.add((String) stream.next().value());
      operands.add(operand.get());
    }
    return ops.isEmpty() ? first : new Expr.Chain(first, ops, operands);
  }

  private Expr unary(boolean withFilters) {
    Expr base;
    if (stream.current().isOperator("-") || stream.current().isOperator("+")) {
      boolean minus = stream.next().value().equals("-");
      stream.enter();
      base = new Expr.Sign(minus, unary(false));
      stream.leave();
    } else {
      base = primary();
    }
    List<Expr.Step> steps = new ArrayList<>();
    postfix(steps);
    if (withFilters) {
      filtersAndTests(steps);
    }
    return steps.isEmpty() ? base : new Expr.Postfix(base, steps);
  }

  private Expr primary() {
    Token token = stream.next();
    switch (token.kind()) {
      case NAME:
        return name((String) token.value());
      case NUMBER:
        return new Expr.Const(token.value());
      case STRING:
        StringBuilder text = new StringBuilder((String) token.value());
        while (stream.current().kind() == Kind.STRING) {
          text.append(stream.next().value());
        }
        return new Expr.Const(Str.of(text.toString()));
      case OPERATOR:
        if (token.isOperator("(")) {
          Expr inner = tuple(true, true);
          stream.expectOperator(")");
          return inner;
        }
        if (token.isOperator("[")) {
          return new Expr.Items(items("]"), false);
        }
        if (token.isOperator("{")) {
          return dict();
        }
        break;
      default:
        break;
    }
    throw new TemplateError("unexpected " + token.describe(), token.line());
  }

  private static Expr name(String name) {
    return switch (name) {
      case "true", "True" -> new Expr.Const(true);
      case "false", "False" -> new Expr.Const(false);
      case "none", "None" -> new Expr.Const(null);
      default -> new Expr.Name(name);
    };
  }

  private List<Expr> items(String close) {
    List<Expr> items = new ArrayList<>();
    while (!stream.skipOperator(close)) {
      if (!items.isEmpty()) {
        stream.expectOperator(",");
        if (stream.skipOperator(close)) {
          break;
        }
      }
      items.add(expression());
    }
    return items;
  }

  private Expr dict() {
    List<Expr> keysAndValues = new ArrayList<>();
    while (!stream.skipOperator("}")) {
      if (!keysAndValues.isEmpty()) {
        stream.expectOperator(",");
        if (stream.skipOperator("}")) {
          break;
        }
      }
      keysAndValues.add(expression());
      stream.expectOperator(":");
      keysAndValues.add(expression());
    }
    return new Expr.Dict(keysAndValues);
  }

  private void postfix(List<Expr.Step> steps) {
    while (true) {
      if (stream.skipOperator(".")) {
        Token token = stream.next();
        if (token.kind() == Kind.NAME) {
          steps.add(new Expr.Attribute(Str.of((String) token.value())));
        } else if (token.kind() == Kind.NUMBER) {
          steps.add(new Expr.Item(new Expr.Const(token.value())));
        } else {
          throw new TemplateError("expected name or number", token.line());
        }
      } else if (stream.skipOperator("[")) {
        steps.add(subscript());
        stream.expectOperator("]");
      } else if (stream.current().isOperator("(")) {
        steps.add(new Expr.Call(arguments()));
      } else {
        return;
      }
    }
  }

  private Expr.Step subscript() {
    Expr first = stream.current().isOperator(":") ? null : expression();
    if (!stream.skipOperator(":")) {
      return new Expr.Item(first);
    }
    Expr stop = bound();
    Expr step = stream.skipOperator(":") ? bound() : null;
    return new Expr.Slice(first, stop, step);
  }

  private Expr bound() {
    boolean absent = stream.current().isOperator(":") || stream.current().isOperator("]");
    return absent ? null : expression();
  }

  private void filtersAndTests(List<Expr.Step> steps) {
    while (true) {
      if (stream.skipOperator("|")) {
        steps.add(filter());
      } else if (stream.skipName("is")) {
        steps.add(test());
      } else if (stream.current().isOperator("(")) {
        steps.add(new Expr.Call(arguments()));
      } else {
        return;
      }
    }
  }

  /** What follows a {@code |}. */
  Expr.Step filter() {
    String name = dottedName("a filter's name");
    if (Filters.named(name) == null) {
      unknown("No filter named '" + name + "'.");
    }
    boolean called = stream.current().isOperator("(");
    return new Expr.Filtered(name, called ? arguments() : ArgumentList.NONE);
  }

  private Expr.Step test() {
    boolean negated = stream.skipName("not");
    String name = dottedName("a test's name");
    if (Tests.named(name) == null) {
      unknown("No test named '" + name + "'.");
    }
    return new Expr.Tested(name, testArguments(), negated);
  }

  /** In brackets, or one operand without. */
  private ArgumentList testArguments() {
    Token token = stream.current();
    if (token.isOperator("(")) {
      return arguments();
    }
    boolean operand =
        switch (token.kind()) {
          case NAME ->
              !Set.of("else", "or", "and", "is", "if", "in", "not", "recursive")
                  .contains(token.value());
          case STRING, NUMBER -> true;
          case OPERATOR -> token.isOperator("[") || token.isOperator("{");
          default -> false;
        };
    if (!operand) {
      return ArgumentList.NONE;
    }
    Expr base = primary();
    List<Expr.Step> steps = new ArrayList<>();
    postfix(steps);
    Expr argument = steps.isEmpty() ? base : new Expr.Postfix(base, steps);
    return new ArgumentList(List.of(argument), Map.of(), null, null);
  }

  private String dottedName(String what) {
    StringBuilder name = new StringBuilder((String) stream.expect(Kind.NAME, what).value());
    while (stream.skipOperator(".")) {
      name.append('.').append(stream.expect(Kind.NAME, what).value());
    }
    return name.toString();
  }

  ArgumentList arguments() {
    stream.expectOperator("(");
    List<Expr> positional = new ArrayList<>();
    Map<String, Expr> named = new LinkedHashMap<>();
    Expr star = null;
    Expr doubleStar = null;
    boolean first = true;
    while (!stream.skipOperator(")")) {
      if (!first) {
        stream.expectOperator(",");
        if (stream.skipOperator(")")) {
          break;
        }
      }
      first = false;
      if (doubleStar != null) {
        throw stream.error("invalid syntax for function call expression");
      }
      if (stream.skipOperator("**")) {
        doubleStar = expression();
      } else if (star == null && stream.skipOperator("*")) {
        star = expression();
      } else if (stream.current().kind() == Kind.NAME && stream.look().isOperator("=")) {
        String name = (String) stream.next().value();
        stream.next();
        if (named.put(name, expression()) != null) {
          throw stream.error("keyword argument repeated: " + name);
        }
      } else if (star == null && named.isEmpty()) {
        positional.add(expression());
      } else {
        throw stream.error("positional argument follows keyword argument");
      }
    }
    boolean none = positional.isEmpty() && named.isEmpty() && star == null && doubleStar == null;
    return none ? ArgumentList.NONE : new ArgumentList(positional, named, star, doubleStar);
  }
}
